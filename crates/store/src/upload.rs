//! Uploads under way: one for each blob that a project is sending.

use rhyzome_model::{Digest, ProjectId, Size, Timestamp};

use crate::column::Columns;
use crate::statement::query;
use crate::{Conn, Result, Tx};

/// An upload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upload {
    pub project: ProjectId,
    pub digest: Digest,
    pub size: Size,
    pub location: String,
    /// What its location needs to know of it.
    pub staged: String,
    pub fence: i64,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

fn read(c: &Columns<'_>) -> Result<Upload> {
    Ok(Upload {
        project: c.text("project_id")?,
        digest: c.text("digest")?,
        size: Size::bytes(c.integer("size")?),
        location: c.string("location")?,
        staged: c.string("staged")?,
        fence: c.integer("fence")?,
        created_at: c.time("created_at")?,
        updated_at: c.time("updated_at")?,
    })
}

pub async fn get(conn: &mut Conn, project: ProjectId, digest: Digest) -> Result<Option<Upload>> {
    query!("SELECT * FROM uploads WHERE project_id = $1 AND digest = $2")
        .bind(project.to_string())
        .bind(digest.to_string())
        .row(conn, "read an upload", read)
        .await
}

/// A project's uploads behind a digest.
pub async fn list(
    conn: &mut Conn,
    project: ProjectId,
    after: &crate::After,
) -> Result<Vec<Upload>> {
    query!("SELECT * FROM uploads WHERE project_id = $1 AND digest > $2 ORDER BY digest LIMIT $3")
        .bind(project.to_string())
        .bind(after.name.as_str())
        .bind(after.limit)
        .rows(conn, "list uploads", read)
        .await
}

/// Those of whatever project that nobody went on with since a time.
pub async fn abandoned(conn: &mut Conn, since: Timestamp, limit: i64) -> Result<Vec<Upload>> {
    query!("SELECT * FROM uploads WHERE updated_at < $1 ORDER BY updated_at LIMIT $2")
        .bind(since.as_millis())
        .bind(limit)
        .rows(conn, "list abandoned uploads", read)
        .await
}

pub async fn insert(tx: &mut Tx, upload: &Upload) -> Result<()> {
    query!(
        "INSERT INTO uploads (project_id, digest, size, location, staged, fence, created_at, updated_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
    )
    .bind(upload.project.to_string())
    .bind(upload.digest.to_string())
    .bind(i64::try_from(upload.size.as_bytes()).unwrap_or(i64::MAX))
    .bind(upload.location.as_str())
    .bind(upload.staged.as_str())
    .bind(upload.fence)
    .bind(upload.created_at.as_millis())
    .bind(upload.updated_at.as_millis())
    .run(tx, "insert an upload")
    .await
    .map(drop)
}

/// Takes an upload over. False where somebody else did meanwhile.
pub async fn take(tx: &mut Tx, upload: &Upload, now: Timestamp) -> Result<bool> {
    let changed = query!(
        "UPDATE uploads SET fence = fence + 1, updated_at = $1 \
         WHERE project_id = $2 AND digest = $3 AND fence = $4",
    )
    .bind(now.as_millis())
    .bind(upload.project.to_string())
    .bind(upload.digest.to_string())
    .bind(upload.fence)
    .run(tx, "go on with an upload")
    .await?;
    Ok(changed > 0)
}

/// Writes down how far an upload is. False where somebody else has taken it over or it is gone.
pub async fn set_staged(tx: &mut Tx, upload: &Upload, now: Timestamp) -> Result<bool> {
    let changed = query!(
        "UPDATE uploads SET staged = $1, updated_at = $2 \
         WHERE project_id = $3 AND digest = $4 AND fence = $5",
    )
    .bind(upload.staged.as_str())
    .bind(now.as_millis())
    .bind(upload.project.to_string())
    .bind(upload.digest.to_string())
    .bind(upload.fence)
    .run(tx, "note how far an upload is")
    .await?;
    Ok(changed > 0)
}

/// False where somebody else has taken it over or it is gone.
pub async fn delete(tx: &mut Tx, upload: &Upload) -> Result<bool> {
    let changed =
        query!("DELETE FROM uploads WHERE project_id = $1 AND digest = $2 AND fence = $3")
            .bind(upload.project.to_string())
            .bind(upload.digest.to_string())
            .bind(upload.fence)
            .run(tx, "end an upload")
            .await?;
    Ok(changed > 0)
}
