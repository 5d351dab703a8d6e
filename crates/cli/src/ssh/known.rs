//! The keys of an instance's SSH server: a file of known hosts for each instance, by its id, so that one
//! that was made anew under the same name has keys of its own.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rhyzome_model::Name;
use rhyzome_model::instance::SshIdentity;
use rhyzome_model::resource::Instance;
use tokio::time::{Instant, sleep};

use super::Error;
use crate::failure::Failure;
use crate::private;
use crate::session::{Cx, Session};

/// How often the core is asked whether the keys are known.
const PAUSE: Duration = Duration::from_secs(1);

/// Where the host's keys are, and whether one that is not there may be added.
#[derive(Debug)]
pub struct KnownHosts {
    pub path: PathBuf,
    pub accept_new: bool,
}

/// The instance, once its keys are known or the time is over.
pub async fn wait(
    cx: &Cx,
    session: &Session<'_>,
    name: &Name,
    bound: Option<Duration>,
) -> Result<Instance, Failure> {
    let begun = Instant::now();
    let mut told = false;
    loop {
        let instance = session.scope.instance().get(name).await?;
        let Some(bound) = bound.filter(|_| identity(&instance).is_unknown()) else {
            return Ok(instance);
        };
        if begun.elapsed() >= bound {
            let seconds = bound.as_secs();
            let name = name.clone();
            return Err(Error::Late { name, seconds }.into());
        }
        if !told {
            told = true;
            cx.output.note(&format!(
                "waiting until the console of {name} prints its SSH host keys"
            ));
        }
        sleep(PAUSE).await;
    }
}

/// What the console said; nothing where it has not said anything.
pub fn identity(instance: &Instance) -> SshIdentity {
    let observed = instance.status.observed.as_ref();
    observed
        .map(|observed| observed.ssh.clone())
        .unwrap_or_default()
}

/// Writes what the core knows into a file. Where it knows nothing, what was accepted before is good.
pub fn write(data: &Path, instance: &Instance, accept_new: bool) -> Result<KnownHosts, Failure> {
    let path = data
        .join("ssh")
        .join(format!("{}.known_hosts", instance.meta.id));
    let lines: String = identity(instance)
        .host_keys
        .iter()
        .filter(|key| !key.chars().any(char::is_control))
        .map(|key| format!("{} {key}\n", instance.meta.id))
        .collect();
    let known = !lines.is_empty();
    if known {
        if fs::read_to_string(&path).ok().as_ref() != Some(&lines) {
            private::write(&path, lines.as_bytes())?;
        }
    } else if fs::metadata(&path).map_or(0, |file| file.len()) == 0 {
        if !accept_new {
            return Err(Error::NoHostKeys(instance.meta.name.clone()).into());
        }
        private::write(&path, b"")?;
    }
    Ok(KnownHosts {
        path,
        accept_new: accept_new && !known,
    })
}
