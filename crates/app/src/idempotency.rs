//! Requests that may be repeated: the answer to the first is given again.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rhyzome_model::Name;
use rhyzome_store::idempotency::{self, Answer, Request, Subject};
use serde::Serialize;
use serde_json::Value;

use crate::{Caller, Core, Error, Kind, Result};

/// What a request with a key is.
#[derive(Debug)]
pub enum Begin {
    /// The first of its key: do it within [`during`], then [`finish`] or [`abandon`] it.
    New(Begun),
    /// A repetition: answer with this.
    Replay(Answer),
    /// A repetition of one that was done, and whose answer was lost: see [`answer`].
    Lost(Subject),
    /// A repetition of one that is still being done.
    InProgress,
}

/// A request that is being done. Dropped, it is not any more: what it changed is known by then.
pub struct Begun {
    core: Core,
    request: Request,
}

impl std::fmt::Debug for Begun {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Begun").field(&self.request).finish()
    }
}

impl Drop for Begun {
    fn drop(&mut self) {
        self.core.requests.lock().remove(&self.of());
    }
}

impl Begun {
    fn of(&self) -> (String, String) {
        (self.request.caller.clone(), self.request.key.clone())
    }
}

/// The requests with keys that this core is doing: one core at a time has a database.
#[derive(Debug, Default)]
pub(crate) struct Requests(Mutex<HashMap<(String, String), String>>);

impl Requests {
    fn lock(&self) -> MutexGuard<'_, HashMap<(String, String), String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

tokio::task_local! {
    /// The request that is being done.
    static REQUEST: Request;
}

/// Does what a request with a key asks for: the key is written in the transaction of the change.
pub async fn during<T>(begun: &Begun, work: impl Future<Output = T>) -> T {
    REQUEST.scope(begun.request.clone(), work).await
}

/// The request that is being done, if it has a key.
pub(crate) fn current() -> Option<Request> {
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

/// Begins a request with a key. Nothing is written: what it changes is noted with the change.
///
/// # Errors
/// `KeyReused` if the key came with another request, `SecretAlreadyShown` if its answer had a secret.
pub async fn begin(core: &Core, caller: &Caller, key: &str, request_hash: &str) -> Result<Begin> {
    let request = Request {
        caller: caller.name.clone(),
        key: key.to_owned(),
        hash: request_hash.to_owned(),
    };
    let of = (request.caller.clone(), request.key.clone());
    let doing = match core.requests.lock().entry(of) {
        Entry::Occupied(doing) => Some(doing.get().clone()),
        Entry::Vacant(free) => {
            free.insert(request.hash.clone());
            None
        }
    };
    if let Some(hash) = doing {
        refuse_another(&hash, &request)?;
        return Ok(Begin::InProgress);
    }
    let begun = Begun {
        core: core.clone(),
        request,
    };
    let mut conn = core.store.read().await?;
    let found = idempotency::get(&mut conn, &caller.name, key).await?;
    let Some(found) = found else {
        return Ok(Begin::New(begun));
    };
    refuse_another(&found.request_hash, &begun.request)?;
    match (found.answer, found.changed) {
        (Some(Answer { body: None, .. }), _) => Err(secret()),
        (Some(answer), _) => Ok(Begin::Replay(answer)),
        (None, Some(subject)) => Ok(Begin::Lost(subject)),
        (None, None) => Ok(Begin::New(begun)),
    }
}

fn refuse_another(hash: &str, request: &Request) -> Result<()> {
    if hash == request.hash {
        return Ok(());
    }
    let why = "this Idempotency-Key came with another request before";
    Err(Error::new(Kind::KeyReused, why))
}

/// Keeps the answer to a request; without a body where it has a secret in it.
pub async fn finish(begun: Begun, answer: &Answer) -> Result<()> {
    let mut tx = begun.core.store.write().await?;
    let now = begun.core.now();
    idempotency::finish(&mut tx, &begun.request, answer, now).await?;
    Ok(tx.commit().await?)
}

/// Forgets a request that failed: it may be tried again with the same key.
pub async fn abandon(begun: Begun) -> Result<()> {
    let Request { caller, key, .. } = &begun.request;
    let noted = {
        let mut conn = begun.core.store.read().await?;
        idempotency::get(&mut conn, caller, key).await?
    };
    if noted.is_none() {
        return Ok(());
    }
    let mut tx = begun.core.store.write().await?;
    idempotency::forget(&mut tx, &begun.request).await?;
    Ok(tx.commit().await?)
}
