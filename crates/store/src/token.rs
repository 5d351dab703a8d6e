//! API tokens, by the SHA-256 of their text: the text itself is nowhere.

use rhyzome_model::resource::ApiToken;
use rhyzome_model::role::Role;
use rhyzome_model::{ApiTokenId, Name, ProjectId, Timestamp, UserId};

use crate::column::Columns;
use crate::project::meta;
use crate::statement::query;
use crate::{After, Conn, Result, Tx};

/// Whose a token is: a project's, or the site's.
pub type Owner = Option<ProjectId>;

pub struct NewToken<'a> {
    pub id: ApiTokenId,
    pub hash: &'a str,
    pub owner: Owner,
    pub name: &'a Name,
    pub role: Role,
    pub expires_at: Option<Timestamp>,
    /// Who makes it, where that is a person.
    pub user: Option<UserId>,
}

/// A token, and the name of its project.
fn read(c: &Columns<'_>) -> Result<ApiToken> {
    Ok(ApiToken {
        meta: meta(c, c.maybe_text("project")?)?,
        role: c.text("role")?,
        expires_at: c.maybe_time("expires_at")?,
        last_used_at: c.maybe_time("last_used_at")?,
    })
}

fn owner_text(owner: Owner) -> String {
    owner.map(|id| id.to_string()).unwrap_or_default()
}

pub async fn insert(tx: &mut Tx, token: &NewToken<'_>, now: Timestamp) -> Result<()> {
    query!(
        "INSERT INTO tokens (id, hash, project_id, owner, name, role, generation, created_at, updated_at, expires_at, user_id) \
         VALUES ($1, $2, $3, $4, $5, $6, 1, $7, $7, $8, $9)",
    )
    .bind(token.id.to_string())
    .bind(token.hash)
    .bind(token.owner.map(|id| id.to_string()))
    .bind(owner_text(token.owner))
    .bind(token.name.as_str())
    .bind(token.role.as_str())
    .bind(now.as_millis())
    .bind(token.expires_at.map(Timestamp::as_millis))
    .bind(token.user.map(|id| id.to_string()))
    .run(tx, "insert an API token")
    .await
    .map(drop)
}

/// The token of a hash, also one that has expired, and who made it.
pub async fn by_hash(conn: &mut Conn, hash: &str) -> Result<Option<(ApiToken, Option<UserId>)>> {
    query!(
        "SELECT t.*, p.name AS project FROM tokens t LEFT JOIN projects p ON p.id = t.project_id WHERE t.hash = $1",
    )
    .bind(hash)
    .row(conn, "look an API token up", |c| {
        Ok((read(c)?, c.maybe_text("user_id")?))
    })
    .await
}

pub async fn get(conn: &mut Conn, owner: Owner, name: &Name) -> Result<Option<ApiToken>> {
    query!(
        "SELECT t.*, p.name AS project FROM tokens t LEFT JOIN projects p ON p.id = t.project_id \
         WHERE t.owner = $1 AND t.name = $2",
    )
    .bind(owner_text(owner))
    .bind(name.as_str())
    .row(conn, "read an API token", read)
    .await
}

pub async fn list(conn: &mut Conn, owner: Owner, after: &After) -> Result<Vec<ApiToken>> {
    query!(
        "SELECT t.*, p.name AS project FROM tokens t LEFT JOIN projects p ON p.id = t.project_id \
         WHERE t.owner = $1 AND t.name > $2 ORDER BY t.name LIMIT $3",
    )
    .bind(owner_text(owner))
    .bind(after.name.as_str())
    .bind(after.limit)
    .rows(conn, "list API tokens", read)
    .await
}

/// Notes that a token was used.
pub async fn used(tx: &mut Tx, id: ApiTokenId, now: Timestamp) -> Result<()> {
    query!("UPDATE tokens SET last_used_at = $1 WHERE id = $2")
        .bind(now.as_millis())
        .bind(id.to_string())
        .run(tx, "note the use of an API token")
        .await
        .map(drop)
}

pub async fn delete(tx: &mut Tx, owner: Owner, name: &Name) -> Result<()> {
    query!("DELETE FROM tokens WHERE owner = $1 AND name = $2")
        .bind(owner_text(owner))
        .bind(name.as_str())
        .run(tx, "delete an API token")
        .await
        .map(drop)
}
