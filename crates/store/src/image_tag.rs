//! Tags: names that point at images.

use std::collections::BTreeMap;

use rhyzome_model::id::{ImageId, ImageTagId};
use rhyzome_model::image::{Tag, TagFilter};
use rhyzome_model::resource::ImageTag;
use rhyzome_model::{Name, ProjectId, Timestamp};
use uuid::Uuid;

use crate::column::Columns;
use crate::statement::query;
use crate::{After, Conn, Result, Tx};

fn read(c: &Columns<'_>) -> Result<ImageTag> {
    Ok(ImageTag {
        id: c.text("id")?,
        project: c.text("project")?,
        tag: c.text("tag")?,
        generation: c.integer("generation")?,
        created_at: c.time("created_at")?,
        updated_at: c.time("updated_at")?,
        image: c.text("image")?,
        digest: c.text("digest")?,
    })
}

pub async fn get(conn: &mut Conn, project: ProjectId, tag: &Tag) -> Result<Option<ImageTag>> {
    query!(
        "SELECT t.*, p.name AS project, i.name AS image, i.digest AS digest FROM image_tags t \
         JOIN projects p ON p.id = t.project_id JOIN images i ON i.id = t.image_id \
         WHERE t.project_id = $1 AND t.tag = $2",
    )
    .bind(project.to_string())
    .bind(tag.to_string())
    .row(conn, "read a tag", read)
    .await
}

pub async fn list(conn: &mut Conn, project: ProjectId, after: &After) -> Result<Vec<ImageTag>> {
    query!(
        "SELECT t.*, p.name AS project, i.name AS image, i.digest AS digest FROM image_tags t \
         JOIN projects p ON p.id = t.project_id JOIN images i ON i.id = t.image_id \
         WHERE t.project_id = $1 AND t.tag > $2 ORDER BY t.tag LIMIT $3",
    )
    .bind(project.to_string())
    .bind(after.name.as_str())
    .bind(after.limit)
    .rows(conn, "list tags", read)
    .await
}

/// Makes a tag, or moves the one that is there.
pub async fn set(
    tx: &mut Tx,
    id: ImageTagId,
    (project, tag): (ProjectId, &Tag),
    image: ImageId,
    now: Timestamp,
) -> Result<()> {
    query!(
        "INSERT INTO image_tags (id, project_id, tag, family, image_id, generation, created_at, updated_at) \
         VALUES ($1, $2, $3, $4, $5, 1, $6, $6) ON CONFLICT (project_id, tag) DO UPDATE \
         SET image_id = $5, generation = image_tags.generation + 1, updated_at = $6",
    )
    .bind(id.to_string())
    .bind(project.to_string())
    .bind(tag.to_string())
    .bind(tag.family())
    .bind(image.to_string())
    .bind(now.as_millis())
    .run(tx, "set a tag")
    .await
    .map(drop)
}

pub async fn delete(tx: &mut Tx, id: Uuid) -> Result<()> {
    query!("DELETE FROM image_tags WHERE id = $1")
        .bind(id.to_string())
        .run(tx, "delete a tag")
        .await
        .map(drop)
}

/// The tags that point at an image.
pub async fn of_image(conn: &mut Conn, image: Uuid) -> Result<Vec<Tag>> {
    query!("SELECT tag FROM image_tags WHERE image_id = $1 ORDER BY tag")
        .bind(image.to_string())
        .rows(conn, "list an image's tags", |c| c.text("tag"))
        .await
}

/// The tags that point at the images of a page of a list, by image.
pub async fn of_page(
    conn: &mut Conn,
    project: ProjectId,
    (first, last): (&Name, &Name),
) -> Result<BTreeMap<Uuid, Vec<Tag>>> {
    let rows = query!(
        "SELECT t.image_id, t.tag FROM image_tags t JOIN images i ON i.id = t.image_id \
         WHERE i.project_id = $1 AND i.name >= $2 AND i.name <= $3 ORDER BY t.tag",
    )
    .bind(project.to_string())
    .bind(first.as_str())
    .bind(last.as_str())
    .rows(conn, "list images' tags", |c| {
        Ok((c.text("image_id")?, c.text("tag")?))
    })
    .await?;
    let mut tags: BTreeMap<Uuid, Vec<Tag>> = BTreeMap::new();
    for (image, tag) in rows {
        tags.entry(image).or_default().push(tag);
    }
    Ok(tags)
}

/// As a statement takes it: no family has a colon, and every tag has one.
pub(crate) fn filter(filter: Option<&TagFilter>) -> String {
    filter.map(ToString::to_string).unwrap_or_default()
}
