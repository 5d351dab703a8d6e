//! The client: where the core is, who asks, and the way to each resource.

use std::sync::Arc;
use std::time::Duration;

use reqwest::Url;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use rhyzome_model::Name;

use crate::{
    Audit, Blobs, Components, Error, Events, ImageTags, Images, Instances, Invitations, Jobs,
    Members, Networks, Peers, Projects, Quotas, SiteInfo, SshKeys, Tokens, tls,
};

/// Where the core is and who asks.
#[derive(Clone, Default)]
pub struct ClientOptions {
    /// The core's URL, without `/v1`.
    pub url: String,
    /// The bearer token, `rz_…`; none for what needs no authorization.
    pub token: Option<String>,
    /// The site's authority in PEM. Without it, whom the system trusts is trusted.
    pub authority_pem: Option<String>,
}

/// A client of one core. Cheap to clone; connections are shared.
#[derive(Clone)]
pub struct Client {
    pub(crate) http: reqwest::Client,
    /// For what begins as HTTP/1.1 and goes on as something else.
    pub(crate) upgrading: reqwest::Client,
    /// Ends in a slash.
    pub(crate) base: Arc<Url>,
    pub(crate) token: Option<HeaderValue>,
}

impl Client {
    /// # Errors
    /// A URL that is none, a token that would go unencrypted over a network, an authority that is no
    /// certificate. Nothing is sent yet.
    pub fn new(options: ClientOptions) -> Result<Self, Error> {
        let base = base(&options.url)?;
        if options.token.is_some() && base.scheme() == "http" && !is_loopback(&base) {
            return Err(Error::Unencrypted {
                url: base.to_string(),
            });
        }
        let authority = options.authority_pem.as_deref();
        let token = options.token.map(|token| bearer(&token)).transpose()?;
        Self::over(
            base,
            tls::config(authority)?,
            tls::http1_config(authority)?,
            token,
        )
    }

    /// One that believes whoever answers, for what is compared with something afterwards. It shows nothing.
    pub(crate) fn without_verifying(url: &str) -> Result<Self, Error> {
        let config = tls::without_verifying()?;
        Self::over(base(url)?, config.clone(), config, None)
    }

    fn over(
        base: Url,
        tls: rustls::ClientConfig,
        http1: rustls::ClientConfig,
        token: Option<HeaderValue>,
    ) -> Result<Self, Error> {
        Ok(Self {
            http: build(reqwest::Client::builder(), tls)?,
            upgrading: build(reqwest::Client::builder().http1_only(), http1)?,
            base: Arc::new(base),
            token,
        })
    }

    /// The same core, for who shows nothing.
    #[must_use]
    pub fn without_token(&self) -> Self {
        Self {
            token: None,
            ..self.clone()
        }
    }

    /// The same core, for who shows this.
    ///
    /// # Errors
    /// A token with characters that none has, or one that would go unencrypted over a network.
    pub fn with_token(&self, token: &str) -> Result<Self, Error> {
        if self.base.scheme() == "http" && !is_loopback(&self.base) {
            return Err(Error::Unencrypted {
                url: self.base.to_string(),
            });
        }
        Ok(Self {
            token: Some(bearer(token)?),
            ..self.clone()
        })
    }

    /// The core's URL.
    pub fn url(&self) -> &Url {
        &self.base
    }

    pub fn site(&self) -> SiteInfo {
        SiteInfo {
            client: self.clone(),
        }
    }

    pub fn project(&self) -> Projects {
        Projects::new(self.clone(), "v1/projects".to_owned())
    }

    pub fn component(&self) -> Components {
        Components::new(self.clone())
    }

    /// The site's own API tokens.
    pub fn token(&self) -> Tokens {
        Tokens::new(self.clone(), "v1/tokens".to_owned())
    }

    /// Jobs of the whole site.
    pub fn job(&self) -> Jobs {
        Jobs::new(self.clone(), "v1/jobs".to_owned())
    }

    /// Events of the whole site.
    pub fn event(&self) -> Events {
        Events::new(self.clone(), "v1/events".to_owned())
    }

    /// The site's own audit log.
    pub fn audit(&self) -> Audit {
        Audit::new(self.clone(), "v1/audit".to_owned())
    }

    /// What belongs to a project.
    pub fn within(&self, project: &Name) -> Scope {
        Scope {
            client: self.clone(),
            root: format!("v1/projects/{project}"),
        }
    }

    pub(crate) fn headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        if let Some(token) = &self.token {
            headers.insert(AUTHORIZATION, token.clone());
        }
        headers
    }
}

/// A project's resources.
#[derive(Clone)]
pub struct Scope {
    client: Client,
    root: String,
}

impl Scope {
    fn path(&self, collection: &str) -> String {
        format!("{}/{collection}", self.root)
    }

    pub fn quota(&self) -> Quotas {
        Quotas::new(self.client.clone(), self.path("quota"))
    }

    pub fn network(&self) -> Networks {
        Networks::new(self.client.clone(), self.path("networks"))
    }

    pub fn audit(&self) -> Audit {
        Audit::new(self.client.clone(), self.path("audit"))
    }

    pub fn peer(&self) -> Peers {
        Peers::new(self.client.clone(), self.path("peers"))
    }

    pub fn blob(&self) -> Blobs {
        Blobs::new(self.client.clone(), self.root.clone())
    }

    pub fn image(&self) -> Images {
        Images::new(self.client.clone(), self.path("images"))
    }

    pub fn image_tag(&self) -> ImageTags {
        ImageTags::new(self.client.clone(), self.path("image-tags"))
    }

    pub fn instance(&self) -> Instances {
        Instances::new(self.client.clone(), self.path("instances"))
    }

    pub fn ssh_key(&self) -> SshKeys {
        SshKeys::new(self.client.clone(), self.path("ssh-keys"))
    }

    pub fn token(&self) -> Tokens {
        Tokens::new(self.client.clone(), self.path("tokens"))
    }

    pub fn member(&self) -> Members {
        Members::new(self.client.clone(), self.path("members"))
    }

    pub fn invitation(&self) -> Invitations {
        Invitations::new(self.client.clone(), self.path("invitations"))
    }

    pub fn job(&self) -> Jobs {
        Jobs::new(self.client.clone(), self.path("jobs"))
    }

    pub fn event(&self) -> Events {
        Events::new(self.client.clone(), self.path("events"))
    }
}

pub(crate) fn build(
    builder: reqwest::ClientBuilder,
    tls: rustls::ClientConfig,
) -> Result<reqwest::Client, Error> {
    builder
        .tls_backend_preconfigured(tls)
        .user_agent(concat!("rhyzome/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(Duration::from_secs(10))
        // A redirect would carry a request, and with it its body, to where nobody asked it to go.
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .build()
        .map_err(|source| Error::Build { source })
}

fn base(text: &str) -> Result<Url, Error> {
    let wrong = || Error::Url {
        url: text.to_owned(),
    };
    let mut url = Url::parse(text).map_err(|_| wrong())?;
    let plain = url.query().is_none() && url.fragment().is_none() && url.username().is_empty();
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() || !plain {
        return Err(wrong());
    }
    if !url.path().ends_with('/') {
        let path = format!("{}/", url.path());
        url.set_path(&path);
    }
    Ok(url)
}

pub(crate) fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost"
        || bare
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

fn bearer(token: &str) -> Result<HeaderValue, Error> {
    let mut value =
        HeaderValue::from_str(&format!("Bearer {}", token.trim())).map_err(|_| Error::Token)?;
    value.set_sensitive(true);
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(url: &str, token: Option<&str>, expect: &str) {
        let options = ClientOptions {
            url: url.to_owned(),
            token: token.map(str::to_owned),
            ..ClientOptions::default()
        };
        let got = match Client::new(options) {
            Ok(client) => client.url().to_string(),
            Err(e) => e.to_string(),
        };
        assert_eq!(got, expect);
    }

    #[test]
    fn a_url_is_one_of_a_server_and_may_have_a_path() {
        check(
            "https://core.example:8080",
            None,
            "https://core.example:8080/",
        );
        check(
            "https://example.org/cloud",
            None,
            "https://example.org/cloud/",
        );
        let wrong =
            |url: &str| format!("{url:?} is not the URL of a core, like https://core.example:8080");
        for url in [
            "core.example",
            "ftp://core.example",
            "https://a@core.example",
            "https://a/?b",
            "",
        ] {
            check(url, None, &wrong(url));
        }
    }

    #[test]
    fn a_token_travels_unencrypted_only_on_this_machine() {
        check(
            "http://127.0.0.1:8080",
            Some("rz_a"),
            "http://127.0.0.1:8080/",
        );
        check("http://[::1]:8080", Some("rz_a"), "http://[::1]:8080/");
        check(
            "http://10.0.0.1:8080",
            Some("rz_a"),
            "the token would go unencrypted to http://10.0.0.1:8080/: use https",
        );
        check(
            "https://10.0.0.1:8080",
            Some("a\nb"),
            "the token has characters that no token has",
        );
    }
}
