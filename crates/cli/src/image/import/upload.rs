//! Sending bytes to the core until it has all of them, from wherever an earlier try ended: this
//! command's or another's.

use std::io::SeekFrom;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rhyzome_client::{Blobs, Error, Sent};
use tokio::fs::File;
use tokio::io::AsyncSeekExt as _;
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
    bytes: Bytes,
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
    Bytes { file, size, digest }: Bytes,
    progress: &Arc<Progress>,
) -> Result<(), Failure> {
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
        let failed = match once(blobs, &file, (digest, offset, size), progress).await {
            Ok(Sent::Wholly(_)) => return Ok(()),
            Ok(Sent::Partly(_)) => None,
            Err(Failure::Client(error)) if may_go_on(&error) => Some(error),
            Err(failure) => return Err(failure),
        };
        fruitless += 1;
        match failed {
            Some(error) if fruitless >= FRUITLESS => return Err(error.into()),
            _ => sleep(PAUSE * fruitless.min(5)).await,
        }
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

async fn once(
    blobs: &Blobs,
    file: &File,
    (digest, offset, size): (rhyzome_model::Digest, u64, u64),
    progress: &Arc<Progress>,
) -> Result<Sent, Failure> {
    let failed = |source| Failure::Read {
        path: PathBuf::from("the bytes to upload"),
        source,
    };
    let mut rest = file.try_clone().await.map_err(failed)?;
    rest.seek(SeekFrom::Start(offset)).await.map_err(failed)?;
    let progress = Arc::clone(progress);
    let told = move |sent| progress.at(sent);
    Ok(blobs
        .upload_append(&digest, (offset, size), rest, told)
        .await?)
}
