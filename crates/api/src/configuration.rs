//! The core's configuration: what can be set, its defaults, and what does not go together.
//!
//! Every key can stand in the file (TOML or JSON), in the environment (`RHYZOME_API_HTTP_BIND`) and
//! after `--set`. No default points at anybody's server, and none opens anything to the network.

mod acme;
mod blobs;
mod limits;
mod oidc;
mod proxy;
mod site;

use std::net::SocketAddr;
use std::path::PathBuf;

use rhyzome_pki::file::{self, FileError};
use rhyzome_settings::{Complaint, PathKind, Settings};
use serde::{Deserialize, Serialize};

pub use acme::Acme;
pub use blobs::{Blobs, BlobsError};
pub use limits::Limits;
pub use oidc::{Oidc, OidcError};
pub use proxy::{Proxy, ProxyHeader};
pub use site::Site;

/// All that can be set.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Configuration {
    /// Where people and programs connect to.
    pub http_bind: SocketAddr,
    /// Where components connect to.
    pub grpc_bind: SocketAddr,
    /// The URL that people reach `http_bind` by; by default its own address.
    pub public_url: Option<String>,
    /// The URL that components reach `grpc_bind` by; by default its own address.
    pub grpc_public_url: Option<String>,
    /// Database, authority, images and the administrator's token.
    pub state_dir: PathBuf,
    /// The database; by default an SQLite file in the state folder.
    pub db: Option<String>,
    /// The file with the database's password, so that it need not stand in its URL.
    pub db_password_file: Option<PathBuf>,
    /// `off`: whoever reaches the core is its administrator. Only on loopback.
    pub authorization: Switch,
    pub tls: Tls,
    pub authority: Authority,
    pub oidc: Oidc,
    pub site: Site,
    pub blobs: Blobs,
    pub proxy: Proxy,
    pub limits: Limits,
    pub audit: Audit,
    pub log: Log,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Switch {
    On,
    Off,
}

/// The HTTP server's certificate; by default one that the site's own authority signs.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Tls {
    pub mode: TlsMode,
    pub cert: Option<PathBuf>,
    pub key: Option<PathBuf>,
    /// One of a public authority, for public names.
    pub acme: Acme,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TlsMode {
    On,
    /// Plain HTTP, only on loopback.
    Off,
    /// Plain HTTP for this machine and for `proxy.trusted`, which is reached over TLS.
    BehindProxy,
}

/// The signing authority for components; by default one that is made at the first start.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Authority {
    pub cert: Option<PathBuf>,
    pub key: Option<PathBuf>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Audit {
    /// How many days entries of the audit log are kept; 0: for ever.
    pub keep: u32,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    /// `error`, `warn`, `info`, `debug`, `trace`, or more finely as in `info,rhyzome_app=debug`.
    pub level: String,
    pub format: LogFormat,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// For people.
    Text,
    /// A JSON object a line.
    Json,
}

impl Default for Configuration {
    fn default() -> Self {
        Self {
            http_bind: SocketAddr::from(([127, 0, 0, 1], 8080)),
            grpc_bind: SocketAddr::from(([127, 0, 0, 1], 9090)),
            public_url: None,
            grpc_public_url: None,
            state_dir: PathBuf::from("/var/lib/rhyzome"),
            db: None,
            db_password_file: None,
            authorization: Switch::On,
            tls: Tls::default(),
            authority: Authority::default(),
            oidc: Oidc::default(),
            site: Site::default(),
            blobs: Blobs::default(),
            proxy: Proxy::default(),
            limits: Limits::default(),
            audit: Audit::default(),
            log: Log::default(),
        }
    }
}

impl Default for Tls {
    fn default() -> Self {
        Self {
            mode: TlsMode::On,
            cert: None,
            key: None,
            acme: Acme::default(),
        }
    }
}

impl Default for Audit {
    fn default() -> Self {
        Self { keep: 365 }
    }
}

impl Default for Log {
    fn default() -> Self {
        Self {
            level: "info".to_owned(),
            format: LogFormat::Text,
        }
    }
}

impl Settings for Configuration {
    const PATHS: &'static [(&'static str, PathKind)] = &[
        ("state_dir", PathKind::WritableFolder),
        ("tls.cert", PathKind::File),
        ("tls.key", PathKind::File),
        ("tls.acme.authority", PathKind::File),
        ("authority.cert", PathKind::File),
        ("authority.key", PathKind::File),
        ("oidc.authority", PathKind::File),
        ("db_password_file", PathKind::File),
        ("blobs.authority", PathKind::File),
        ("blobs.secret_access_key_file", PathKind::File),
    ];
    // It may hold a password.
    const SECRETS: &'static [&'static str] = &["db"];
    const MEANT: &'static [(&'static str, &'static str)] = &[
        ("pki.cert", "tls.cert"),
        ("pki.key", "tls.key"),
        ("pki.ca", "authority.cert"),
        ("tls.ca", "authority.cert"),
        ("disable_authz", "authorization"),
        ("database", "db"),
    ];

    fn check(&self) -> Vec<Complaint> {
        let mut complaints = Vec::new();
        self.check_exposure(&mut complaints);
        self.check_pairs(&mut complaints);
        self.check_urls(&mut complaints);
        self.blobs.check(&mut complaints);
        self.oidc.check(&mut complaints);
        self.limits.check(&mut complaints);
        self.tls.acme.check(&self.tls, &mut complaints);
        self.site.check(&mut complaints);
        if let Err(error) = self
            .log
            .level
            .parse::<tracing_subscriber::filter::Targets>()
        {
            complaints.push(Complaint {
                key: "log.level",
                reason: error.to_string(),
            });
        }
        complaints
    }
}

impl Configuration {
    /// The database's URL, with its password.
    ///
    /// # Errors
    /// If the password is in a file that cannot be read.
    pub fn db_url(&self) -> Result<String, FileError> {
        let default = || format!("sqlite://{}", self.state_dir.join("rhyzome.db").display());
        let url = self.db.clone().unwrap_or_else(default);
        let Some(file) = &self.db_password_file else {
            return Ok(url);
        };
        let bytes = file::read(file)?;
        let password = String::from_utf8_lossy(&bytes);
        let password = password.trim_end_matches(['\r', '\n']);
        Ok(rhyzome_store::url::with_password(&url, password))
    }

    pub fn http_scheme(&self) -> &'static str {
        match self.tls.mode {
            TlsMode::On => "https",
            TlsMode::Off | TlsMode::BehindProxy => "http",
        }
    }

    /// Where people connect to.
    pub fn http_url(&self) -> String {
        let default = || format!("{}://{}", self.http_scheme(), self.http_bind);
        self.public_url.clone().unwrap_or_else(default)
    }

    /// Where components connect to.
    pub fn grpc_url(&self) -> String {
        let default = || format!("https://{}", self.grpc_bind);
        self.grpc_public_url.clone().unwrap_or_else(default)
    }

    fn check_exposure(&self, complaints: &mut Vec<Complaint>) {
        if self.authorization == Switch::Off {
            let exposed = [("http_bind", self.http_bind), ("grpc_bind", self.grpc_bind)];
            for (key, bind) in exposed
                .into_iter()
                .filter(|(_, bind)| !bind.ip().is_loopback())
            {
                let reason = format!(
                    "{bind} is not a loopback address: with authorization off, whoever reaches it is an administrator"
                );
                complaints.push(Complaint { key, reason });
            }
        }
        if self.tls.mode == TlsMode::Off && !self.http_bind.ip().is_loopback() {
            let reason = format!(
                "plain HTTP is possible on a loopback address alone, not on {}: tokens would be readable on the way. Behind a proxy of yours that has TLS, it is tls.mode = \"behind_proxy\"",
                self.http_bind
            );
            complaints.push(Complaint {
                key: "tls.mode",
                reason,
            });
        }
        if self.tls.mode == TlsMode::BehindProxy && self.proxy.trusted.is_empty() {
            let reason =
                "needed where tls.mode is behind_proxy: plain HTTP is for those addresses alone";
            complaints.push(Complaint {
                key: "proxy.trusted",
                reason: reason.to_owned(),
            });
        }
        if self.http_bind == self.grpc_bind && self.http_bind.port() != 0 {
            let reason = "the same as http_bind; it needs a port of its own".to_owned();
            complaints.push(Complaint {
                key: "grpc_bind",
                reason,
            });
        }
    }

    fn check_pairs(&self, complaints: &mut Vec<Complaint>) {
        let pairs = [
            ("tls.cert", &self.tls.cert, "tls.key", &self.tls.key),
            (
                "authority.cert",
                &self.authority.cert,
                "authority.key",
                &self.authority.key,
            ),
        ];
        for (cert, cert_path, key, key_path) in pairs {
            let (given, missing) = match (cert_path, key_path) {
                (Some(_), None) => (cert, key),
                (None, Some(_)) => (key, cert),
                (Some(_), Some(_)) | (None, None) => continue,
            };
            let reason = format!("{given} is set and {missing} is not; they belong together");
            complaints.push(Complaint {
                key: missing,
                reason,
            });
        }
        if self.tls.mode != TlsMode::On && self.tls.cert.is_some() {
            let reason = "a certificate is set, but tls.mode is not on".to_owned();
            complaints.push(Complaint {
                key: "tls.cert",
                reason,
            });
        }
    }

    fn check_urls(&self, complaints: &mut Vec<Complaint>) {
        if let Some(url) = &self.public_url {
            check_url("public_url", url, &["https", "http"], complaints);
        }
        match &self.grpc_public_url {
            Some(url) => check_url("grpc_public_url", url, &["https"], complaints),
            None if self.grpc_bind.ip().is_unspecified() => {
                let reason = format!(
                    "needed where grpc_bind is {}: components cannot connect to that",
                    self.grpc_bind
                );
                complaints.push(Complaint {
                    key: "grpc_public_url",
                    reason,
                });
            }
            None => {}
        }
        self.check_db(complaints);
    }

    fn check_db(&self, complaints: &mut Vec<Complaint>) {
        let scheme = self.db.as_deref().map_or("sqlite", scheme);
        if !["sqlite", "postgres", "postgresql"].contains(&scheme) {
            let reason = format!(
                "{scheme:?} is no kind of database that is known; sqlite:// and postgres:// are"
            );
            complaints.push(Complaint { key: "db", reason });
        }
        if self.db_password_file.is_none() {
            return;
        }
        let wrong = match &self.db {
            Some(url) if rhyzome_store::url::has_password(url) => {
                Some("db has a password already; one of the two has to go")
            }
            _ if scheme == "sqlite" => Some("an SQLite file has no password"),
            _ => None,
        };
        complaints.extend(wrong.map(|reason| Complaint {
            key: "db_password_file",
            reason: reason.to_owned(),
        }));
    }
}

fn scheme(url: &str) -> &str {
    url.split(':').next().unwrap_or_default()
}

fn check_url(key: &'static str, url: &str, schemes: &[&str], complaints: &mut Vec<Complaint>) {
    let wrong = match url.parse::<axum::http::Uri>() {
        Err(error) => Some(error.to_string()),
        Ok(uri) if !schemes.contains(&uri.scheme_str().unwrap_or_default()) => Some(format!(
            "it has to begin with {}://",
            schemes.join(":// or ")
        )),
        Ok(uri) if uri.host().is_none_or(str::is_empty) => Some("it names no host".to_owned()),
        Ok(uri) if uri.path() != "/" || uri.query().is_some() || url.ends_with('/') => {
            Some("it ends behind the host and the port".to_owned())
        }
        Ok(_) => None,
    };
    if let Some(reason) = wrong {
        complaints.push(Complaint {
            key,
            reason: format!("{url:?} cannot be used: {reason}"),
        });
    }
}

fn check_url_with_path(key: &'static str, url: &str, complaints: &mut Vec<Complaint>) {
    let parsed = url.parse::<axum::http::Uri>();
    let fits = parsed.is_ok_and(|uri| {
        uri.scheme_str() == Some("https") && uri.host().is_some_and(|h| !h.is_empty())
    });
    if !fits {
        let reason = format!("{url:?} cannot be used: it has to begin with https:// and a host");
        complaints.push(Complaint { key, reason });
    }
}

#[cfg(test)]
mod tests;
