//! Images: bytes are uploaded first, under their digest; then a name points at them.

use rhyzome_model::id::ImageId;
use rhyzome_model::image::{
    Blob, BlobVerification, ImageFormat, ImageSpec, ImageVerification, TagFilter,
};
use rhyzome_model::resource::{Image, ImageSummary};
use rhyzome_model::{Digest, Name, ProjectId, Size, template};
use rhyzome_store::image::{self, BlobRow, NewImage};
use tokio::sync::watch;

use crate::authorize::{Caller, Operation, authorize};
use crate::work::{Subject, Work};
use crate::{Core, Error, IfMatch, Kind, Listed, PageRequest, Result, resolve};

/// So many of an image's instances are named where it cannot be deleted because of them.
const USERS_NAMED: i64 = 10;

pub async fn blob(core: &Core, caller: &Caller, project: &Name, digest: Digest) -> Result<Blob> {
    authorize(caller, Operation::BlobRead, Some(project))?;
    let mut conn = core.store.read().await?;
    let project = resolve::project(&mut conn, project).await?;
    let found = image::blob(&mut conn, project, digest).await?;
    let there = crate::blob::is_there(&mut conn, digest).await?;
    found
        .filter(|_| there)
        .map(|row| row.blob)
        .ok_or_else(|| Error::not_found("blob", &digest))
}

/// Keeps a blob a while longer, although nothing may name it: somebody has asked for it.
pub async fn blob_asked_for(core: &Core, digest: Digest) -> Result<()> {
    let unused = {
        let mut conn = core.store.read().await?;
        rhyzome_store::blob::is_unused(&mut conn, digest).await?
    };
    if unused {
        let mut tx = core.store.write().await?;
        rhyzome_store::blob::touch(&mut tx, digest).await?;
        tx.commit().await?;
    }
    Ok(())
}

pub async fn create(
    core: &Core,
    caller: &Caller,
    project: &Name,
    name: Name,
    spec: ImageSpec,
) -> Result<Image> {
    authorize(caller, Operation::ImageCreate, Some(project))?;
    let mut work = core.begin().await?;
    let project_id = resolve::project(&mut work, project).await?;
    if image::get(&mut work, project_id, &name).await?.is_some() {
        return Err(Error::name_taken("image", &name));
    }
    let (format, size) = check(&mut work, project_id, &spec).await?;
    let id = ImageId(core.uuid());
    let row = NewImage {
        id,
        project: project_id,
        name: &name,
        spec: &spec,
        format: &format,
        size,
    };
    let now = work.now;
    image::insert(&mut work, &row, now).await?;
    tell(&mut work, (project_id, project), (id, &name), "created").await?;
    work.commit().await?;
    get(core, caller, project, &name).await
}

/// Points a name at other bytes or another command line. Instances keep what they were made from.
pub async fn update(
    core: &Core,
    caller: &Caller,
    project: &Name,
    name: &Name,
    spec: ImageSpec,
    if_match: IfMatch,
) -> Result<Image> {
    authorize(caller, Operation::ImageUpdate, Some(project))?;
    let mut work = core.begin().await?;
    let project_id = resolve::project(&mut work, project).await?;
    let found = existing(&mut work, project_id, name).await?;
    resolve::check_match(&found.meta, if_match)?;
    if found.spec != spec {
        let (format, size) = check(&mut work, project_id, &spec).await?;
        let id = ImageId(found.meta.id);
        let row = NewImage {
            id,
            project: project_id,
            name,
            spec: &spec,
            format: &format,
            size,
        };
        let now = work.now;
        image::update(&mut work, &row, now).await?;
        release(&mut work, project_id, &found).await?;
        tell(&mut work, (project_id, project), (id, name), "updated").await?;
        work.commit().await?;
    }
    get(core, caller, project, name).await
}

pub async fn get(core: &Core, caller: &Caller, project: &Name, name: &Name) -> Result<Image> {
    authorize(caller, Operation::ImageRead, Some(project))?;
    let mut conn = core.store.read().await?;
    let project = resolve::project(&mut conn, project).await?;
    let found = image::get(&mut conn, project, name).await?;
    found.ok_or_else(|| Error::not_found("image", name))
}

/// Lists images, all or those that some tag points at.
pub async fn list(
    core: &Core,
    caller: &Caller,
    project: &Name,
    tagged: Option<&TagFilter>,
    page: &PageRequest,
) -> Result<Listed<ImageSummary>> {
    authorize(caller, Operation::ImageRead, Some(project))?;
    let mut conn = core.store.read().await?;
    let project = resolve::project(&mut conn, project).await?;
    let rows = image::list(&mut conn, project, tagged, &resolve::after(page)).await?;
    Ok(resolve::listed(rows, page, |row| row.meta.name.to_string()))
}

/// Begins to read an image's bytes at the image host, or joins a reading that is under way. The
/// receivers end with the readings.
pub async fn verify(
    core: &Core,
    caller: &Caller,
    project: &Name,
    name: &Name,
) -> Result<Vec<watch::Receiver<u64>>> {
    authorize(caller, Operation::ImageUpdate, Some(project))?;
    let found = get(core, caller, project, name).await?;
    let mut conn = core.store.read().await?;
    let project = resolve::project(&mut conn, project).await?;
    let begin = |digest| core.verifying.begin(core, (project, digest));
    Ok(digests(&found).map(begin).collect())
}

/// What came of reading an image's bytes the last time, or how far it is.
pub async fn verification(
    core: &Core,
    caller: &Caller,
    project: &Name,
    name: &Name,
) -> Result<ImageVerification> {
    let found = get(core, caller, project, name).await?;
    let mut conn = core.store.read().await?;
    let project = resolve::project(&mut conn, project).await?;
    let mut blobs = Vec::new();
    for digest in digests(&found) {
        let places = rhyzome_store::blob::places(&mut conn, digest).await?;
        let shown = image::blob(&mut conn, project, digest).await?;
        let whole = places.iter().any(|place| place.damage.is_none());
        let lost = || Some("its bytes are in no place that is known".to_owned());
        blobs.push(BlobVerification {
            digest,
            size: shown.map_or(found.blob.size, |row| row.blob.size),
            read: core.verifying.progress((project, digest)),
            unread: core.verifying.failure((project, digest)),
            damage: match places.first() {
                Some(first) if !whole => first.damage.clone(),
                Some(_) => None,
                None => lost(),
            },
            verified_at: places.iter().map(|place| place.verified_at).min(),
        });
    }
    Ok(ImageVerification {
        running: blobs.iter().any(|blob| blob.read.is_some()),
        good: blobs
            .iter()
            .all(|blob| blob.damage.is_none() && blob.unread.is_none()),
        blobs,
    })
}

/// Lets go of the bytes that an image named, which nothing else in its project names: they do not count any more, and
/// whoever wants to name them again has to send them again.
async fn release(work: &mut Work, project: ProjectId, image: &Image) -> Result<()> {
    for digest in digests(image) {
        image::release(work, project, digest).await?;
    }
    Ok(())
}

fn digests(image: &Image) -> impl Iterator<Item = Digest> + use<> {
    [Some(image.spec.digest), image.spec.initrd]
        .into_iter()
        .flatten()
}

/// Deletes the name and the tags that point at it. The bytes go later, when nothing needs them any more.
pub async fn delete(
    core: &Core,
    caller: &Caller,
    project: &Name,
    name: &Name,
    if_match: IfMatch,
) -> Result<()> {
    authorize(caller, Operation::ImageDelete, Some(project))?;
    let mut work = core.begin().await?;
    let project_id = resolve::project(&mut work, project).await?;
    let found = existing(&mut work, project_id, name).await?;
    resolve::check_match(&found.meta, if_match)?;
    let (users, all) = image::users(&mut work, project_id, name, USERS_NAMED).await?;
    if all > 0 {
        return Err(Error::new(Kind::InUse, in_use(name, &users, all)));
    }
    let id = ImageId(found.meta.id);
    image::delete(&mut work, id).await?;
    release(&mut work, project_id, &found).await?;
    tell(&mut work, (project_id, project), (id, name), "deleted").await?;
    work.commit().await
}

/// Why an image cannot be deleted, with those of its instances that are named.
fn in_use(image: &Name, named: &[String], all: u64) -> String {
    let names = named.join(", ");
    let more = all.saturating_sub(named.len() as u64);
    match (named, more) {
        ([_], 0) => format!("the instance {names} was made from the image {image}"),
        (_, 0) => format!("the instances {names} were made from the image {image}"),
        _ => format!("the instances {names} and {more} more were made from the image {image}"),
    }
}

async fn existing(work: &mut Work, project: ProjectId, name: &Name) -> Result<Image> {
    let found = image::get(work, project, name).await?;
    found.ok_or_else(|| Error::not_found("image", name))
}

/// Whether an image can be made of what a spec names: what cannot boot here is refused now.
async fn check(
    work: &mut Work,
    project: ProjectId,
    spec: &ImageSpec,
) -> Result<(ImageFormat, Size)> {
    let blob = uploaded(work, project, spec.digest, "spec.digest").await?;
    let format = match (blob.format, blob.refusal) {
        (Some(format), _) => format,
        (None, refusal) => {
            let why = refusal.unwrap_or_else(|| "the bytes are no image".to_owned());
            return Err(Error::invalid("spec.digest", why));
        }
    };
    template::check_for(&spec.command_line, &format)
        .map_err(|why| Error::invalid("spec.command_line", why))?;
    if let Some(initrd) = spec.initrd {
        uploaded(work, project, initrd, "spec.initrd").await?;
    }
    if format == ImageFormat::Hermit && spec.initrd.is_none() {
        let why = "the Hermit loader boots an application: give that as the initrd";
        return Err(Error::invalid("spec.initrd", why));
    }
    Ok((format, blob.blob.size))
}

async fn uploaded(
    work: &mut Work,
    project: ProjectId,
    digest: Digest,
    field: &str,
) -> Result<BlobRow> {
    let found = image::blob(work, project, digest).await?;
    let there = crate::blob::is_there(work, digest).await?;
    found.filter(|_| there).ok_or_else(|| {
        Error::invalid(
            field,
            format!("no bytes with the digest {digest} were uploaded; upload them first"),
        )
    })
}

async fn tell(
    work: &mut Work,
    (project_id, project): (ProjectId, &Name),
    (id, name): (ImageId, &Name),
    what: &str,
) -> Result<()> {
    let subject = Subject {
        project: Some((project_id, project)),
        kind: "image",
        id: id.0,
        name: name.as_str(),
    };
    work.event(&subject, what, "").await
}
