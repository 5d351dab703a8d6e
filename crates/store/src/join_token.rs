//! Join tokens, by the SHA-256 of their text: the text itself is nowhere.

use rhyzome_model::component::ComponentKind;
use rhyzome_model::{ComponentId, Name, Timestamp};

use crate::statement::query;
use crate::{Conn, Result, Tx};

/// What a join token is good for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JoinToken {
    pub kind: Option<ComponentKind>,
    pub name: Option<Name>,
    pub expires_at: Timestamp,
    pub used_at: Option<Timestamp>,
    /// None where it was not used, or by an older core.
    pub used_by: Option<User>,
}

/// Who used a join token up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    pub component: ComponentId,
    /// Of the key that it joined with: 64 hexadecimal digits.
    pub key: String,
}

pub async fn insert_join(tx: &mut Tx, hash: &str, token: &JoinToken, now: Timestamp) -> Result<()> {
    query!("INSERT INTO join_tokens (hash, kind, name, expires_at, created_at) VALUES ($1, $2, $3, $4, $5)")
        .bind(hash)
        .bind(token.kind.map(ComponentKind::as_str))
        .bind(token.name.as_ref().map(Name::as_str))
        .bind(token.expires_at.as_millis())
        .bind(now.as_millis())
        .run(tx, "insert a join token")
        .await
        .map(drop)
}

pub async fn join(conn: &mut Conn, hash: &str) -> Result<Option<JoinToken>> {
    query!("SELECT * FROM join_tokens WHERE hash = $1")
        .bind(hash)
        .row(conn, "look a join token up", |c| {
            let component = c.maybe_text("component_id")?;
            let key = c.maybe_string("key_fingerprint")?;
            Ok(JoinToken {
                kind: c.maybe_text("kind")?,
                name: c.maybe_text("name")?,
                expires_at: c.time("expires_at")?,
                used_at: c.maybe_time("used_at")?,
                used_by: component
                    .zip(key)
                    .map(|(component, key)| User { component, key }),
            })
        })
        .await
}

pub async fn use_join(tx: &mut Tx, hash: &str, by: &User, now: Timestamp) -> Result<()> {
    query!(
        "UPDATE join_tokens SET used_at = $1, component_id = $2, key_fingerprint = $3 WHERE hash = $4"
    )
        .bind(now.as_millis())
        .bind(by.component.to_string())
        .bind(by.key.as_str())
        .bind(hash)
        .run(tx, "use a join token up")
        .await
        .map(drop)
}
