//! The bytes of images and of programs, from the core.
//!
//! Bytes go to `<file>.partial` first, which a broken stream or a killed component leaves behind: the
//! next try goes on where it ends. Only what has the right size and digest gets the file's name. Where the disk
//! takes no more, what had come is taken away: what does not fit leaves the rest of the host its room.

use std::ffi::OsString;
use std::fs::TryLockError;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use rhyzome_model::Digest;
use rhyzome_model::instance::BlobPin;
use rhyzome_proto::pb;
use rhyzome_proto::pb::session_client::SessionClient;
use sha2::{Digest as _, Sha256};
use tokio::fs::{File, OpenOptions};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tonic::{Code, Status};

use crate::driver::{Blobs, DriverError, Progress};
use crate::link::Link;
use crate::room::unwritten;
use crate::session::Pause;

/// So many tries in a row that bring nothing, and it is left to the next job.
const FRUITLESS_TRIES: u32 = 4;
/// A stream that brings nothing for so long is broken.
const SILENCE: Duration = Duration::from_secs(30);

/// Fetches from the core that the component has joined.
#[derive(Debug)]
pub struct CoreBlobs {
    link: Arc<Link>,
    /// What it is that is fetched, for people: an "image", say.
    what: &'static str,
}

impl CoreBlobs {
    pub fn new(link: Arc<Link>, what: &'static str) -> Self {
        Self { link, what }
    }
}

#[async_trait]
impl Blobs for CoreBlobs {
    async fn fetch(
        &self,
        blob: BlobPin,
        to: PathBuf,
        progress: &Progress,
    ) -> Result<(), DriverError> {
        let mut partial = Partial::open(&to).await?;
        let mut pause = Pause::new(Duration::from_millis(200), Duration::from_secs(5));
        let mut fruitless = 0;
        while partial.length < blob.size.as_bytes() {
            let before = partial.length;
            let error = match self.stream(blob, &mut partial, progress).await {
                Ok(()) => break,
                Err(Broken::Stream(error)) => error,
                Err(Broken::Disk(error)) => {
                    partial.remove().await;
                    return Err(error);
                }
            };
            if error.kind != rhyzome_model::job::FailureKind::Transient {
                return Err(error);
            }
            fruitless = if partial.length > before {
                0
            } else {
                fruitless + 1
            };
            if fruitless >= FRUITLESS_TRIES {
                return Err(error);
            }
            tracing::info!(
                error = error.chain(),
                at = partial.length,
                "a fetch goes on"
            );
            tokio::time::sleep(pause.next()).await;
        }
        partial.finish(blob, self.what, &to).await
    }
}

/// Why a stream brought no more.
enum Broken {
    Stream(DriverError),
    /// What is in the file is not known any more.
    Disk(DriverError),
}

impl From<DriverError> for Broken {
    fn from(error: DriverError) -> Self {
        Self::Stream(error)
    }
}

impl CoreBlobs {
    /// One stream, from where the file ends.
    async fn stream(
        &self,
        blob: BlobPin,
        partial: &mut Partial,
        progress: &Progress,
    ) -> Result<(), Broken> {
        let what = self.what;
        let refused = |status| refused(what, status);
        let link = self.link.connect().await;
        let channel = link.map_err(|error| transient(what, error))?;
        let request = pb::FetchBlobRequest {
            digest: blob.digest.to_string(),
            offset: partial.length,
        };
        let answer = SessionClient::new(channel)
            .fetch_blob(request)
            .await
            .map_err(refused)?;
        let mut chunks = answer.into_inner();
        loop {
            let chunk = tokio::time::timeout(SILENCE, chunks.message())
                .await
                .map_err(|_| {
                    let text = format!("the core stopped sending the {what}'s bytes");
                    DriverError::transient(text)
                })?
                .map_err(refused)?;
            let Some(chunk) = chunk else { break };
            check_size(blob, what, chunk.size)?;
            partial.append(&chunk.data).await.map_err(Broken::Disk)?;
            if partial.length > blob.size.as_bytes() {
                partial.discard().await.map_err(Broken::Disk)?;
                let text = format!("the core sent more than the {what}'s {}", blob.size);
                return Err(DriverError::transient(text).into());
            }
            progress.amount(partial.length, blob.size.as_bytes());
        }
        if partial.length < blob.size.as_bytes() {
            let text = format!("the core ended the {what}'s bytes too early");
            return Err(DriverError::transient(text).into());
        }
        Ok(())
    }
}

/// What the core has under the digest is what the job speaks of. Cores before this one say no size.
fn check_size(blob: BlobPin, what: &str, said: u64) -> Result<(), DriverError> {
    let wanted = blob.size.as_bytes();
    if said == 0 || said == wanted {
        return Ok(());
    }
    Err(DriverError::permanent(format!(
        "the core has {said} bytes as the {what} sha256:{}, which shall have {wanted}",
        blob.digest
    )))
}

fn refused(what: &str, status: Status) -> DriverError {
    match status.code() {
        Code::NotFound => DriverError::permanent(format!(
            "the core does not have the {what}'s bytes, or not for this component"
        )),
        Code::DataLoss => DriverError::transient(status.message()),
        _ => transient(what, status),
    }
}

fn transient(what: &str, source: impl std::error::Error + Send + Sync + 'static) -> DriverError {
    let text = format!("the {what}'s bytes could not be fetched from the core");
    DriverError::transient(text).with_source(source)
}

/// A file that is on its way.
struct Partial {
    path: PathBuf,
    file: File,
    length: u64,
    hash: Sha256,
}

impl Partial {
    /// Opens the file, or what an earlier try left of it. One at a time.
    async fn open(to: &Path) -> Result<Self, DriverError> {
        let path = with_ending(to);
        let failed = |source| on_disk(&path, source);
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .await
            .map_err(failed)?
            .into_std()
            .await;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(DriverError::transient(
                    "these bytes are being fetched already",
                ));
            }
            Err(TryLockError::Error(source)) => return Err(failed(source)),
        }
        let mut file = File::from_std(file);
        let mut hash = Sha256::new();
        let mut length = 0;
        let mut buffer = vec![0; 256 * 1024];
        loop {
            let read = file.read(&mut buffer).await.map_err(failed)?;
            if read == 0 {
                break;
            }
            hash.update(&buffer[..read]);
            length += read as u64;
        }
        Ok(Self {
            path: path.clone(),
            file,
            length,
            hash,
        })
    }

    /// What is counted is in the file: a write that fails is told by this call and not by a later one.
    async fn append(&mut self, data: &[u8]) -> Result<(), DriverError> {
        let written = async {
            self.file.write_all(data).await?;
            self.file.flush().await
        };
        written
            .await
            .map_err(|source| on_disk(&self.path, source))?;
        self.hash.update(data);
        self.length += data.len() as u64;
        Ok(())
    }

    /// Begins anew.
    async fn discard(&mut self) -> Result<(), DriverError> {
        let failed = |source| on_disk(&self.path, source);
        self.file.set_len(0).await.map_err(failed)?;
        tokio::io::AsyncSeekExt::rewind(&mut self.file)
            .await
            .map_err(failed)?;
        self.length = 0;
        self.hash = Sha256::new();
        Ok(())
    }

    /// Takes it away.
    async fn remove(self) {
        if let Err(error) = tokio::fs::remove_file(&self.path).await {
            let path = self.path.display();
            tracing::warn!(%path, %error, "a part of what was fetched is left");
        }
    }

    /// Gives it its name, if it is what was asked for.
    async fn finish(mut self, blob: BlobPin, what: &str, to: &Path) -> Result<(), DriverError> {
        let digest = Digest::from_bytes(self.hash.clone().finalize().into());
        if digest != blob.digest || self.length != blob.size.as_bytes() {
            let came = self.length;
            self.discard().await?;
            return Err(DriverError::transient(format!(
                "the {what} sha256:{} ({} bytes) came from the core as {came} bytes with the digest \
                 sha256:{digest}: they were thrown away",
                blob.digest,
                blob.size.as_bytes(),
            )));
        }
        // A disk may say only now that it is full.
        if let Err(source) = self.file.sync_all().await {
            let error = on_disk(&self.path, source);
            self.remove().await;
            return Err(error);
        }
        tokio::fs::rename(&self.path, to)
            .await
            .map_err(|source| on_disk(to, source))?;
        let folder = to.parent().unwrap_or(Path::new("/")).to_owned();
        let synced = async { File::open(&folder).await?.sync_all().await };
        synced.await.map_err(|source| on_disk(&folder, source))
    }
}

fn with_ending(to: &Path) -> PathBuf {
    let mut name = OsString::from(to);
    name.push(".partial");
    name.into()
}

fn on_disk(path: &Path, source: std::io::Error) -> DriverError {
    let what = format!("{} could not be written", path.display());
    unwritten(&what, path.parent().unwrap_or(path), source)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_not_be_fetched_is_called_what_it_is() {
        for status in [Status::not_found(""), Status::unavailable("")] {
            let said = refused("program", status).message;
            assert!(said.contains("the program's bytes"), "{said}");
        }
        let pin = BlobPin {
            digest: Digest::of(b"x"),
            size: rhyzome_model::Size::bytes(1),
        };
        let said = check_size(pin, "program", 2)
            .expect_err("it is larger")
            .message;
        assert!(said.contains("2 bytes as the program sha256:"), "{said}");
    }
}
