//! Tags of images: names that are moved from one image to the next. Instances keep the image that they
//! were made of, wherever its tags point later.

use rhyzome_model::id::{ImageId, ImageTagId};
use rhyzome_model::image::{ImageTagSpec, Tag};
use rhyzome_model::resource::ImageTag;
use rhyzome_model::{Name, ProjectId};
use rhyzome_store::{image, image_tag};

use crate::authorize::{Caller, Operation, authorize};
use crate::work::{Subject, Work};
use crate::{Core, Error, IfMatch, Kind, Listed, PageRequest, Result, resolve};

/// Points a tag at an image, whether it is new or points at another one. Says whether it is new.
pub async fn set(
    core: &Core,
    caller: &Caller,
    project: &Name,
    tag: &Tag,
    spec: &ImageTagSpec,
    if_match: IfMatch,
) -> Result<(ImageTag, bool)> {
    authorize(caller, Operation::ImageTagSet, Some(project))?;
    let mut work = core.begin().await?;
    let project_id = resolve::project(&mut work, project).await?;
    let found = image_tag::get(&mut work, project_id, tag).await?;
    check_match(found.as_ref(), tag, if_match)?;
    let image = image::get(&mut work, project_id, &spec.image).await?;
    let missing = || Error::invalid("spec.image", format!("there is no image {}", spec.image));
    let image = image.ok_or_else(missing)?;
    let is_new = found.is_none();
    if found.as_ref().is_none_or(|tag| tag.image != spec.image) {
        let id = found.map_or_else(|| core.uuid(), |tag| tag.id);
        let (at, now) = ((project_id, tag), work.now);
        image_tag::set(&mut work, ImageTagId(id), at, ImageId(image.meta.id), now).await?;
        let what = if is_new { "created" } else { "updated" };
        let message = format!("points at {}", spec.image);
        let made = existing(&mut work, project_id, tag).await?;
        tell(&mut work, project_id, &made, what, &message).await?;
        work.commit().await?;
    }
    Ok((get(core, caller, project, tag).await?, is_new))
}

pub async fn get(core: &Core, caller: &Caller, project: &Name, tag: &Tag) -> Result<ImageTag> {
    authorize(caller, Operation::ImageTagRead, Some(project))?;
    let mut conn = core.store.read().await?;
    let project = resolve::project(&mut conn, project).await?;
    let found = image_tag::get(&mut conn, project, tag).await?;
    found.ok_or_else(|| Error::not_found("tag", tag))
}

pub async fn list(
    core: &Core,
    caller: &Caller,
    project: &Name,
    page: &PageRequest,
) -> Result<Listed<ImageTag>> {
    authorize(caller, Operation::ImageTagRead, Some(project))?;
    let mut conn = core.store.read().await?;
    let project = resolve::project(&mut conn, project).await?;
    let rows = image_tag::list(&mut conn, project, &resolve::after(page)).await?;
    Ok(resolve::listed(rows, page, |row| row.tag.to_string()))
}

/// Deletes a tag. The image stays, and so do its other tags.
pub async fn delete(
    core: &Core,
    caller: &Caller,
    project: &Name,
    tag: &Tag,
    if_match: IfMatch,
) -> Result<()> {
    authorize(caller, Operation::ImageTagDelete, Some(project))?;
    let mut work = core.begin().await?;
    let project_id = resolve::project(&mut work, project).await?;
    let found = existing(&mut work, project_id, tag).await?;
    check_match(Some(&found), tag, if_match)?;
    image_tag::delete(&mut work, found.id).await?;
    tell(&mut work, project_id, &found, "deleted", "").await?;
    work.commit().await
}

fn check_match(found: Option<&ImageTag>, tag: &Tag, if_match: IfMatch) -> Result<()> {
    let Some(seen) = if_match else {
        return Ok(());
    };
    match found {
        Some(found) if found.generation == seen => Ok(()),
        Some(found) => {
            let (now, image) = (found.generation, &found.image);
            let why = format!("{tag} is at generation {now} by now, not at {seen}: at {image}");
            Err(Error::new(Kind::Changed, why))
        }
        None => Err(Error::not_found("tag", tag)),
    }
}

async fn existing(work: &mut Work, project: ProjectId, tag: &Tag) -> Result<ImageTag> {
    let found = image_tag::get(work, project, tag).await?;
    found.ok_or_else(|| Error::not_found("tag", tag))
}

async fn tell(
    work: &mut Work,
    project: ProjectId,
    tag: &ImageTag,
    what: &str,
    message: &str,
) -> Result<()> {
    let name = tag.tag.to_string();
    let subject = Subject {
        project: Some((project, &tag.project)),
        kind: "image_tag",
        id: tag.id,
        name: &name,
    };
    work.event(&subject, what, message).await
}
