//! What is kept of a login, and how it is begun anew before it ends.

use std::path::{Path, PathBuf};

use rhyzome_client::{Client, ClientOptions, IdTokens, Provider};
use rhyzome_model::Timestamp;
use rhyzome_model::user::OidcMethod;
use rhyzome_wire::request::SessionSecret;
use serde::{Deserialize, Serialize};

use super::Error;
use crate::context;
use crate::failure::Failure;
use crate::output::time;
use crate::private;
use crate::session::Cx;

/// How much of a login has to be left, in milliseconds, for it not to be begun anew.
const LEFT: i64 = 10 * 60_000;

/// Beside the secret that is shown to the core.
#[derive(Serialize, Deserialize)]
pub struct Kept {
    expires_at: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    fresh: Option<Fresh>,
}

/// With what the issuer gives another ID token.
#[derive(Clone, Serialize, Deserialize)]
struct Fresh {
    method: OidcMethod,
    refresh_token: String,
}

impl Kept {
    pub fn of(session: &SessionSecret, fresh: Option<(OidcMethod, IdTokens)>) -> Self {
        let fresh = fresh.and_then(|(method, tokens)| {
            Some(Fresh {
                method,
                refresh_token: tokens.refresh_token?,
            })
        });
        Self {
            expires_at: session.expires_at,
            fresh,
        }
    }

    /// First what makes the next one, then the secret: cut off in between, the old secret is good still.
    pub fn write(&self, path: &Path, secret: &str) -> Result<(), Failure> {
        self.write_beside(path)?;
        private::write(path, secret.as_bytes())
    }

    fn write_beside(&self, path: &Path) -> Result<(), Failure> {
        let text = serde_json::to_vec(self).expect("plain data");
        private::write(&beside(path), &text)
    }

    fn read(path: &Path) -> Option<Self> {
        let text = private::read(&beside(path)).ok()?;
        serde_json::from_str(&text).ok()
    }
}

fn beside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".login");
    PathBuf::from(name)
}

/// Whether somebody is logged in whose secret is kept there.
pub fn is_there(path: &Path) -> bool {
    beside(path).exists()
}

pub fn remove(path: &Path) -> Result<(), Failure> {
    private::remove(path)?;
    private::remove(&beside(path))
}

/// Begins the login of the context that is used anew, if it is about to end and the issuer allows it. Where that fails and the login
/// is good still, nothing is said: it is tried again with the next command.
///
/// # Errors
/// Only where the login is over.
pub async fn freshen(cx: &Cx) -> Result<(), Failure> {
    let Ok(Some(name)) = cx.context_name() else {
        return Ok(());
    };
    let path = context::token_store(&cx.paths.config, &name);
    let Some(kept) = Kept::read(&path) else {
        return Ok(());
    };
    let (now, expires_at) = (time::now(), kept.expires_at);
    let Some(fresh) = kept.fresh.clone() else {
        return Ok(());
    };
    if now.plus_millis(LEFT) < expires_at {
        return Ok(());
    }
    match anew(cx, &path, kept, fresh).await {
        Err(failure) if now >= expires_at => Err(failure),
        _ => Ok(()),
    }
}

async fn anew(cx: &Cx, path: &Path, kept: Kept, fresh: Fresh) -> Result<(), Failure> {
    let target = cx.target()?;
    let core = Client::new(ClientOptions {
        url: target.url,
        token: None,
        authority_pem: target.authority,
    })?;
    let provider = Provider::discover(&fresh.method)
        .await
        .map_err(Error::from)?;
    let tokens = provider
        .refresh(&fresh.refresh_token)
        .await
        .map_err(Error::from)?;
    // The one before is used up by now, whatever the core says.
    let next = Fresh {
        refresh_token: tokens.refresh_token.clone().unwrap_or(fresh.refresh_token),
        ..fresh
    };
    let mut kept = Kept {
        fresh: Some(next),
        ..kept
    };
    kept.write_beside(path)?;
    let made = core.log_in(&tokens.id_token).await?;
    kept.expires_at = made.session.expires_at;
    kept.write(path, &made.session.secret)
}
