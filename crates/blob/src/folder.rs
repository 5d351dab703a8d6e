//! Bytes in a folder: one file for each key, and `incoming` for what is on its way.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek as _, SeekFrom};
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use bytes::Bytes;
use tokio::io::AsyncReadExt as _;

use crate::{Error, Key, Location, Reader, Result, Staged};

#[derive(Clone, Debug)]
pub struct Folder {
    path: PathBuf,
}

impl Folder {
    /// What the location is called in rows: there is one folder.
    pub const NAME: &'static str = "folder";

    pub fn new(path: PathBuf) -> Self {
        Self { path }
    }

    fn file(&self, key: &Key) -> PathBuf {
        self.path.join(key.as_str())
    }

    fn incoming(&self, key: &Key) -> PathBuf {
        let name = key.as_str().rsplit('/').next().unwrap_or_default();
        self.path.join("incoming").join(name)
    }

    fn failed<'a>(
        &self,
        operation: &'static str,
        path: &'a Path,
    ) -> impl FnOnce(io::Error) -> Error + use<'a> {
        let location = self.path.display().to_string();
        move |source| match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Error::Full { location },
            _ => Error::File {
                operation,
                path: path.display().to_string(),
                source,
            },
        }
    }

    fn resume(&self, staged: &mut Staged) -> Result<()> {
        if self.file(&staged.key).exists() {
            return Ok(());
        }
        let path = self.incoming(&staged.key);
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(self.failed("make", &path))?;
        let there = file.metadata().map_err(self.failed("look at", &path))?;
        staged.offset = staged.offset.min(there.len());
        file.set_len(staged.offset)
            .map_err(self.failed("cut", &path))
    }

    fn append(&self, key: &Key, offset: u64, piece: &[u8]) -> Result<()> {
        let path = self.incoming(key);
        let file = OpenOptions::new().write(true).open(&path);
        let file = file.map_err(self.failed("open", &path))?;
        file.write_all_at(piece, offset).map_err(|error| {
            // The half of it that fits would keep a full disk from whoever else needs a little.
            let _ = file.set_len(offset);
            self.failed("write", &path)(error)
        })
    }

    fn name_it(&self, key: &Key) -> Result<()> {
        let (from, to) = (self.incoming(key), self.file(key));
        if to.exists() {
            return Ok(());
        }
        File::open(&from)
            .and_then(|file| file.sync_all())
            .map_err(self.failed("write", &from))?;
        let folder = to.parent().unwrap_or(&self.path);
        fs::create_dir_all(folder).map_err(self.failed("make", folder))?;
        fs::rename(&from, &to).map_err(self.failed("name", &to))?;
        File::open(folder)
            .and_then(|folder| folder.sync_all())
            .map_err(self.failed("write", folder))
    }

    fn open_at(&self, key: &Key, offset: u64) -> Result<File> {
        let path = self.file(key);
        let mut file = File::open(&path).map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => Error::Missing {
                location: self.path.display().to_string(),
                key: key.as_str().to_owned(),
            },
            _ => self.failed("open", &path)(source),
        })?;
        file.seek(SeekFrom::Start(offset))
            .map_err(self.failed("read", &path))?;
        Ok(file)
    }
}

#[async_trait]
impl Location for Folder {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    async fn prepare(&self) -> Result<()> {
        let incoming = self.path.join("incoming");
        fs::create_dir_all(&incoming).map_err(self.failed("make", &incoming))
    }

    fn least_piece(&self, _: u64) -> usize {
        1
    }

    async fn open(&self, staged: &mut Staged) -> Result<()> {
        let (this, mut copy) = (self.clone(), staged.clone());
        *staged = blocking(move || this.resume(&mut copy).map(|()| copy)).await?;
        Ok(())
    }

    async fn write(&self, staged: &mut Staged, piece: Bytes) -> Result<()> {
        let (this, key, offset) = (self.clone(), staged.key.clone(), staged.offset);
        let length = piece.len() as u64;
        blocking(move || this.append(&key, offset, &piece)).await?;
        staged.offset += length;
        Ok(())
    }

    async fn finish(&self, staged: &Staged) -> Result<()> {
        let (this, key) = (self.clone(), staged.key.clone());
        blocking(move || this.name_it(&key)).await
    }

    async fn discard(&self, staged: &Staged) -> Result<()> {
        let paths = [self.incoming(&staged.key), self.file(&staged.key)];
        for path in &paths {
            match fs::remove_file(path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(self.failed("remove", path)(error));
                }
                _ => {}
            }
        }
        Ok(())
    }

    async fn read(&self, key: &Key, range: Range<u64>) -> Result<Reader> {
        let (this, key) = (self.clone(), key.clone());
        let file = blocking(move || this.open_at(&key, range.start)).await?;
        let length = range.end.saturating_sub(range.start);
        Ok(Box::pin(tokio::fs::File::from_std(file).take(length)))
    }

    async fn size(&self, key: &Key) -> Result<Option<u64>> {
        let path = self.file(key);
        match fs::metadata(&path) {
            Ok(found) => Ok(Some(found.len())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(self.failed("look at", &path)(error)),
        }
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|source| Error::Task { source })?
}
