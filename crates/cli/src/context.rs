//! Contexts: which core to speak with, as whom, in which project.
//!
//! The file holds no token: each is in a file of its own, of mode 0600, that the context names.

mod file;
mod verbs;

use std::path::{Path, PathBuf};

use rhyzome_model::Name;

use crate::args::Global;
use crate::failure::Failure;
use crate::private;

pub use file::{Context, File};
pub use verbs::Command;
pub(crate) use verbs::token_store;

/// A core to speak with.
#[derive(Clone)]
pub struct Target {
    pub url: String,
    pub token: Option<String>,
    /// PEM.
    pub authority: Option<String>,
    pub project: Name,
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("no core is configured")]
    None,
    #[error("there are contexts, and none of them is the current one")]
    NoCurrent,
    #[error("there is no context {name:?} in {}", .file.display())]
    Unknown { name: String, file: PathBuf },
    #[error("there is a context {0} already")]
    Taken(String),
    #[error("RHYZOME_CONTEXT and RHYZOME_URL are both set, and only one can be meant")]
    Ambiguous,
    #[error("{} is not a configuration with contexts: {reason}", .file.display())]
    Syntax { file: PathBuf, reason: String },
    #[error("nobody is logged in for the context {0}")]
    NotLoggedIn(String),
    #[error("RHYZOME_PROJECT: {0}")]
    Project(rhyzome_model::name::InvalidName),
    #[error("{}: an empty token", .file.display())]
    EmptyToken { file: PathBuf },
}

impl Error {
    /// Whether a context was named that is not there.
    pub fn is_unknown(&self) -> bool {
        matches!(self, Self::Unknown { .. })
    }

    pub fn advice(&self) -> Option<String> {
        match self {
            Self::None => Some(
                "`rhyzome up` starts a site on this machine; `rhyzome context add NAME --url URL \
                 --token-file FILE` uses one that runs elsewhere"
                    .to_owned(),
            ),
            Self::NoCurrent => Some("choose one with `rhyzome context use NAME`".to_owned()),
            Self::Unknown { .. } => {
                Some("`rhyzome context list` shows those that are there".to_owned())
            }
            Self::Taken(_) => Some("`--replace` replaces it".to_owned()),
            Self::Ambiguous => Some("unset one of them, or say `--context NAME`".to_owned()),
            _ => None,
        }
    }
}

/// Finds out which core is meant: `--context`, or `RHYZOME_URL` with what belongs to it, or
/// `RHYZOME_CONTEXT`, or the current context. `env` reads an environment variable that is not empty.
///
/// A context's token never goes to another URL than the context's own.
pub fn resolve(
    path: &Path,
    global: &Global,
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<Target, Failure> {
    let named = match (&global.context, env("RHYZOME_CONTEXT"), env("RHYZOME_URL")) {
        (Some(name), ..) => Some(name.clone()),
        (None, Some(_), Some(_)) => return Err(Error::Ambiguous.into()),
        (None, Some(name), None) => Some(name),
        (None, None, Some(url)) => return by_environment(url, global, env),
        (None, None, None) => None,
    };
    let file = File::load(path)?;
    let (_, context) = file.pick(named.as_deref(), path)?;
    let token = match token_in_environment(env)? {
        Some(token) => Some(token),
        None => context.token()?,
    };
    let authority = context.authority()?;
    let project = project(global, env, context.project.as_ref())?;
    Ok(Target {
        url: context.url.clone(),
        token,
        authority,
        project,
    })
}

/// The name of the context that [`resolve`] uses; none where the environment alone says which core.
pub fn name(
    path: &Path,
    global: &Global,
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<Option<String>, Failure> {
    let named = global.context.clone();
    if named.is_none() && env("RHYZOME_URL").is_some() {
        return Ok(None);
    }
    let named = named.or_else(|| env("RHYZOME_CONTEXT"));
    let file = File::load(path)?;
    Ok(Some(file.pick(named.as_deref(), path)?.0.to_owned()))
}

fn by_environment(
    url: String,
    global: &Global,
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<Target, Failure> {
    let authority = env("RHYZOME_AUTHORITY_FILE").map(|file| read_authority(Path::new(&file)));
    Ok(Target {
        url,
        token: token_in_environment(env)?,
        authority: authority.transpose()?,
        project: project(global, env, None)?,
    })
}

fn token_in_environment(env: &dyn Fn(&str) -> Option<String>) -> Result<Option<String>, Failure> {
    match (env("RHYZOME_TOKEN"), env("RHYZOME_TOKEN_FILE")) {
        (Some(token), _) => Ok(Some(token)),
        (None, Some(file)) => read_token(Path::new(&file)).map(Some),
        (None, None) => Ok(None),
    }
}

fn project(
    global: &Global,
    env: &dyn Fn(&str) -> Option<String>,
    context: Option<&Name>,
) -> Result<Name, Failure> {
    if let Some(project) = &global.project {
        return Ok(project.clone());
    }
    if let Some(text) = env("RHYZOME_PROJECT") {
        return text.parse().map_err(|e| Error::Project(e).into());
    }
    Ok(context.cloned().unwrap_or_else(Name::default_project))
}

impl Context {
    /// What it shows to the core.
    pub(crate) fn token(&self) -> Result<Option<String>, Failure> {
        self.token_file.as_deref().map(read_token).transpose()
    }

    /// The authority (PEM) that it trusts; none where that is whom the system trusts.
    pub(crate) fn authority(&self) -> Result<Option<String>, Failure> {
        match (&self.authority, &self.authority_file) {
            (Some(pem), _) => Ok(Some(pem.clone())),
            (None, Some(file)) => read_authority(file).map(Some),
            (None, None) => Ok(None),
        }
    }
}

fn read_token(file: &Path) -> Result<String, Failure> {
    let token = private::read(file)?.trim().to_owned();
    if token.is_empty() {
        Err(Error::EmptyToken {
            file: file.to_owned(),
        }
        .into())
    } else {
        Ok(token)
    }
}

/// A certificate is no secret: anybody may read it.
fn read_authority(file: &Path) -> Result<String, Failure> {
    std::fs::read_to_string(file).map_err(|source| Failure::Read {
        path: file.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests;
