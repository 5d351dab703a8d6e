//! Answers to requests with an `Idempotency-Key`, to be given again.

use rhyzome_model::{Name, Timestamp};
use serde::{Deserialize, Serialize};

use crate::column::to_json;
use crate::statement::query;
use crate::{Conn, Result, Tx};

/// A request that was begun with a key, and its answer if it has one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recorded {
    pub request_hash: String,
    pub answer: Option<Answer>,
    /// What it changed, if that is committed and its answer was lost with its core.
    pub lost: Option<Subject>,
    pub created_at: Timestamp,
}

/// The resource that a request changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subject {
    pub project: Option<Name>,
    pub kind: String,
    pub name: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    pub etag: Option<String>,
    /// None where it had a secret in it, which is not stored.
    pub body: Option<String>,
}

pub async fn get(conn: &mut Conn, caller: &str, key: &str) -> Result<Option<Recorded>> {
    query!(
        "SELECT request_hash, status, etag, body, subject, lost, created_at FROM idempotency \
         WHERE caller = $1 AND idempotency_key = $2",
    )
    .bind(caller)
    .bind(key)
    .row(conn, "look an idempotency key up", |c| {
        let answer = c
            .maybe_integer("status")?
            .map(|status| {
                Ok(Answer {
                    status,
                    etag: c.maybe_string("etag")?,
                    body: c.maybe_string("body")?,
                })
            })
            .transpose()?;
        Ok(Recorded {
            request_hash: c.string("request_hash")?,
            answer,
            lost: match c.flag("lost")? {
                true => c.maybe_json("subject")?,
                false => None,
            },
            created_at: c.time("created_at")?,
        })
    })
    .await
}

/// Notes that a request was begun; replaces what was noted under the key.
pub async fn begin(tx: &mut Tx, caller: &str, key: &str, hash: &str, now: Timestamp) -> Result<()> {
    forget(tx, caller, key).await?;
    query!(
        "INSERT INTO idempotency (caller, idempotency_key, request_hash, created_at) \
         VALUES ($1, $2, $3, $4)",
    )
    .bind(caller)
    .bind(key)
    .bind(hash)
    .bind(now.as_millis())
    .run(tx, "note an idempotency key")
    .await
    .map(drop)
}

/// Notes in the transaction of a change that a request made it.
pub async fn changed(tx: &mut Tx, caller: &str, key: &str, subject: &Subject) -> Result<()> {
    query!(
        "UPDATE idempotency SET subject = $1 WHERE caller = $2 AND idempotency_key = $3 AND subject IS NULL",
    )
    .bind(to_json(subject)?)
    .bind(caller)
    .bind(key)
    .run(tx, "note what a request changed")
    .await
    .map(drop)
}

pub async fn finish(tx: &mut Tx, caller: &str, key: &str, answer: &Answer) -> Result<()> {
    query!(
        "UPDATE idempotency SET status = $1, etag = $2, body = $3 \
         WHERE caller = $4 AND idempotency_key = $5",
    )
    .bind(i64::from(answer.status))
    .bind(answer.etag.as_deref())
    .bind(answer.body.as_deref())
    .bind(caller)
    .bind(key)
    .run(tx, "note an answer")
    .await
    .map(drop)
}

pub async fn forget(tx: &mut Tx, caller: &str, key: &str) -> Result<()> {
    query!("DELETE FROM idempotency WHERE caller = $1 AND idempotency_key = $2")
        .bind(caller)
        .bind(key)
        .run(tx, "forget an idempotency key")
        .await
        .map(drop)
}

/// Forgets requests that were begun and changed nothing, and keeps what those changed that did: their
/// core is gone.
pub async fn forget_unanswered(tx: &mut Tx) -> Result<u64> {
    query!("UPDATE idempotency SET lost = 1 WHERE status IS NULL AND subject IS NOT NULL")
        .run(tx, "keep what requests changed")
        .await?;
    query!("DELETE FROM idempotency WHERE status IS NULL AND subject IS NULL")
        .run(tx, "forget unanswered requests")
        .await
}

pub async fn prune(tx: &mut Tx, before: Timestamp) -> Result<u64> {
    query!("DELETE FROM idempotency WHERE created_at < $1")
        .bind(before.as_millis())
        .run(tx, "prune idempotency keys")
        .await
}
