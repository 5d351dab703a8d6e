//! SSH keys of projects.

use rhyzome_model::resource::SshKey;
use rhyzome_model::ssh_key::SshKeySpec;
use rhyzome_model::{Name, ProjectId, SshKeyId, Timestamp};

use crate::column::{Columns, to_json};
use crate::project::meta;
use crate::statement::query;
use crate::{After, Conn, Result, Tx};

pub struct NewSshKey<'a> {
    pub id: SshKeyId,
    pub project: ProjectId,
    pub name: &'a Name,
    pub spec: &'a SshKeySpec,
    pub fingerprint: &'a str,
}

fn read(c: &Columns<'_>) -> Result<SshKey> {
    Ok(SshKey {
        meta: meta(c, Some(c.text("project")?))?,
        spec: c.json("spec")?,
        fingerprint: c.string("fingerprint")?,
    })
}

pub async fn insert(tx: &mut Tx, key: &NewSshKey<'_>, now: Timestamp) -> Result<()> {
    query!(
        "INSERT INTO ssh_keys (id, project_id, name, generation, spec, fingerprint, created_at, updated_at) \
         VALUES ($1, $2, $3, 1, $4, $5, $6, $6)",
    )
    .bind(key.id.to_string())
    .bind(key.project.to_string())
    .bind(key.name.as_str())
    .bind(to_json(key.spec)?)
    .bind(key.fingerprint)
    .bind(now.as_millis())
    .run(tx, "insert an SSH key")
    .await
    .map(drop)
}

pub async fn get(conn: &mut Conn, project: ProjectId, name: &Name) -> Result<Option<SshKey>> {
    query!(
        "SELECT k.*, p.name AS project FROM ssh_keys k JOIN projects p ON p.id = k.project_id \
         WHERE k.project_id = $1 AND k.name = $2",
    )
    .bind(project.to_string())
    .bind(name.as_str())
    .row(conn, "read an SSH key", read)
    .await
}

pub async fn list(conn: &mut Conn, project: ProjectId, after: &After) -> Result<Vec<SshKey>> {
    query!(
        "SELECT k.*, p.name AS project FROM ssh_keys k JOIN projects p ON p.id = k.project_id \
         WHERE k.project_id = $1 AND k.name > $2 ORDER BY k.name LIMIT $3",
    )
    .bind(project.to_string())
    .bind(after.name.as_str())
    .bind(after.limit)
    .rows(conn, "list SSH keys", read)
    .await
}

pub async fn delete(tx: &mut Tx, project: ProjectId, name: &Name) -> Result<()> {
    query!("DELETE FROM ssh_keys WHERE project_id = $1 AND name = $2")
        .bind(project.to_string())
        .bind(name.as_str())
        .run(tx, "delete an SSH key")
        .await
        .map(drop)
}
