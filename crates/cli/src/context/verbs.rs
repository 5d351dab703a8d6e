//! `rhyzome context …`

use std::io::Read;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use clap_complete::ArgValueCandidates;
use rhyzome_model::{Name, Timestamp};
use serde::Serialize;

use super::{Context, Error, File, read_authority};
use crate::complete;
use crate::failure::Failure;
use crate::output::{Cell, Details, Row, Thing};
use crate::private;
use crate::session::Cx;

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Add a context; the first one becomes the current one.
    #[command(after_help = "\
Example:
  rhyzome context add home --url https://core.example:8080 \\
      --token-file ~/home.token --authority ~/home-authority.pem")]
    Add(Add),
    /// List the contexts.
    #[command(after_help = "Example:\n  rhyzome context list")]
    List,
    /// Make a context the current one.
    #[command(after_help = "Example:\n  rhyzome context use home")]
    Use(Named),
    /// Show a context, without its token; the one in use if none is named.
    #[command(after_help = "Example:\n  rhyzome context show home")]
    Show {
        #[arg(value_name = "NAME", add = ArgValueCandidates::new(complete::contexts))]
        name: Option<String>,
    },
    /// Remove a context, and the token if it was stored with it.
    #[command(after_help = "Example:\n  rhyzome context remove home")]
    Remove(Named),
}

#[derive(Debug, Args)]
pub struct Named {
    #[arg(value_name = "NAME", add = ArgValueCandidates::new(complete::contexts))]
    name: String,
}

#[derive(Debug, Args)]
pub struct Add {
    /// What to call it.
    #[arg(value_name = "NAME")]
    name: Name,
    /// The core's URL.
    #[arg(long, value_name = "URL")]
    url: String,
    /// A file of mode 0600 with the token. It stays where it is.
    #[arg(long, value_name = "FILE", conflicts_with = "token_stdin")]
    token_file: Option<PathBuf>,
    /// Read the token from the standard input and store it beside the contexts, with mode 0600.
    #[arg(long)]
    token_stdin: bool,
    /// A file with the site's authority in PEM, which is copied; without it, the authorities that this
    /// system trusts are trusted.
    #[arg(long, value_name = "FILE", conflicts_with = "fingerprint")]
    authority: Option<PathBuf>,
    /// The SHA-256 of the site's authority's certificate instead, as `rhyzome context show` says it where the authority is known: the
    /// certificate is fetched from the core and compared.
    #[arg(long, value_name = "HEX")]
    fingerprint: Option<String>,
    /// Make it the current one.
    #[arg(long = "use")]
    use_it: bool,
    /// Replace a context of this name.
    #[arg(long)]
    replace: bool,
}

/// A context as it is shown.
#[derive(Serialize)]
struct Shown<'a> {
    name: &'a str,
    current: bool,
    url: &'a str,
    project: Name,
    token_file: Option<&'a Path>,
    /// Whether only the site's own authority is trusted.
    own_authority: bool,
    /// The SHA-256 of its certificate.
    authority_fingerprint: Option<String>,
}

impl Command {
    pub async fn run(self, cx: &Cx) -> Result<(), Failure> {
        let path = &cx.paths.config;
        let mut file = File::load(path)?;
        match self {
            Self::Add(add) => add.run(cx, file).await,
            Self::List => {
                let shown: Vec<_> = file
                    .contexts
                    .iter()
                    .map(|(name, context)| shown(&file, name, context))
                    .collect();
                cx.output.list(
                    &shown,
                    "there are no contexts; `rhyzome context add` makes one",
                )
            }
            Self::Use(Named { name }) => {
                file.pick(Some(&name), path)?;
                file.current = Some(name.clone());
                file.save(path)?;
                let (name, context) = file.pick(Some(&name), path)?;
                cx.output.done(
                    &shown(&file, name, context),
                    &format!("{name} is the current context"),
                )
            }
            Self::Show { name } => {
                let env = std::env::var("RHYZOME_CONTEXT")
                    .ok()
                    .filter(|name| !name.is_empty());
                let named = name.or_else(|| cx.global.context.clone()).or(env);
                let (name, context) = file.pick(named.as_deref(), path)?;
                cx.output.thing(&shown(&file, name, context))
            }
            Self::Remove(Named { name }) => {
                file.pick(Some(&name), path)?;
                file.contexts.remove(&name);
                file.current = file.current.filter(|current| *current != name);
                file.save(path)?;
                private::remove(&token_store(path, &name))?;
                cx.output
                    .gone(&name, &name, &format!("the context {name} is removed"))
            }
        }
    }
}

impl Add {
    async fn run(self, cx: &Cx, mut file: File) -> Result<(), Failure> {
        let path = &cx.paths.config;
        let name = self.name.to_string();
        if file.contexts.contains_key(&name) && !self.replace {
            return Err(Error::Taken(name).into());
        }
        let authority = match (&self.authority, &self.fingerprint) {
            (Some(file), _) => Some(read_authority(file)?),
            (None, Some(hex)) => Some(rhyzome_client::authority(&self.url, hex).await?),
            (None, None) => None,
        };
        // What would be refused on every use is refused now.
        rhyzome_client::Client::new(rhyzome_client::ClientOptions {
            url: self.url.clone(),
            token: self.token_file.is_some().then(|| "rz_".to_owned()),
            authority_pem: authority.clone(),
        })?;
        let token_file = match (self.token_file, self.token_stdin) {
            (Some(file), _) => Some(absolute(&file)?),
            (None, true) => Some(store_token(path, &name)?),
            (None, false) => None,
        };
        let context = Context {
            url: self.url,
            project: cx.global.project.clone(),
            token_file,
            authority_file: None,
            authority,
        };
        file.contexts.insert(name.clone(), context);
        if self.use_it || file.current.is_none() {
            file.current = Some(name.clone());
        }
        file.save(path)?;
        let (name, context) = file.pick(Some(&name), path)?;
        cx.output.done(
            &shown(&file, name, context),
            &format!("the context {name} is added"),
        )
    }
}

fn absolute(file: &Path) -> Result<PathBuf, Failure> {
    private::read(file)?;
    std::path::absolute(file).map_err(|source| Failure::Read {
        path: file.to_owned(),
        source,
    })
}

fn store_token(config: &Path, name: &str) -> Result<PathBuf, Failure> {
    let mut token = String::new();
    let stdin = || PathBuf::from("the standard input");
    std::io::stdin()
        .take(4096)
        .read_to_string(&mut token)
        .map_err(|source| Failure::Read {
            path: stdin(),
            source,
        })?;
    if token.trim().is_empty() {
        return Err(Error::EmptyToken { file: stdin() }.into());
    }
    let path = token_store(config, name);
    private::write(&path, token.trim().as_bytes())?;
    std::path::absolute(&path).map_err(|source| Failure::Read { path, source })
}

/// Where a context's token is kept if it was given on the standard input.
pub(crate) fn token_store(config: &Path, name: &str) -> PathBuf {
    config.with_file_name("tokens").join(name)
}

fn shown<'a>(file: &File, name: &'a str, context: &'a Context) -> Shown<'a> {
    Shown {
        name,
        current: file.current.as_deref() == Some(name),
        url: &context.url,
        project: context
            .project
            .clone()
            .unwrap_or_else(Name::default_project),
        token_file: context.token_file.as_deref(),
        own_authority: context.authority.is_some() || context.authority_file.is_some(),
        // A file that cannot be read now is no reason to show nothing.
        authority_fingerprint: context
            .authority()
            .ok()
            .flatten()
            .and_then(|pem| rhyzome_client::fingerprint(&pem).ok()),
    }
}

impl Row for Shown<'_> {
    const HEADER: &'static [&'static str] = &["NAME", "CURRENT", "URL", "PROJECT"];

    fn name(&self) -> String {
        self.name.to_owned()
    }

    fn cells(&self, _: Timestamp) -> Vec<Cell> {
        let current = Cell::new(if self.current { "*" } else { "" });
        vec![
            Cell::new(self.name),
            current,
            Cell::new(self.url),
            Cell::new(&self.project),
        ]
    }
}

impl Thing for Shown<'_> {
    fn name(&self) -> String {
        self.name.to_owned()
    }

    fn details(&self, _: Timestamp) -> Details {
        let trusted = if self.own_authority {
            "the site's own authority"
        } else {
            "as this system does"
        };
        Details::default()
            .text("name", self.name)
            .cell("current", Cell::yes_no(self.current))
            .text("url", self.url)
            .text("project", &self.project)
            .maybe(
                "token",
                self.token_file.map(|file| file.display().to_string()),
            )
            .text("trusts", trusted)
            .maybe("fingerprint", self.authority_fingerprint.as_ref())
    }
}
