//! Sending bytes to the core until it has all of them, from wherever an earlier try ended: this
//! command's or another's.

use std::io::SeekFrom;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rhyzome_client::{Blobs, Error, Sent};
use rhyzome_model::Digest;
use tokio::fs::File;
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _};
use tokio::time::sleep;

use super::rough;
use super::source::Bytes;
use crate::failure::Failure;
use crate::progress::Progress;
use crate::session::Session;
use crate::wait;

/// So many tries in a row that brought nothing, and the upload has failed.
const FRUITLESS: u32 = 6;
const PAUSE: Duration = Duration::from_secs(1);

/// # Errors
/// What the core says, or that it cannot be reached again and again. What has come stays there for a day.
pub(super) async fn upload(
    session: &Session<'_>,
    source: &str,
    bytes: &Bytes,
) -> Result<(), Failure> {
    let progress = Arc::new(Progress::bytes(session.output, Some(bytes.size)));
    progress.say(&format!("uploading {source}"));
    let blobs = session.scope.blob();
    let look =
        || "what has come stays for a day: run it again, and it goes on from there".to_owned();
    wait::asked(send(&blobs, source, bytes, &progress), look).await
}

async fn send(
    blobs: &Blobs,
    source: &str,
    bytes: &Bytes,
    progress: &Arc<Progress>,
) -> Result<(), Failure> {
    let (digest, size) = (bytes.digest, bytes.size);
    let (mut fruitless, mut furthest) = (0, 0);
    loop {
        let there = blobs.upload_get(&digest).await?;
        let offset = there.as_ref().map_or(0, |upload| upload.offset);
        if offset > furthest {
            (fruitless, furthest) = (0, offset);
        }
        progress.at(offset);
        if there.is_some_and(|upload| upload.receiving) {
            progress.say(&format!(
                "uploading {source}: another request sends the same bytes"
            ));
            sleep(PAUSE).await;
            if blobs.exists(&digest).await? {
                return Ok(());
            }
            continue;
        }
        if offset > 0 {
            progress.say(&format!(
                "uploading {source}: going on from {}",
                rough(offset)
            ));
        }
        if !bytes.is_same().await {
            return Err(changed(blobs, source, &digest).await);
        }
        let failed = match once(blobs, &bytes.file, (digest, offset, size), progress).await {
            Ok(Sent::Wholly(_)) => return Ok(()),
            Ok(Sent::Partly(there)) => Failure::Bytes(format!(
                "the core has {} of the {size} bytes of {source}, and takes no more",
                there.offset
            )),
            Err(Failure::Client(error)) if may_go_on(&error) => error.into(),
            Err(Failure::Client(error)) if is_another(&error) => {
                return Err(changed(blobs, source, &digest).await);
            }
            Err(failure) => return Err(failure),
        };
        fruitless += 1;
        if fruitless >= FRUITLESS {
            return Err(failed);
        }
        sleep(PAUSE * fruitless.min(5)).await;
        // Its answer got lost, or somebody else was quicker.
        if blobs.exists(&digest).await? {
            return Ok(());
        }
    }
}

/// What another try may help with: a broken connection, a core that is being started again, and that the
/// upload is somewhere else by now.
fn may_go_on(error: &Error) -> bool {
    let codes = ["unavailable", "wrong_state", "in_use", "malformed"];
    error.is_unreachable() || error.code().is_some_and(|code| codes.contains(&code))
}

/// Whether what arrived is not what was hashed here.
fn is_another(error: &Error) -> bool {
    let field = error.problem().and_then(|problem| problem.field.as_deref());
    error.code() == Some("invalid") && field == Some("digest")
}

async fn changed(blobs: &Blobs, source: &str, digest: &Digest) -> Failure {
    // What is left goes by itself after a day.
    let _ = blobs.upload_delete(digest).await;
    Failure::Bytes(format!(
        "{source} was changed while it was being imported: nothing was kept of it; run it again when nobody \
         writes to it"
    ))
}

async fn once(
    blobs: &Blobs,
    file: &File,
    (digest, offset, size): (Digest, u64, u64),
    progress: &Arc<Progress>,
) -> Result<Sent, Failure> {
    let failed = |source| Failure::Read {
        path: PathBuf::from("the bytes to upload"),
        source,
    };
    let mut rest = file.try_clone().await.map_err(failed)?;
    rest.seek(SeekFrom::Start(offset)).await.map_err(failed)?;
    // No more than was hashed, also where more was written to the file meanwhile.
    let rest = rest.take(size - offset);
    let progress = Arc::clone(progress);
    let told = move |sent| progress.at(sent);
    Ok(blobs
        .upload_append(&digest, (offset, size), rest, told)
        .await?)
}
