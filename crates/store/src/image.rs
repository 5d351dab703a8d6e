//! Images and the blobs that they name.

use rhyzome_model::id::ImageId;
use rhyzome_model::image::{Blob, ImageFormat, ImageSpec, TagFilter};
use rhyzome_model::resource::{Image, ImageSummary};
use rhyzome_model::{Digest, Name, ProjectId, Size, Timestamp};

use crate::column::{Columns, to_json};
use crate::project::meta;
use crate::statement::{Text, gathered, query, sql};
use crate::{After, Conn, Result, Tx, image_tag};

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
    query!(
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
    query!("INSERT INTO project_blobs (project_id, digest) VALUES ($1, $2) ON CONFLICT DO NOTHING")
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
    query!(
        "SELECT b.* FROM blobs b JOIN project_blobs p ON p.digest = b.digest \
         WHERE p.project_id = $1 AND b.digest = $2",
    )
    .bind(project.to_string())
    .bind(digest.to_string())
    .row(conn, "read a blob", read_blob)
    .await
}

/// Without its tags.
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
        tags: Vec::new(),
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
        tags: Vec::new(),
    })
}

pub async fn insert(tx: &mut Tx, image: &NewImage<'_>, now: Timestamp) -> Result<()> {
    query!(
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
    query!(
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

const SELECT_ONE: Text = sql!(
    "SELECT i.*, p.name AS project FROM images i \
     JOIN projects p ON p.id = i.project_id WHERE i.project_id = $1 AND i.name = $2"
);

pub async fn get(conn: &mut Conn, project: ProjectId, name: &Name) -> Result<Option<Image>> {
    let found = gathered(SELECT_ONE)
        .bind(project.to_string())
        .bind(name.as_str())
        .row(conn, "read an image", read)
        .await?;
    let Some(mut image) = found else {
        return Ok(None);
    };
    image.tags = image_tag::of_image(conn, image.meta.id).await?;
    Ok(Some(image))
}

/// Images behind a name; of those, where tags are asked for, the ones that such tags point at.
pub async fn list(
    conn: &mut Conn,
    project: ProjectId,
    tagged: Option<&TagFilter>,
    after: &After,
) -> Result<Vec<ImageSummary>> {
    let mut images = query!(
        "SELECT i.*, p.name AS project FROM images i JOIN projects p ON p.id = i.project_id \
         WHERE i.project_id = $1 AND i.name > $2 AND ($4 = '' OR EXISTS (SELECT 1 FROM image_tags t \
         WHERE t.image_id = i.id AND (t.tag = $4 OR t.family = $4))) ORDER BY i.name LIMIT $3",
    )
    .bind(project.to_string())
    .bind(after.name.as_str())
    .bind(after.limit)
    .bind(image_tag::filter(tagged))
    .rows(conn, "list images", summary)
    .await?;
    let (Some(first), Some(last)) = (images.first(), images.last()) else {
        return Ok(images);
    };
    let names = (&first.meta.name, &last.meta.name);
    let mut tags = image_tag::of_page(conn, project, names).await?;
    for image in &mut images {
        image.tags = tags.remove(&image.meta.id).unwrap_or_default();
    }
    Ok(images)
}

/// The instances of a project that were made of an image: the names of the first ones, and how many
/// there are.
pub async fn users(
    conn: &mut Conn,
    project: ProjectId,
    name: &Name,
    limit: i64,
) -> Result<(Vec<String>, u64)> {
    let names = query!(
        "SELECT name FROM instances WHERE project_id = $1 AND image = $2 ORDER BY name LIMIT $3",
    )
    .bind(project.to_string())
    .bind(name.as_str())
    .bind(limit)
    .rows(conn, "look for an image's instances", |c| c.string("name"))
    .await?;
    let all = query!("SELECT COUNT(*) AS n FROM instances WHERE project_id = $1 AND image = $2")
        .bind(project.to_string())
        .bind(name.as_str())
        .number(conn, "count an image's instances")
        .await?;
    Ok((names, u64::try_from(all).unwrap_or_default()))
}

/// Takes a blob from a project that names it no longer. The bytes stay until nothing anywhere needs them.
pub async fn release(tx: &mut Tx, project: ProjectId, digest: Digest) -> Result<()> {
    query!(
        "DELETE FROM project_blobs WHERE project_id = $1 AND digest = $2 \
         AND NOT EXISTS (SELECT 1 FROM images i WHERE i.digest = $2 AND i.project_id = $1) \
         AND NOT EXISTS (SELECT 1 FROM images i WHERE i.initrd = $2 AND i.project_id = $1) \
         AND NOT EXISTS (SELECT 1 FROM instances i WHERE i.digest = $2 AND i.project_id = $1) \
         AND NOT EXISTS (SELECT 1 FROM instances i WHERE i.initrd = $2 AND i.project_id = $1)",
    )
    .bind(project.to_string())
    .bind(digest.to_string())
    .run(tx, "take a blob from a project")
    .await
    .map(drop)
}

pub async fn delete(tx: &mut Tx, id: ImageId) -> Result<()> {
    query!("DELETE FROM images WHERE id = $1")
        .bind(id.to_string())
        .run(tx, "delete an image")
        .await
        .map(drop)
}

/// Whether a component has an instance that boots from a blob, or is to become the program that it is; and the
/// blob's size.
pub async fn needed_by(
    conn: &mut Conn,
    component: rhyzome_model::ComponentId,
    digest: Digest,
) -> Result<Option<Size>> {
    query!(
        "SELECT size FROM blobs WHERE digest = $1 AND (EXISTS (SELECT 1 FROM instances i \
         WHERE i.component_id = $2 AND (i.digest = $1 OR i.initrd = $1)) \
         OR EXISTS (SELECT 1 FROM components c WHERE c.id = $2 AND c.upgrade_digest = $1))",
    )
    .bind(digest.to_string())
    .bind(component.to_string())
    .row(conn, "look whether a component needs a blob", |c| {
        Ok(Size::bytes(c.integer("size")?))
    })
    .await
}
