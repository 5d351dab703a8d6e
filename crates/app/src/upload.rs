//! Uploads: bytes come in pieces and requests, and go on wherever the one before ended.
//!
//! ```text
//!   row ──first piece──► staged ──last piece──► whole ──digest right──► blob
//!    └──────────── nobody goes on for a day, or wrong ──────────────► garbage
//! ```
//!
//! The row comes before the bytes and says how many there are; what came after it was last written is
//! sent again. Bytes are read to the end even if the site has them already: it is having them that gives
//! a project the right to name them.

mod receiving;

use std::collections::HashSet;
use std::pin::pin;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use rhyzome_blob::{Key, Location, Staged, digest_of};
use rhyzome_model::image::{Blob, Upload};
use rhyzome_model::quota::QuotaKind;
use rhyzome_model::{Digest, Name, ProjectId, Size};
use rhyzome_store::blob::{self, Place};
use rhyzome_store::image::{self, BlobRow};
use rhyzome_store::{Tx, upload};
use sha2::Digest as _;
use tokio::io::{AsyncRead, AsyncReadExt as _};

use crate::authorize::{Caller, Operation, authorize};
use crate::step::UploadStep;
use crate::work::hold;
use crate::{Core, Error, Kind, Listed, PageRequest, Result, quota, resolve};

pub use receiving::Receiving;

/// The largest blob. Bytes.
pub const MAX_BLOB: u64 = 1 << 40;
/// How long nobody has to go on with an upload until it is forgotten. Milliseconds.
pub const KEEP: i64 = 24 * 3600 * 1000;
/// How many bytes are written at once, where their location does not want more.
const PIECE: usize = 4 << 20;

/// Which bytes of which blob come.
#[derive(Clone, Copy, Debug)]
pub struct Part {
    pub digest: Digest,
    /// Of the whole blob.
    pub size: Size,
    pub offset: u64,
    /// Whether what came before is thrown away.
    pub anew: bool,
}

/// What there is after a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Appended {
    Partly(Upload),
    Wholly(Blob),
}

/// Receives bytes, as many as come. With the last one the blob is the project's, if it is what its
/// digest says.
///
/// # Errors
/// `WrongState` where the upload is not at the offset, `InUse` where another request is sending the
/// same; `Invalid` where the bytes are others than announced, of which nothing is kept.
pub async fn append(
    core: &Core,
    caller: &Caller,
    project: &Name,
    part: Part,
    bytes: impl AsyncRead + Send,
) -> Result<Appended> {
    authorize(caller, Operation::BlobWrite, Some(project))?;
    if part.size.as_bytes() == 0 || part.size.as_bytes() > MAX_BLOB {
        let why = format!("a blob has 1 byte to {}", Size::bytes(MAX_BLOB));
        return Err(Error::invalid("size", why));
    }
    let project = {
        let mut conn = core.store.read().await?;
        resolve::project(&mut conn, project).await?
    };
    let _receiving = core.receiving.begin(project, part.digest).await?;
    let mut running = Running::open(core, project, part).await?;
    let hash = match running.receive(bytes).await {
        Err(error) if error.kind() == Kind::Invalid => {
            running.abandon().await?;
            return Err(error);
        }
        received => received?,
    };
    if running.staged.is_whole() {
        running.finish(hash).await.map(Appended::Wholly)
    } else {
        Ok(Appended::Partly(shown(&HashSet::new(), &running.row)))
    }
}

/// How far the upload of a blob is.
pub async fn get(core: &Core, caller: &Caller, project: &Name, digest: Digest) -> Result<Upload> {
    authorize(caller, Operation::BlobRead, Some(project))?;
    let mut conn = core.store.read().await?;
    let project = resolve::project(&mut conn, project).await?;
    let receiving = core.receiving.now();
    let found = upload::get(&mut conn, project, digest).await?;
    let found = found.ok_or_else(|| Error::not_found("upload of", &digest))?;
    Ok(shown(&receiving, &found))
}

/// The uploads that nobody has finished.
pub async fn list(
    core: &Core,
    caller: &Caller,
    project: &Name,
    page: &PageRequest,
) -> Result<Listed<Upload>> {
    authorize(caller, Operation::BlobRead, Some(project))?;
    let mut conn = core.store.read().await?;
    let project = resolve::project(&mut conn, project).await?;
    let receiving = core.receiving.now();
    let rows = upload::list(&mut conn, project, &resolve::after(page)).await?;
    let rows = rows.iter().map(|row| shown(&receiving, row)).collect();
    Ok(resolve::listed(rows, page, |row: &Upload| {
        row.digest.to_string()
    }))
}

/// Throws an upload away.
pub async fn delete(core: &Core, caller: &Caller, project: &Name, digest: Digest) -> Result<()> {
    authorize(caller, Operation::BlobWrite, Some(project))?;
    let mut work = core.begin().await?;
    let project = resolve::project(&mut work, project).await?;
    let found = upload::get(&mut work, project, digest).await?;
    let found = found.ok_or_else(|| Error::not_found("upload of", &digest))?;
    forget(core, &mut work, &found).await?;
    work.audit.blob(digest);
    work.commit().await?;
    crate::blob::sweep(core).await
}

/// Throws away what nobody went on with.
pub(crate) async fn expire(core: &Core) -> Result<()> {
    let mut tx = core.store.write().await?;
    let since = core.now().plus_millis(-KEEP);
    for row in upload::abandoned(&mut tx, since, 100).await? {
        forget(core, &mut tx, &row).await?;
    }
    tx.commit().await?;
    Ok(())
}

/// Forgets a project's uploads, in the transaction that deletes the project.
pub(crate) async fn forget_all(core: &Core, tx: &mut Tx, project: ProjectId) -> Result<()> {
    let all = rhyzome_store::After {
        limit: i64::MAX,
        name: String::new(),
    };
    for row in upload::list(tx, project, &all).await? {
        forget(core, tx, &row).await?;
    }
    Ok(())
}

/// Forgets an upload, in a transaction. What it has becomes garbage.
pub(crate) async fn forget(core: &Core, tx: &mut Tx, row: &upload::Upload) -> Result<()> {
    if upload::delete(tx, row).await? {
        crate::blob::discard(tx, core, &row.location, &staged(row)?).await?;
    }
    Ok(())
}

fn staged(row: &upload::Upload) -> Result<Staged> {
    serde_json::from_str(&row.staged).map_err(Error::internal)
}

/// `receiving` is from before the row was read: of what nobody is receiving, the row says all.
fn shown(receiving: &HashSet<(ProjectId, Digest)>, row: &upload::Upload) -> Upload {
    Upload {
        digest: row.digest,
        size: row.size,
        offset: staged(row).map_or(0, |staged| staged.offset),
        receiving: receiving.contains(&(row.project, row.digest)),
        created_at: row.created_at,
        updated_at: row.updated_at,
        expires_at: row.updated_at.plus_millis(KEEP),
    }
}

/// An upload that this request goes on with.
struct Running<'a> {
    core: &'a Core,
    row: upload::Upload,
    location: Arc<dyn Location>,
    staged: Staged,
}

impl<'a> Running<'a> {
    async fn open(core: &'a Core, project: ProjectId, part: Part) -> Result<Self> {
        let row = take(core, project, part).await?;
        let location = core.blobs.named(&row.location).cloned();
        let location = location.ok_or_else(|| Error::not_found("location", &row.location))?;
        let mut this = Self {
            core,
            staged: staged(&row)?,
            row,
            location,
        };
        this.location
            .open(&mut this.staged)
            .await
            .map_err(crate::blob::failed)?;
        this.write_down().await?;
        match this.staged.offset {
            there if there == part.offset => Ok(this),
            there => Err(elsewhere(part.digest, there)),
        }
    }

    /// Takes bytes until they end. Gives what hashes them, where all of them went by.
    async fn receive(&mut self, bytes: impl AsyncRead + Send) -> Result<Option<sha2::Sha256>> {
        let mut bytes = pin!(bytes);
        let mut hash = (self.staged.offset == 0).then(sha2::Sha256::new);
        let least = self.location.least_piece(self.staged.size);
        loop {
            let rest = self.staged.size - self.staged.offset;
            let wanted = least
                .max(PIECE)
                .min(usize::try_from(rest).unwrap_or(usize::MAX));
            let (piece, ended) = fill(&mut bytes, wanted.max(1)).await;
            if rest == 0 && !piece.is_empty() {
                let why = format!(
                    "more than the announced {} came",
                    Size::bytes(self.staged.size)
                );
                return Err(Error::invalid("size", why));
            }
            if !piece.is_empty() && (piece.len() >= least || piece.len() as u64 == rest) {
                if let Some(hash) = &mut hash {
                    hash.update(&piece);
                }
                self.write(piece).await?;
            }
            match ended {
                None => {}
                Some(Ok(())) => return Ok(hash),
                Some(Err(error)) => {
                    let at = self.staged.offset;
                    let why = format!("the upload broke off ({error}); it goes on from {at} bytes");
                    return Err(Error::new(Kind::Unavailable, why));
                }
            }
        }
    }

    async fn write(&mut self, piece: Bytes) -> Result<()> {
        hold(UploadStep::Write);
        let written = self.location.write(&mut self.staged, piece).await;
        if let Err(error) = written {
            if error.is_gone() {
                self.abandon().await?;
                let why = "what had come of the upload was removed from the image host's storage; begin anew";
                return Err(Error::new(Kind::WrongState, why));
            }
            return Err(crate::blob::failed(error));
        }
        self.write_down().await
    }

    async fn write_down(&mut self) -> Result<()> {
        hold(UploadStep::Note);
        self.row.staged = crate::blob::json(&self.staged);
        self.row.updated_at = self.core.now();
        let mut tx = self.core.store.write().await?;
        let ours = upload::set_staged(&mut tx, &self.row, self.row.updated_at).await?;
        tx.commit().await?;
        if ours { Ok(()) } else { Err(taken()) }
    }

    async fn abandon(&self) -> Result<()> {
        let mut tx = self.core.store.write().await?;
        forget(self.core, &mut tx, &self.row).await?;
        tx.commit().await?;
        crate::blob::sweep(self.core).await
    }

    /// Gives the bytes to the project, if they are the right ones.
    async fn finish(self, hash: Option<sha2::Sha256>) -> Result<Blob> {
        let (key, size) = (&self.staged.key, self.row.size);
        hold(UploadStep::Finish);
        self.location
            .finish(&self.staged)
            .await
            .map_err(crate::blob::failed)?;
        let found = match hash {
            Some(hash) => Digest::from_bytes(hash.finalize().into()),
            None => {
                let bytes = self.location.read(key, 0..size.as_bytes()).await;
                let bytes = bytes.map_err(crate::blob::failed)?;
                digest_of(bytes, |_| ())
                    .await
                    .map_err(crate::blob::failed)?
                    .0
            }
        };
        if found != self.row.digest {
            self.abandon().await?;
            let why = format!(
                "the bytes have the digest {found}, not the announced {}",
                self.row.digest
            );
            return Err(Error::invalid("digest", why));
        }
        hold(UploadStep::Recognise);
        let recognised =
            crate::blob::recognise(Arc::clone(&self.location), key.clone(), size).await?;
        self.keep(recognised).await
    }

    async fn keep(self, recognised: crate::blob::Recognised) -> Result<Blob> {
        let (core, digest, size) = (self.core, self.row.digest, self.row.size);
        let (format, refusal) = match recognised {
            Ok(format) => (Some(format), None),
            Err(why) => (None, Some(why)),
        };
        let blob = Blob { digest, size };
        let row = BlobRow {
            blob: blob.clone(),
            format,
            refusal,
        };
        let mut work = core.begin().await?;
        let now = work.now;
        if !upload::delete(&mut work, &self.row).await? {
            return Err(taken());
        }
        image::insert_blob(&mut work, self.row.project, &row, now).await?;
        work.audit.blob(digest);
        blob::touch(&mut work, digest).await?;
        let before = blob::places(&mut work, digest).await?;
        let place = Place {
            digest,
            size,
            location: self.row.location.clone(),
            key: self.staged.key.as_str().to_owned(),
            damage: None,
            verified_at: now,
        };
        // Of two that brought the same bytes, one's are enough; damaged ones are no longer needed.
        let superfluous = if blob::put(&mut work, &place).await? {
            before
                .into_iter()
                .find(|there| there.location == place.location)
        } else {
            Some(place)
        };
        if let Some(place) = &superfluous {
            let finished = Staged::of_finished(crate::blob::key(place));
            crate::blob::discard(&mut work, core, &place.location, &finished).await?;
        }
        work.commit().await?;
        if superfluous.is_some() {
            crate::blob::sweep(core).await?;
        }
        Ok(blob)
    }
}

/// The row of an upload, this request's from now on.
async fn take(core: &Core, project: ProjectId, part: Part) -> Result<upload::Upload> {
    let mut tx = core.store.write().await?;
    let now = core.now();
    let found = upload::get(&mut tx, project, part.digest).await?;
    let known = |row: &upload::Upload| core.blobs.named(&row.location).is_some();
    let found = match found {
        Some(row) if part.anew || !known(&row) => {
            forget(core, &mut tx, &row).await?;
            None
        }
        found => found,
    };
    let row = match found {
        Some(row) if row.size != part.size => {
            let why = format!("{} were announced before", row.size);
            return Err(Error::invalid("size", why));
        }
        Some(mut row) => {
            if !upload::take(&mut tx, &row, now).await? {
                return Err(taken());
            }
            row.fence += 1;
            row
        }
        None if part.offset > 0 => return Err(elsewhere(part.digest, 0)),
        None => {
            let key = Key::new(part.digest, core.uuid().simple());
            let row = upload::Upload {
                project,
                digest: part.digest,
                size: part.size,
                location: core.blobs.current().name().to_owned(),
                staged: crate::blob::json(&Staged::new(key, part.size.as_bytes())),
                fence: 1,
                created_at: now,
                updated_at: now,
            };
            // The bytes are the project's as soon as they may come: no sum overlooks them on their way.
            if image::blob(&mut tx, project, part.digest).await?.is_none() {
                let more = [(QuotaKind::Images, part.size.as_bytes())];
                quota::check(&mut tx, project, &more).await?;
            }
            upload::insert(&mut tx, &row).await?;
            row
        }
    };
    tx.commit().await?;
    Ok(row)
}

/// As many bytes as are wanted, or fewer and how they ended.
async fn fill(
    bytes: &mut (impl AsyncRead + Unpin),
    wanted: usize,
) -> (Bytes, Option<std::io::Result<()>>) {
    let mut piece = BytesMut::with_capacity(wanted);
    while piece.len() < wanted {
        let mut rest = (&mut *bytes).take((wanted - piece.len()) as u64);
        match rest.read_buf(&mut piece).await {
            Ok(0) => return (piece.freeze(), Some(Ok(()))),
            Ok(_) => {}
            Err(error) => return (piece.freeze(), Some(Err(error))),
        }
    }
    (piece.freeze(), None)
}

fn elsewhere(digest: Digest, there: u64) -> Error {
    let why = format!("the upload of {digest} goes on from {there} bytes");
    Error::new(Kind::WrongState, why).at("offset")
}

fn taken() -> Error {
    Error::new(Kind::WrongState, "another request goes on with this upload")
}
