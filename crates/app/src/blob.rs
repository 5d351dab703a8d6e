//! The image host's bytes: a folder with one file a blob, named by its digest.
//!
//! A file under its digest's name is whole and was verified; what is being received lies in `incoming`
//! and is removed at the next start if a crash left it there.

use std::fs::File;
use std::io::{self, Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::pin::pin;

use rhyzome_model::image::ImageFormat;
use rhyzome_model::image::recognise::{ReadAt, recognise_at};
use rhyzome_model::{Digest, Size};
use sha2::Digest as _;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use uuid::Uuid;

use crate::{Error, Kind, Result};

/// The folder of blobs.
#[derive(Clone, Debug)]
pub struct BlobStore {
    folder: PathBuf,
}

/// What the bytes of a blob were recognised as, or why they are no image.
pub type Recognised = std::result::Result<ImageFormat, String>;

#[derive(Debug, thiserror::Error)]
#[error("cannot {operation} {path}")]
struct FileError {
    operation: &'static str,
    path: String,
    source: io::Error,
}

fn failed(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
    let path = path.display().to_string();
    move |source| match source.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Error::new(
            Kind::NoCapacity,
            "the core's disk is full: nothing was kept of the upload; free some space and try again",
        ),
        _ => Error::internal(FileError {
            operation,
            path,
            source,
        }),
    }
}

impl BlobStore {
    pub fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// Where a blob's bytes are, if they are there.
    pub fn path(&self, digest: Digest) -> PathBuf {
        let name = digest.to_string();
        self.folder.join(&name[..2]).join(name)
    }

    fn incoming(&self) -> PathBuf {
        self.folder.join("incoming")
    }

    /// Makes the folder and removes what a crash left half received.
    pub async fn prepare(&self) -> Result<()> {
        let incoming = self.incoming();
        match tokio::fs::remove_dir_all(&incoming).await {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(failed("empty", &incoming)(error));
            }
            _ => {}
        }
        tokio::fs::create_dir_all(&incoming)
            .await
            .map_err(failed("make", &incoming))
    }

    pub async fn has(&self, digest: Digest) -> bool {
        tokio::fs::try_exists(self.path(digest))
            .await
            .unwrap_or(false)
    }

    /// Receives bytes and keeps them if they are the ones announced.
    ///
    /// # Errors
    /// `Invalid` if they have another digest or size; nothing is kept then.
    pub async fn receive(
        &self,
        (digest, size): (Digest, Size),
        name: Uuid,
        bytes: impl AsyncRead + Send,
    ) -> Result<()> {
        let temporary = self.incoming().join(name.to_string());
        let received = self.receive_into(&temporary, (digest, size), bytes).await;
        if received.is_err() {
            // If even this fails, the next start removes it.
            let _ = tokio::fs::remove_file(&temporary).await;
        }
        received
    }

    async fn receive_into(
        &self,
        temporary: &Path,
        (digest, size): (Digest, Size),
        bytes: impl AsyncRead + Send,
    ) -> Result<()> {
        let mut file = tokio::fs::File::create_new(temporary)
            .await
            .map_err(failed("make", temporary))?;
        let mut bytes = pin!(bytes);
        let mut hash = sha2::Sha256::new();
        let mut received = 0u64;
        let mut buffer = vec![0; 256 << 10];
        loop {
            let count = bytes.read(&mut buffer).await.map_err(|error| {
                Error::new(Kind::Unavailable, format!("the upload broke off: {error}"))
            })?;
            if count == 0 {
                break;
            }
            received += count as u64;
            if received > size.as_bytes() {
                return Err(Error::invalid(
                    "size",
                    format!("more than the announced {size} came"),
                ));
            }
            hash.update(&buffer[..count]);
            file.write_all(&buffer[..count])
                .await
                .map_err(failed("write", temporary))?;
        }
        if received < size.as_bytes() {
            let why = format!("{received} bytes came of the announced {}", size.as_bytes());
            return Err(Error::invalid("size", why));
        }
        let found = Digest::from_bytes(hash.finalize().into());
        if found != digest {
            let why = format!("the bytes have the digest {found}, not the announced {digest}");
            return Err(Error::invalid("digest", why));
        }
        file.sync_all().await.map_err(failed("write", temporary))?;
        let path = self.path(digest);
        let folder = path
            .parent()
            .expect("a blob's path has a folder")
            .to_owned();
        tokio::fs::create_dir_all(&folder)
            .await
            .map_err(failed("make", &folder))?;
        tokio::fs::rename(temporary, &path)
            .await
            .map_err(failed("name", &path))?;
        let sync = move || {
            File::open(&folder)
                .and_then(|f| f.sync_all())
                .map_err(failed("write", &folder))
        };
        blocking(sync).await
    }

    /// Looks at a blob's bytes.
    pub async fn recognise(&self, digest: Digest) -> Result<Recognised> {
        let path = self.path(digest);
        blocking(move || {
            let file = File::open(&path).map_err(failed("open", &path))?;
            let size = file.metadata().map_err(failed("look at", &path))?.len();
            let found = recognise_at(&Bytes { file, size }).map_err(failed("read", &path))?;
            Ok(found.map_err(|refused| refused.to_string()))
        })
        .await
    }

    /// Opens a blob to be sent from an offset on.
    pub async fn open(&self, digest: Digest, offset: u64) -> Result<tokio::fs::File> {
        let path = self.path(digest);
        blocking(move || {
            let mut file = File::open(&path).map_err(failed("open", &path))?;
            file.seek(SeekFrom::Start(offset))
                .map_err(failed("read", &path))?;
            Ok(tokio::fs::File::from_std(file))
        })
        .await
    }

    /// Removes a blob's bytes. Fine if they are gone.
    pub async fn remove(&self, digest: Digest) -> Result<()> {
        let path = self.path(digest);
        match tokio::fs::remove_file(&path).await {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(failed("remove", &path)(error))
            }
            _ => Ok(()),
        }
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(Error::internal)?
}

struct Bytes {
    file: File,
    size: u64,
}

impl ReadAt for Bytes {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let mut filled = 0;
        while filled < buffer.len() {
            match self
                .file
                .read_at(&mut buffer[filled..], offset + filled as u64)?
            {
                0 => break,
                count => filled += count,
            }
        }
        Ok(filled)
    }
}
