//! Sessions: who has logged in, by the SHA-256 of what their device shows.

use rhyzome_model::user::User;
use rhyzome_model::{SessionId, Timestamp, UserId};

use crate::member::Of;
use crate::statement::query;
use crate::{Conn, Result, Tx, member, user};

/// Somebody who is new on a device.
pub struct NewSession<'a> {
    pub id: SessionId,
    pub user: UserId,
    pub hash: &'a str,
    pub expires_at: Timestamp,
    /// How much longer each use makes it, in milliseconds; none where it ends when it ends.
    pub extended_by: Option<i64>,
}

/// A session, also one that has expired or whose user is disabled.
#[derive(Clone, Debug)]
pub struct Session {
    pub id: SessionId,
    pub user: UserId,
    pub expires_at: Timestamp,
    pub last_used_at: Option<Timestamp>,
    pub extended_by: Option<i64>,
}

/// A session with who has it and what they are.
#[derive(Clone, Debug)]
pub struct Known {
    pub session: Session,
    pub user: User,
    pub projects: Vec<Of>,
}

pub async fn insert(tx: &mut Tx, session: &NewSession<'_>, now: Timestamp) -> Result<()> {
    query!(
        "INSERT INTO sessions (id, user_id, hash, created_at, expires_at, extended_by) VALUES ($1, $2, $3, $4, $5, $6)",
    )
    .bind(session.id.to_string())
    .bind(session.user.to_string())
    .bind(session.hash)
    .bind(now.as_millis())
    .bind(session.expires_at.as_millis())
    .bind(session.extended_by)
    .run(tx, "insert a session")
    .await
    .map(drop)
}

/// Whose a hash is.
pub async fn by_hash(conn: &mut Conn, hash: &str) -> Result<Option<Known>> {
    let found = query!("SELECT * FROM sessions WHERE hash = $1")
        .bind(hash)
        .row(conn, "look a session up", |c| {
            Ok(Session {
                id: c.text("id")?,
                user: c.text("user_id")?,
                expires_at: c.time("expires_at")?,
                last_used_at: c.maybe_time("last_used_at")?,
                extended_by: c.maybe_integer("extended_by")?,
            })
        })
        .await?;
    let Some(session) = found else {
        return Ok(None);
    };
    let Some(user) = user::by_id(conn, session.user).await? else {
        return Ok(None);
    };
    let projects = member::of(conn, session.user).await?;
    Ok(Some(Known {
        session,
        user,
        projects,
    }))
}

/// Notes a use, and until when it is good by that.
pub async fn used(tx: &mut Tx, id: SessionId, expires_at: Timestamp, now: Timestamp) -> Result<()> {
    query!("UPDATE sessions SET last_used_at = $1, expires_at = $2 WHERE id = $3")
        .bind(now.as_millis())
        .bind(expires_at.as_millis())
        .bind(id.to_string())
        .run(tx, "note the use of a session")
        .await
        .map(drop)
}

pub async fn delete(tx: &mut Tx, id: SessionId) -> Result<()> {
    query!("DELETE FROM sessions WHERE id = $1")
        .bind(id.to_string())
        .run(tx, "end a session")
        .await
        .map(drop)
}

/// Ends all of somebody's; says how many those were.
pub async fn delete_of(tx: &mut Tx, user: UserId) -> Result<u64> {
    query!("DELETE FROM sessions WHERE user_id = $1")
        .bind(user.to_string())
        .run(tx, "end somebody's sessions")
        .await
}

/// Forgets those that have expired.
pub async fn prune(tx: &mut Tx, now: Timestamp) -> Result<()> {
    query!("DELETE FROM sessions WHERE expires_at <= $1")
        .bind(now.as_millis())
        .run(tx, "forget expired sessions")
        .await
        .map(drop)
}
