//! `rhyzome login`, `logout` and `whoami`: a person instead of a token.
//!
//! What a login gives is kept as a context's token is, in a file of mode 0600 beside the contexts; how it is kept fresh is in a second
//! one. A login that is about to end is begun anew before a command, if the issuer allows that without asking.

mod browser;
mod kept;

use clap::Args;
use rhyzome_client::{Client, ClientOptions, IdTokens, Provider};
use rhyzome_model::user::{OidcMethod, Whoami};
use rhyzome_model::{Name, Timestamp};
use rhyzome_wire::request::SessionSecret;
use serde::Serialize;

use kept::Kept;
pub use kept::freshen;

use crate::context::{self, Context, File};
use crate::failure::Failure;
use crate::output::{Details, Thing, time};
use crate::session::Cx;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Oidc(#[from] rhyzome_client::OidcError),
    #[error("people of this site come in by invitations: it has no OpenID Connect issuer")]
    NoIssuer,
    #[error("no port of this machine can be listened on for the browser's answer")]
    Listen { source: std::io::Error },
    #[error("the context {0} is of another core")]
    OtherCore(String),
    #[error("the context {0} shows an API token, which a login would take the place of")]
    HasToken(String),
    #[error("{0:?} is no link of an invitation, and no code of one (rzi_…)")]
    NotALink(String),
    #[error("an invitation's code does not say where its core is")]
    NoCore,
    #[error("this site has nobody to say who you are, so you choose your name")]
    NoName,
}

impl Error {
    pub fn advice(&self) -> Option<String> {
        let text = match self {
            Self::NoIssuer => "`rhyzome project join LINK` redeems one",
            Self::NotALink(_) => "take the whole of it, in quotation marks",
            Self::OtherCore(_) | Self::HasToken(_) => {
                "`--as NAME` makes a context of its own for it"
            }
            Self::NoCore => "take the whole link, or choose the core's context",
            Self::NoName => "`--name NAME` says it, in a-z, 0-9 and -",
            Self::Oidc(rhyzome_client::OidcError::Refused(_) | rhyzome_client::OidcError::Late) => {
                "`rhyzome login` begins anew"
            }
            _ => return None,
        };
        Some(text.to_owned())
    }
}

#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  rhyzome login
  rhyzome login https://core.example:8080 --as home --fingerprint 8d2f…
  rhyzome login --device")]
pub struct Login {
    /// The core's URL; by default that of the current context.
    #[arg(value_name = "URL")]
    url: Option<String>,
    /// What the context is called that is made for a URL, or beside the current one for the same core.
    #[arg(long = "as", value_name = "NAME")]
    name: Option<Name>,
    /// The SHA-256 of the authority's certificate, where the core's certificate is of the site's own authority.
    #[arg(long, value_name = "HEX", requires = "url")]
    fingerprint: Option<String>,
    /// Show a code to type in on another machine, and open no browser here.
    #[arg(long)]
    device: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  rhyzome logout")]
pub struct Logout {}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  rhyzome whoami\n  rhyzome whoami --json")]
pub struct Who {}

/// A core, by a context that is there or is about to be.
pub(crate) struct Place {
    pub name: String,
    pub context: Context,
}

impl Login {
    pub async fn run(self, cx: &Cx) -> Result<(), Failure> {
        let place = match (&self.url, &self.name) {
            (Some(url), name) => {
                let name = name.as_ref().map_or("site", Name::as_str);
                Place::new(name, url, self.fingerprint.as_deref()).await?
            }
            (None, None) => Place::current(cx)?,
            (None, Some(name)) => Place::current(cx)?.beside(name),
        };
        place.check(cx)?;
        let session = place.log_in(cx, self.device).await?;
        let sentence = format!(
            "{} is logged in, for the context {}",
            session.who, place.name
        );
        cx.output.outcome(&session, &sentence)
    }
}

/// A login as it is shown: without its secret.
#[derive(Serialize)]
pub(crate) struct Shown {
    pub who: Name,
    pub context: String,
    pub expires_at: Timestamp,
}

impl Place {
    /// A core that is not known here yet. Its authority is believed by its fingerprint alone.
    pub async fn new(name: &str, url: &str, fingerprint: Option<&str>) -> Result<Self, Failure> {
        let authority = match fingerprint {
            Some(fingerprint) => Some(rhyzome_client::authority(url, fingerprint).await?),
            None => None,
        };
        let context = Context {
            url: url.to_owned(),
            project: None,
            token_file: None,
            authority_file: None,
            authority,
        };
        Ok(Self {
            name: name.to_owned(),
            context,
        })
    }

    pub fn current(cx: &Cx) -> Result<Self, Failure> {
        let file = File::load(&cx.paths.config)?;
        let named = cx.context_name()?.ok_or(context::Error::None)?;
        let (name, context) = file.pick(Some(&named), &cx.paths.config)?;
        Ok(Self {
            name: name.to_owned(),
            context: context.clone(),
        })
    }

    /// The same core in a context of another name, which shows nothing yet.
    pub fn beside(self, name: &Name) -> Self {
        let context = Context {
            token_file: None,
            project: None,
            ..self.context
        };
        Self {
            name: name.to_string(),
            context,
        }
    }

    /// Refuses to take the place of something else.
    ///
    /// # Errors
    /// Where the context is there and is of another core, or shows a token that is no login's.
    pub fn check(&self, cx: &Cx) -> Result<(), Failure> {
        let config = &cx.paths.config;
        let file = File::load(config)?;
        let Some(there) = file.contexts.get(&self.name) else {
            return Ok(());
        };
        if there.url.trim_end_matches('/') != self.context.url.trim_end_matches('/') {
            return Err(Error::OtherCore(self.name.clone()).into());
        }
        let is_login = kept::is_there(&context::token_store(config, &self.name));
        if there.token_file.is_some() && !is_login {
            return Err(Error::HasToken(self.name.clone()).into());
        }
        Ok(())
    }

    /// A client that shows nothing.
    pub fn stranger(&self) -> Result<Client, Failure> {
        Ok(Client::new(ClientOptions {
            url: self.context.url.clone(),
            token: None,
            authority_pem: self.context.authority()?,
        })?)
    }

    /// A client that shows what is kept of a login, or the context's token.
    pub fn client(&self, cx: &Cx) -> Result<Client, Failure> {
        let file = File::load(&cx.paths.config)?;
        let (_, context) = file.pick(Some(&self.name), &cx.paths.config)?;
        Ok(Client::new(ClientOptions {
            url: context.url.clone(),
            token: context.token()?,
            authority_pem: context.authority()?,
        })?)
    }

    /// Whether a person is logged in here, as the core sees it.
    pub async fn is_logged_in(&self, cx: &Cx) -> bool {
        match self.client(cx) {
            Ok(client) => client.whoami().await.is_ok_and(|who| who.is_person),
            Err(_) => false,
        }
    }

    /// Makes a project the context's, unless it has one.
    pub fn work_in(&self, cx: &Cx, project: &Name) -> Result<(), Failure> {
        let mut file = File::load(&cx.paths.config)?;
        if let Some(context) = file.contexts.get_mut(&self.name)
            && context.project.is_none()
        {
            context.project = Some(project.clone());
            file.save(&cx.paths.config)?;
        }
        Ok(())
    }

    /// Logs in at the site's issuer, and keeps that.
    pub async fn log_in(&self, cx: &Cx, device: bool) -> Result<Shown, Failure> {
        let core = self.stranger()?;
        let method = core.login_methods().await?.oidc.ok_or(Error::NoIssuer)?;
        let tokens = ask(cx, &method, device).await?;
        let made = core.log_in(&tokens.id_token).await?;
        self.keep(cx, &made.session, Some((method, tokens)))?;
        Ok(Shown {
            who: made.user.meta.name,
            context: self.name.clone(),
            expires_at: made.session.expires_at,
        })
    }

    /// Writes down what a login gave, and makes the context the current one.
    pub fn keep(
        &self,
        cx: &Cx,
        session: &SessionSecret,
        fresh: Option<(OidcMethod, IdTokens)>,
    ) -> Result<(), Failure> {
        let config = &cx.paths.config;
        let path = context::token_store(config, &self.name);
        Kept::of(session, fresh).write(&path, &session.secret)?;
        let mut file = File::load(config)?;
        let context = Context {
            token_file: Some(
                std::path::absolute(&path).map_err(|source| Failure::Read { path, source })?,
            ),
            ..self.context.clone()
        };
        file.contexts.insert(self.name.clone(), context);
        file.current = Some(self.name.clone());
        file.save(config)
    }
}

/// Has somebody log in at an issuer.
async fn ask(cx: &Cx, method: &OidcMethod, device: bool) -> Result<IdTokens, Failure> {
    let provider = Provider::discover(method).await.map_err(Error::from)?;
    let elsewhere = device || (!browser::is_likely() && provider.has_device_codes());
    if !elsewhere {
        return browser::log_in(cx, &provider).await;
    }
    let flow = provider.begin_elsewhere().await.map_err(Error::from)?;
    let minutes = flow.good_for().as_secs() / 60;
    cx.output.note(&format!(
        "Open {} on any machine and type in\n\n  {}\n\nwithin {minutes} minutes.",
        flow.url(),
        flow.code()
    ));
    if let Some(url) = flow.whole_url() {
        cx.output.note(&format!("Or open {url}"));
    }
    Ok(provider
        .finish_elsewhere(&flow)
        .await
        .map_err(Error::from)?)
}

impl Logout {
    pub async fn run(self, cx: &Cx) -> Result<(), Failure> {
        let place = Place::current(cx)?;
        let path = context::token_store(&cx.paths.config, &place.name);
        if !kept::is_there(&path) {
            return Err(context::Error::NotLoggedIn(place.name).into());
        }
        let session = cx.session()?;
        match session.client.log_out().await {
            // It is over anyway.
            Err(error) if error.problem().is_some_and(|problem| problem.status == 401) => {}
            other => other?,
        }
        kept::remove(&path)?;
        let mut file = File::load(&cx.paths.config)?;
        if let Some(context) = file.contexts.get_mut(&place.name) {
            context.token_file = None;
        }
        file.save(&cx.paths.config)?;
        let sentence = format!(
            "nobody is logged in for the context {} any more",
            place.name
        );
        cx.output.gone(&place.name, &place.name, &sentence)
    }
}

impl Who {
    pub async fn run(self, cx: &Cx) -> Result<(), Failure> {
        cx.output.thing(&cx.session()?.client.whoami().await?)
    }
}

impl Thing for Whoami {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn details(&self, now: Timestamp) -> Details {
        let kind = if self.is_person {
            "person"
        } else {
            "API token"
        };
        let projects = self
            .projects
            .iter()
            .map(|one| format!("{} ({})", one.project, one.role));
        let projects: Vec<String> = projects.collect();
        Details::default()
            .text("name", &self.name)
            .text("kind", kind)
            .maybe("on the site", self.site_role)
            .text(
                "projects",
                if projects.is_empty() {
                    "none".to_owned()
                } else {
                    projects.join(", ")
                },
            )
            .maybe("expires", self.expires_at.map(|at| time::ago(at, now)))
    }
}
