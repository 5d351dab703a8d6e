//! Invitations, by the SHA-256 of their codes: the codes themselves are nowhere.

use rhyzome_model::role::Role;
use rhyzome_model::user::Invitation;
use rhyzome_model::{InvitationId, Name, ProjectId, Timestamp, UserId};

use crate::column::Columns;
use crate::project::meta;
use crate::statement::query;
use crate::{After, Conn, Result, Tx};

pub struct NewInvitation<'a> {
    pub id: InvitationId,
    pub project: ProjectId,
    pub name: &'a Name,
    pub hash: &'a str,
    pub role: Role,
    pub expires_at: Timestamp,
    /// Who makes it, where that is a person.
    pub user: Option<UserId>,
}

/// An invitation as it is redeemed.
pub struct Found {
    pub project: ProjectId,
    /// Who made it, where that was a person.
    pub maker: Option<UserId>,
    pub invitation: Invitation,
}

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT i.*, p.name AS project FROM invitations i JOIN projects p ON p.id = i.project_id ",
            $rest
        )
    };
}

fn read(c: &Columns<'_>) -> Result<Invitation> {
    Ok(Invitation {
        meta: meta(c, Some(c.text("project")?))?,
        role: c.text("role")?,
        expires_at: c.time("expires_at")?,
    })
}

pub async fn insert(tx: &mut Tx, invitation: &NewInvitation<'_>, now: Timestamp) -> Result<()> {
    query!(
        "INSERT INTO invitations (id, project_id, name, hash, role, generation, created_at, updated_at, expires_at, user_id) \
         VALUES ($1, $2, $3, $4, $5, 1, $6, $6, $7, $8)",
    )
    .bind(invitation.id.to_string())
    .bind(invitation.project.to_string())
    .bind(invitation.name.as_str())
    .bind(invitation.hash)
    .bind(invitation.role.as_str())
    .bind(now.as_millis())
    .bind(invitation.expires_at.as_millis())
    .bind(invitation.user.map(|id| id.to_string()))
    .run(tx, "insert an invitation")
    .await
    .map(drop)
}

pub async fn get(conn: &mut Conn, project: ProjectId, name: &Name) -> Result<Option<Invitation>> {
    query!(select!("WHERE i.project_id = $1 AND i.name = $2"))
        .bind(project.to_string())
        .bind(name.as_str())
        .row(conn, "read an invitation", read)
        .await
}

pub async fn list(conn: &mut Conn, project: ProjectId, after: &After) -> Result<Vec<Invitation>> {
    query!(select!(
        "WHERE i.project_id = $1 AND i.name > $2 ORDER BY i.name LIMIT $3"
    ))
    .bind(project.to_string())
    .bind(after.name.as_str())
    .bind(after.limit)
    .rows(conn, "list invitations", read)
    .await
}

/// The one of a code; also one that has expired.
pub async fn by_hash(conn: &mut Conn, hash: &str) -> Result<Option<Found>> {
    query!(select!("WHERE i.hash = $1"))
        .bind(hash)
        .row(conn, "look an invitation up", |c| {
            Ok(Found {
                project: c.text("project_id")?,
                maker: c.maybe_text("user_id")?,
                invitation: read(c)?,
            })
        })
        .await
}

/// Uses an invitation up, or takes it back; says whether it was there: of two who redeem it at once, one does.
pub async fn delete(tx: &mut Tx, id: InvitationId) -> Result<bool> {
    query!("DELETE FROM invitations WHERE id = $1")
        .bind(id.to_string())
        .run(tx, "use an invitation up")
        .await
        .map(|rows| rows == 1)
}

/// Forgets those that have expired.
pub async fn prune(tx: &mut Tx, now: Timestamp) -> Result<()> {
    query!("DELETE FROM invitations WHERE expires_at <= $1")
        .bind(now.as_millis())
        .run(tx, "forget expired invitations")
        .await
        .map(drop)
}
