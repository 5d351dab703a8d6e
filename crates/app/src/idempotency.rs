//! Requests that may be repeated: the answer to the first is given again.

use rhyzome_store::idempotency::{self, Answer};

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
    /// A repetition of one that is still being done.
    InProgress,
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
                let why = "the answer to this request had a secret in it and was shown already";
                return Err(Error::new(Kind::SecretAlreadyShown, why));
            }
            Some(answer) => return Ok(Begin::Replay(answer)),
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
