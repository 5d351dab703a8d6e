//! Answers to requests with an `Idempotency-Key`, to be given again.

use rhyzome_model::{Name, Timestamp};
use serde::{Deserialize, Serialize};

use crate::column::to_json;
use crate::statement::query;
use crate::{Conn, Result, Tx};

/// A request with a key that was done, and its answer if that was kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recorded {
    pub request_hash: String,
    pub answer: Option<Answer>,
    /// What it changed: told instead of an answer that was lost with its core.
    pub changed: Option<Subject>,
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
        "SELECT request_hash, status, etag, body, subject FROM idempotency \
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
            changed: c.maybe_json("subject")?,
        })
    })
    .await
}

/// A request with a key.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Request {
    pub caller: String,
    pub key: String,
    /// Of what was asked for.
    pub hash: String,
}

/// Notes in the transaction of a change that a request made it; the first that it made is told of.
pub async fn changed(
    tx: &mut Tx,
    request: &Request,
    subject: &Subject,
    now: Timestamp,
) -> Result<()> {
    query!(
        "INSERT INTO idempotency (caller, idempotency_key, request_hash, created_at, subject) \
         VALUES ($1, $2, $3, $4, $5) ON CONFLICT (caller, idempotency_key) \
         DO UPDATE SET subject = excluded.subject WHERE idempotency.subject IS NULL",
    )
    .bind(request.caller.as_str())
    .bind(request.key.as_str())
    .bind(request.hash.as_str())
    .bind(now.as_millis())
    .bind(to_json(subject)?)
    .run(tx, "note what a request changed")
    .await
    .map(drop)
}

/// Keeps the answer to a request.
pub async fn finish(tx: &mut Tx, request: &Request, answer: &Answer, now: Timestamp) -> Result<()> {
    query!(
        "INSERT INTO idempotency (caller, idempotency_key, request_hash, created_at, status, etag, body) \
         VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (caller, idempotency_key) \
         DO UPDATE SET status = excluded.status, etag = excluded.etag, body = excluded.body",
    )
    .bind(request.caller.as_str())
    .bind(request.key.as_str())
    .bind(request.hash.as_str())
    .bind(now.as_millis())
    .bind(i64::from(answer.status))
    .bind(answer.etag.as_deref())
    .bind(answer.body.as_deref())
    .run(tx, "keep an answer")
    .await
    .map(drop)
}

pub async fn forget(tx: &mut Tx, request: &Request) -> Result<()> {
    query!("DELETE FROM idempotency WHERE caller = $1 AND idempotency_key = $2")
        .bind(request.caller.as_str())
        .bind(request.key.as_str())
        .run(tx, "forget an idempotency key")
        .await
        .map(drop)
}

pub async fn prune(tx: &mut Tx, before: Timestamp) -> Result<u64> {
    query!("DELETE FROM idempotency WHERE created_at < $1")
        .bind(before.as_millis())
        .run(tx, "prune idempotency keys")
        .await
}
