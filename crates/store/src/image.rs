//! Images and the blobs that they name.

use rhyzome_model::id::ImageId;
use rhyzome_model::image::{Blob, ImageFormat, ImageSpec};
use rhyzome_model::resource::{Image, ImageSummary};
use rhyzome_model::{Digest, Name, ProjectId, Size, Timestamp};
use sqlx::query;

use crate::column::{Columns, to_json};
use crate::project::meta;
use crate::statement::Statement;
use crate::{After, Conn, Result, Tx};

/// A blob, with what its bytes were recognised as, or why they were not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlobRow {
    pub blob: Blob,
    pub format: Option<ImageFormat>,
    pub refusal: Option<String>,
}

pub struct NewImage<'a> {
    pub id: ImageId,
    pub project: ProjectId,
    pub name: &'a Name,
    pub spec: &'a ImageSpec,
    pub format: &'a ImageFormat,
    pub size: Size,
}

/// Notes a blob whose bytes are in the blob store, and that a project has shown them.
pub async fn insert_blob(
    tx: &mut Tx,
    project: ProjectId,
    row: &BlobRow,
    now: Timestamp,
) -> Result<()> {
    let digest = row.blob.digest.to_string();
    let size = i64::try_from(row.blob.size.as_bytes()).unwrap_or(i64::MAX);
    query(
        "INSERT INTO blobs (digest, size, format, refusal, created_at) VALUES ($1, $2, $3, $4, $5) \
         ON CONFLICT (digest) DO UPDATE SET format = $3, refusal = $4",
    )
    .bind(digest.as_str())
    .bind(size)
    .bind(row.format.as_ref().map(to_json).transpose()?)
    .bind(row.refusal.as_deref())
    .bind(now.as_millis())
    .run(tx, "insert a blob")
    .await?;
    query("INSERT INTO project_blobs (project_id, digest) VALUES ($1, $2) ON CONFLICT DO NOTHING")
        .bind(project.to_string())
        .bind(digest.as_str())
        .run(tx, "give a project a blob")
        .await
        .map(drop)
}

fn read_blob(c: &Columns<'_>) -> Result<BlobRow> {
    let size = Size::bytes(c.integer("size")?);
    Ok(BlobRow {
        blob: Blob {
            digest: c.text("digest")?,
            size,
        },
        format: c.maybe_json("format")?,
        refusal: c.maybe_string("refusal")?,
    })
}

/// A blob that a project has shown to have.
pub async fn blob(conn: &mut Conn, project: ProjectId, digest: Digest) -> Result<Option<BlobRow>> {
    query(
        "SELECT b.* FROM blobs b JOIN project_blobs p ON p.digest = b.digest \
         WHERE p.project_id = $1 AND b.digest = $2",
    )
    .bind(project.to_string())
    .bind(digest.to_string())
    .row(conn, "read a blob", read_blob)
    .await
}

fn read(c: &Columns<'_>) -> Result<Image> {
    let spec: ImageSpec = c.json("spec")?;
    let blob = Blob {
        digest: c.text("digest")?,
        size: Size::bytes(c.integer("size")?),
    };
    Ok(Image {
        meta: meta(c, Some(c.text("project")?))?,
        spec,
        format: c.json("format")?,
        blob,
    })
}

fn summary(c: &Columns<'_>) -> Result<ImageSummary> {
    let Image {
        meta, format, blob, ..
    } = read(c)?;
    Ok(ImageSummary {
        meta,
        digest: blob.digest,
        size: blob.size,
        format,
    })
}

pub async fn insert(tx: &mut Tx, image: &NewImage<'_>, now: Timestamp) -> Result<()> {
    query(
        "INSERT INTO images (id, project_id, name, generation, spec, digest, initrd, format, size, created_at, updated_at) \
         VALUES ($1, $2, $3, 1, $4, $5, $6, $7, $8, $9, $9)",
    )
    .bind(image.id.to_string())
    .bind(image.project.to_string())
    .bind(image.name.as_str())
    .bind(to_json(image.spec)?)
    .bind(image.spec.digest.to_string())
    .bind(image.spec.initrd.map(|digest| digest.to_string()))
    .bind(to_json(image.format)?)
    .bind(i64::try_from(image.size.as_bytes()).unwrap_or(i64::MAX))
    .bind(now.as_millis())
    .run(tx, "insert an image")
    .await
    .map(drop)
}

/// Points a name at what a new spec says. Instances keep what they pinned.
pub async fn update(tx: &mut Tx, image: &NewImage<'_>, now: Timestamp) -> Result<()> {
    query(
        "UPDATE images SET generation = generation + 1, spec = $1, digest = $2, initrd = $3, format = $4, \
         size = $5, updated_at = $6 WHERE id = $7",
    )
    .bind(to_json(image.spec)?)
    .bind(image.spec.digest.to_string())
    .bind(image.spec.initrd.map(|digest| digest.to_string()))
    .bind(to_json(image.format)?)
    .bind(i64::try_from(image.size.as_bytes()).unwrap_or(i64::MAX))
    .bind(now.as_millis())
    .bind(image.id.to_string())
    .run(tx, "update an image")
    .await
    .map(drop)
}

const SELECT_ONE: &str = "SELECT i.*, p.name AS project FROM images i \
     JOIN projects p ON p.id = i.project_id WHERE i.project_id = $1 AND i.name = $2";

pub async fn get(conn: &mut Conn, project: ProjectId, name: &Name) -> Result<Option<Image>> {
    query(SELECT_ONE)
        .bind(project.to_string())
        .bind(name.as_str())
        .row(conn, "read an image", read)
        .await
}

pub async fn list(conn: &mut Conn, project: ProjectId, after: &After) -> Result<Vec<ImageSummary>> {
    query(
        "SELECT i.*, p.name AS project FROM images i JOIN projects p ON p.id = i.project_id \
         WHERE i.project_id = $1 AND i.name > $2 ORDER BY i.name LIMIT $3",
    )
    .bind(project.to_string())
    .bind(after.name.as_str())
    .bind(after.limit)
    .rows(conn, "list images", summary)
    .await
}

/// The name of an instance of a project that has an image's name in its spec.
pub async fn user(conn: &mut Conn, project: ProjectId, name: &Name) -> Result<Option<String>> {
    query("SELECT name FROM instances WHERE project_id = $1 AND image = $2 ORDER BY name LIMIT 1")
        .bind(project.to_string())
        .bind(name.as_str())
        .row(conn, "look for an image's instances", |c| c.string("name"))
        .await
}

pub async fn delete(tx: &mut Tx, id: ImageId) -> Result<()> {
    query("DELETE FROM images WHERE id = $1")
        .bind(id.to_string())
        .run(tx, "delete an image")
        .await
        .map(drop)
}

/// Whether a component has an instance that boots from a blob, and the blob's size.
pub async fn needed_by(
    conn: &mut Conn,
    component: rhyzome_model::ComponentId,
    digest: Digest,
) -> Result<Option<Size>> {
    query(
        "SELECT size FROM blobs WHERE digest = $1 AND EXISTS (SELECT 1 FROM instances i \
         WHERE i.component_id = $2 AND (i.digest = $1 OR i.initrd = $1))",
    )
    .bind(digest.to_string())
    .bind(component.to_string())
    .row(conn, "look whether a component needs a blob", |c| {
        Ok(Size::bytes(c.integer("size")?))
    })
    .await
}
