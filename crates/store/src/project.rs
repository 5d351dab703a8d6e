//! Projects.

use rhyzome_model::resource::{Meta, Project};
use rhyzome_model::{Name, ProjectId, Timestamp};

use crate::column::Columns;
use crate::statement::{gathered, query, sql};
use crate::{After, Conn, Result, Tx};

fn read(c: &Columns<'_>) -> Result<Project> {
    Ok(Project {
        meta: meta(c, None)?,
    })
}

/// What every resource has, of a row with the usual columns.
pub(crate) fn meta(c: &Columns<'_>, project: Option<Name>) -> Result<Meta> {
    Ok(Meta {
        id: c.text("id")?,
        project,
        name: c.text("name")?,
        generation: c.integer("generation")?,
        created_at: c.time("created_at")?,
        updated_at: c.time("updated_at")?,
    })
}

pub async fn insert(tx: &mut Tx, id: ProjectId, name: &Name, now: Timestamp) -> Result<()> {
    query!("INSERT INTO projects (id, name, generation, created_at, updated_at) VALUES ($1, $2, 1, $3, $3)")
        .bind(id.to_string())
        .bind(name.as_str())
        .bind(now.as_millis())
        .run(tx, "insert a project")
        .await
        .map(drop)
}

pub async fn get(conn: &mut Conn, name: &Name) -> Result<Option<Project>> {
    query!("SELECT * FROM projects WHERE name = $1")
        .bind(name.as_str())
        .row(conn, "read a project", read)
        .await
}

pub async fn list(conn: &mut Conn, after: &After) -> Result<Vec<Project>> {
    query!("SELECT * FROM projects WHERE name > $1 ORDER BY name LIMIT $2")
        .bind(after.name.as_str())
        .bind(after.limit)
        .rows(conn, "list projects", read)
        .await
}

/// The kind and name of something that belongs to a project, if anything does.
pub async fn content(conn: &mut Conn, id: ProjectId) -> Result<Option<(String, String)>> {
    query!(
        "SELECT 'instance' AS kind, name FROM instances WHERE project_id = $1 \
         UNION ALL SELECT 'network', name FROM networks WHERE project_id = $1 \
         UNION ALL SELECT 'peer', name FROM peers WHERE project_id = $1 \
         UNION ALL SELECT 'image', name FROM images WHERE project_id = $1 \
         UNION ALL SELECT kind, resource_name FROM placements WHERE project_id = $1 LIMIT 1",
    )
    .bind(id.to_string())
    .row(conn, "look into a project", |c| {
        Ok((c.string("kind")?, c.string("name")?))
    })
    .await
}

/// Removes an empty project, with its SSH keys, API tokens, members and quota.
pub async fn delete(tx: &mut Tx, id: ProjectId) -> Result<()> {
    query!("DELETE FROM ssh_keys WHERE project_id = $1")
        .bind(id.to_string())
        .run(tx, "delete a project's SSH keys")
        .await?;
    for text in [
        sql!("DELETE FROM tokens WHERE project_id = $1"),
        sql!("DELETE FROM invitations WHERE project_id = $1"),
        sql!("DELETE FROM members WHERE project_id = $1"),
        sql!("DELETE FROM revoked_peers WHERE project_id = $1"),
        sql!("DELETE FROM revocations WHERE project_id = $1"),
        sql!("DELETE FROM quotas WHERE project_id = $1"),
    ] {
        gathered(text)
            .bind(id.to_string())
            .run(tx, "delete who may do what in a project")
            .await?;
    }
    query!("DELETE FROM projects WHERE id = $1")
        .bind(id.to_string())
        .run(tx, "delete a project")
        .await
        .map(drop)
}

/// The name of a project.
pub async fn name(conn: &mut Conn, id: ProjectId) -> Result<Option<Name>> {
    query!("SELECT name FROM projects WHERE id = $1")
        .bind(id.to_string())
        .row(conn, "read a project's name", |c| c.text("name"))
        .await
}
