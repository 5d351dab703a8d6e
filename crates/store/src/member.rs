//! Who is what in which project.

use rhyzome_model::role::Role;
use rhyzome_model::user::{Member, ProjectRole};
use rhyzome_model::{Name, ProjectId, Timestamp, UserId};

use crate::column::Columns;
use crate::project::meta;
use crate::statement::query;
use crate::{After, Conn, Result, Tx};

/// Where a role comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    Invitation,
    Claims,
}

/// A membership of somebody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Of {
    pub project: ProjectId,
    pub name: Name,
    pub invited: Option<Role>,
    pub claimed: Option<Role>,
}

impl Of {
    /// What counts.
    pub fn role(&self) -> ProjectRole {
        ProjectRole {
            project: self.name.clone(),
            role: larger(self.invited, self.claimed),
        }
    }
}

/// A membership has one of the two.
fn larger(invited: Option<Role>, claimed: Option<Role>) -> Role {
    invited.max(claimed).unwrap_or(Role::Viewer)
}

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT m.*, m.user_id AS id, u.name AS name, u.display_name AS display_name, p.name AS project \
             FROM members m JOIN users u ON u.id = m.user_id JOIN projects p ON p.id = m.project_id ",
            $rest
        )
    };
}

fn read(c: &Columns<'_>) -> Result<Member> {
    let (invited, claimed) = (c.maybe_text("invited")?, c.maybe_text("claimed")?);
    Ok(Member {
        meta: meta(c, Some(c.text("project")?))?,
        display_name: c.string("display_name")?,
        role: larger(invited, claimed),
        invited,
        claimed,
    })
}

pub async fn get(conn: &mut Conn, project: ProjectId, user: &Name) -> Result<Option<Member>> {
    query!(select!("WHERE m.project_id = $1 AND u.name = $2"))
        .bind(project.to_string())
        .bind(user.as_str())
        .row(conn, "read a member", read)
        .await
}

pub async fn list(conn: &mut Conn, project: ProjectId, after: &After) -> Result<Vec<Member>> {
    query!(select!(
        "WHERE m.project_id = $1 AND u.name > $2 ORDER BY u.name LIMIT $3"
    ))
    .bind(project.to_string())
    .bind(after.name.as_str())
    .bind(after.limit)
    .rows(conn, "list members", read)
    .await
}

/// All that somebody is in projects, by the projects' names.
pub async fn of(conn: &mut Conn, user: UserId) -> Result<Vec<Of>> {
    query!(
        "SELECT m.project_id, m.invited, m.claimed, p.name AS project FROM members m \
         JOIN projects p ON p.id = m.project_id WHERE m.user_id = $1 ORDER BY p.name",
    )
    .bind(user.to_string())
    .rows(conn, "read what somebody is in projects", |c| {
        Ok(Of {
            project: c.text("project_id")?,
            name: c.text("project")?,
            invited: c.maybe_text("invited")?,
            claimed: c.maybe_text("claimed")?,
        })
    })
    .await
}

/// Gives somebody a role from one source, or takes it; the other source's stays.
pub async fn set(
    tx: &mut Tx,
    (project, user): (ProjectId, UserId),
    source: Source,
    role: Option<Role>,
    now: Timestamp,
) -> Result<()> {
    query!(
        "INSERT INTO members (project_id, user_id, generation, created_at, updated_at) VALUES ($1, $2, 0, $3, $3) \
         ON CONFLICT (project_id, user_id) DO NOTHING",
    )
    .bind(project.to_string())
    .bind(user.to_string())
    .bind(now.as_millis())
    .run(tx, "insert a member")
    .await?;
    let query = match source {
        Source::Invitation => query!(
            "UPDATE members SET invited = $1, generation = generation + 1, updated_at = $2 \
             WHERE project_id = $3 AND user_id = $4"
        ),
        Source::Claims => query!(
            "UPDATE members SET claimed = $1, generation = generation + 1, updated_at = $2 \
             WHERE project_id = $3 AND user_id = $4"
        ),
    };
    query
        .bind(role.map(Role::as_str))
        .bind(now.as_millis())
        .bind(project.to_string())
        .bind(user.to_string())
        .run(tx, "set a member's role")
        .await
        .map(drop)
}

pub async fn delete(tx: &mut Tx, project: ProjectId, user: UserId) -> Result<()> {
    query!("DELETE FROM members WHERE project_id = $1 AND user_id = $2")
        .bind(project.to_string())
        .bind(user.to_string())
        .run(tx, "delete a member")
        .await
        .map(drop)
}
