//! Requests that may be repeated: the answer to the first is given again.

use rhyzome_model::Name;
use rhyzome_store::idempotency::{self, Answer, Subject};
use serde::Serialize;
use serde_json::Value;

use crate::{Caller, Core, Error, Kind, Result};

/// How long a request may take before a repetition is taken for the first. Milliseconds.
const ABANDONED: i64 = 10 * 60 * 1000;

/// What a request with a key is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Begin {
    /// The first of its key: do it, then [`finish`].
    New,
    /// A repetition: answer with this.
    Replay(Answer),
    /// A repetition of one that was done, and whose answer was lost with its core: see [`answer`].
    Lost(Subject),
    /// A repetition of one that is still being done.
    InProgress,
}

tokio::task_local! {
    /// The request that is being done, by its caller and key.
    static REQUEST: (String, String);
}

/// Does what a request with a key asks for: the key is written in the transaction of the change.
pub async fn during<T>(caller: &Caller, key: &str, work: impl Future<Output = T>) -> T {
    let request = (caller.name.clone(), key.to_owned());
    REQUEST.scope(request, work).await
}

/// The request that is being done, if it has a key.
pub(crate) fn current() -> Option<(String, String)> {
    REQUEST.try_with(Clone::clone).ok()
}

/// The answer to a request whose own was lost: the resource that it made or changed, as it is now.
///
/// # Errors
/// `NotFound` if it is gone again; `SecretAlreadyShown` if it was no resource.
pub async fn answer(core: &Core, caller: &Caller, subject: &Subject) -> Result<Value> {
    let name: Name = match subject.name.parse() {
        Ok(name) => name,
        Err(_) => return Err(secret()),
    };
    let default = Name::default_project();
    let project = subject.project.as_ref().unwrap_or(&default);
    match subject.kind.as_str() {
        "project" => shown(&crate::project::get(core, caller, &name).await?),
        "network" => shown(&crate::network::get(core, caller, project, &name).await?),
        "instance" => shown(&crate::instance::get(core, caller, project, &name).await?),
        "peer" => shown(&crate::peer::get(core, caller, project, &name).await?),
        "image" => shown(&crate::image::get(core, caller, project, &name).await?),
        "ssh_key" => shown(&crate::ssh_key::get(core, caller, project, &name).await?),
        "component" => shown(&crate::component::get(core, caller, &name).await?),
        _ => Err(secret()),
    }
}

fn shown(resource: &impl Serialize) -> Result<Value> {
    serde_json::to_value(resource).map_err(Error::internal)
}

fn secret() -> Error {
    let why = "the answer to this request had a secret in it and was shown already";
    Error::new(Kind::SecretAlreadyShown, why)
}

/// Begins a request with a key.
///
/// # Errors
/// `KeyReused` if the key came with another request, `SecretAlreadyShown` if its answer had a secret.
pub async fn begin(core: &Core, caller: &Caller, key: &str, request_hash: &str) -> Result<Begin> {
    let mut work = core.begin().await?;
    let now = work.now;
    if let Some(found) = idempotency::get(&mut work, &caller.name, key).await? {
        if found.request_hash != request_hash {
            let why = "this Idempotency-Key came with another request before";
            return Err(Error::new(Kind::KeyReused, why));
        }
        match found.answer {
            Some(Answer { body: None, .. }) => {
                return Err(secret());
            }
            Some(answer) => return Ok(Begin::Replay(answer)),
            None if found.lost.is_some() => {
                return Ok(found.lost.map_or(Begin::InProgress, Begin::Lost));
            }
            None if found.created_at.plus_millis(ABANDONED) > now => return Ok(Begin::InProgress),
            None => {}
        }
    }
    idempotency::begin(&mut work, &caller.name, key, request_hash, now).await?;
    work.commit().await?;
    Ok(Begin::New)
}

/// Keeps the answer to a request; without a body where it has a secret in it.
pub async fn finish(core: &Core, caller: &Caller, key: &str, answer: &Answer) -> Result<()> {
    let mut work = core.begin().await?;
    idempotency::finish(&mut work, &caller.name, key, answer).await?;
    work.commit().await
}

/// Forgets a request that failed in a way that may pass: it may be tried again with the same key.
pub async fn abandon(core: &Core, caller: &Caller, key: &str) -> Result<()> {
    let mut work = core.begin().await?;
    idempotency::forget(&mut work, &caller.name, key).await?;
    work.commit().await
}
