//! What people lost who left a project or were disabled, and which endpoints have confirmed it.

use rhyzome_model::user::{Cause, Revocation, RevokedPeer};
use rhyzome_model::{Name, PlacementId, ProjectId, Timestamp, UserId};

use crate::column::Columns;
use crate::statement::query;
use crate::{Conn, Result, Tx};

/// What somebody loses in a project.
pub struct Lost<'a> {
    pub project: ProjectId,
    pub user: &'a Name,
    pub cause: Cause,
    pub tokens: u64,
    pub sessions: u64,
}

/// Without its peers.
fn read(c: &Columns<'_>) -> Result<(ProjectId, Revocation)> {
    let revocation = Revocation {
        project: c.text("project")?,
        user: c.text("user_name")?,
        cause: c.word("cause")?,
        revoked_at: c.time("revoked_at")?,
        tokens: c.integer("tokens")?,
        sessions: c.integer("sessions")?,
        peers: Vec::new(),
    };
    Ok((c.text("project_id")?, revocation))
}

/// Notes a revocation, in the place of an earlier one of the same person and project.
pub async fn insert(tx: &mut Tx, lost: &Lost<'_>, now: Timestamp) -> Result<()> {
    query!("DELETE FROM revoked_peers WHERE project_id = $1 AND user_name = $2")
        .bind(lost.project.to_string())
        .bind(lost.user.as_str())
        .run(tx, "forget an earlier revocation's peers")
        .await?;
    query!("DELETE FROM revocations WHERE project_id = $1 AND user_name = $2")
        .bind(lost.project.to_string())
        .bind(lost.user.as_str())
        .run(tx, "forget an earlier revocation")
        .await?;
    query!(
        "INSERT INTO revocations (project_id, user_name, cause, revoked_at, tokens, sessions) \
         VALUES ($1, $2, $3, $4, $5, $6)",
    )
    .bind(lost.project.to_string())
    .bind(lost.user.as_str())
    .bind(lost.cause.as_str())
    .bind(now.as_millis())
    .bind(i64::try_from(lost.tokens).unwrap_or(i64::MAX))
    .bind(i64::try_from(lost.sessions).unwrap_or(i64::MAX))
    .run(tx, "note a revocation")
    .await
    .map(drop)
}

/// Notes that a peer's placement is to go, and that its endpoint will confirm that.
pub async fn insert_peer(
    tx: &mut Tx,
    lost: &Lost<'_>,
    placement: PlacementId,
    peer: &Name,
    network: &Name,
) -> Result<()> {
    query!(
        "INSERT INTO revoked_peers (placement_id, project_id, user_name, peer, network) VALUES ($1, $2, $3, $4, $5) \
         ON CONFLICT (placement_id) DO NOTHING",
    )
    .bind(placement.to_string())
    .bind(lost.project.to_string())
    .bind(lost.user.as_str())
    .bind(peer.as_str())
    .bind(network.as_str())
    .run(tx, "note a revoked peer")
    .await
    .map(drop)
}

/// Notes that an endpoint knows a peer no longer, if it was revoked.
pub async fn confirmed(tx: &mut Tx, placement: PlacementId, now: Timestamp) -> Result<()> {
    query!("UPDATE revoked_peers SET confirmed_at = $1 WHERE placement_id = $2")
        .bind(now.as_millis())
        .bind(placement.to_string())
        .run(tx, "note an endpoint's confirmation")
        .await
        .map(drop)
}

pub async fn get(conn: &mut Conn, project: ProjectId, user: &Name) -> Result<Option<Revocation>> {
    let found = query!(
        "SELECT r.*, p.name AS project FROM revocations r JOIN projects p ON p.id = r.project_id \
         WHERE r.project_id = $1 AND r.user_name = $2",
    )
    .bind(project.to_string())
    .bind(user.as_str())
    .row(conn, "read a revocation", read)
    .await?;
    match found {
        Some((_, revocation)) => with_peers(conn, project, revocation).await.map(Some),
        None => Ok(None),
    }
}

/// All of somebody, latest first.
pub async fn of(conn: &mut Conn, user: &Name) -> Result<Vec<Revocation>> {
    let found = query!(
        "SELECT r.*, p.name AS project FROM revocations r JOIN projects p ON p.id = r.project_id \
         WHERE r.user_name = $1 ORDER BY r.revoked_at DESC, p.name",
    )
    .bind(user.as_str())
    .rows(conn, "read somebody's revocations", read)
    .await?;
    let mut all = Vec::new();
    for (project, revocation) in found {
        all.push(with_peers(conn, project, revocation).await?);
    }
    Ok(all)
}

async fn with_peers(
    conn: &mut Conn,
    project: ProjectId,
    revocation: Revocation,
) -> Result<Revocation> {
    let peers = query!(
        "SELECT v.peer, v.network, v.confirmed_at, pl.id AS placement FROM revoked_peers v \
         LEFT JOIN placements pl ON pl.id = v.placement_id \
         WHERE v.project_id = $1 AND v.user_name = $2 ORDER BY v.peer, v.network",
    )
    .bind(project.to_string())
    .bind(revocation.user.as_str())
    .rows(conn, "read a revocation's peers", |c| {
        let confirmed_at = c.maybe_time("confirmed_at")?;
        Ok(RevokedPeer {
            peer: c.text("peer")?,
            network: c.text("network")?,
            confirmed_at,
            is_awaited: confirmed_at.is_none() && c.maybe_string("placement")?.is_some(),
        })
    })
    .await?;
    Ok(Revocation {
        peers,
        ..revocation
    })
}

/// Whose peers are in a project: ids and names of what is not being deleted yet.
pub async fn peers_of(conn: &mut Conn, project: ProjectId, user: UserId) -> Result<Vec<Name>> {
    query!(
        "SELECT name FROM peers WHERE project_id = $1 AND user_id = $2 AND deleting = 0 ORDER BY name",
    )
    .bind(project.to_string())
    .bind(user.to_string())
    .rows(conn, "read somebody's peers", |c| c.text("name"))
    .await
}

/// Projects in which somebody has devices or tokens, member or not.
pub async fn projects_of(conn: &mut Conn, user: UserId) -> Result<Vec<(ProjectId, Name)>> {
    query!(
        "SELECT id, name FROM projects WHERE id IN (SELECT project_id FROM members WHERE user_id = $1 \
         UNION SELECT project_id FROM peers WHERE user_id = $1 \
         UNION SELECT project_id FROM tokens WHERE user_id = $1 AND project_id IS NOT NULL) ORDER BY name",
    )
    .bind(user.to_string())
    .rows(conn, "read where somebody has something", |c| {
        Ok((c.text("id")?, c.text("name")?))
    })
    .await
}

/// Revokes the API tokens that somebody made in a project, or on the site where none is named.
pub async fn tokens_of(tx: &mut Tx, project: Option<ProjectId>, user: UserId) -> Result<u64> {
    query!("DELETE FROM tokens WHERE owner = $1 AND user_id = $2")
        .bind(project.map(|id| id.to_string()).unwrap_or_default())
        .bind(user.to_string())
        .run(tx, "revoke somebody's API tokens")
        .await
}
