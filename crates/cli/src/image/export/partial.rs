//! A file that is on its way: what an earlier run brought is gone on with, and only what is whole gets
//! the file's name.

use std::fs::{self, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use rhyzome_model::Digest;
use sha2::Digest as _;
use tokio::fs::{File, OpenOptions};
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _, AsyncWriteExt as _};

use super::Sink;
use crate::failure::Failure;

const PIECE: usize = 256 << 10;

/// Bytes that have gone by.
#[derive(Default)]
pub(super) struct Hashed {
    hash: sha2::Sha256,
    pub(super) length: u64,
}

impl Hashed {
    pub(super) fn update(&mut self, piece: &[u8]) {
        self.hash.update(piece);
        self.length += piece.len() as u64;
    }

    pub(super) fn digest(&self) -> Digest {
        Digest::from_bytes(self.hash.clone().finalize().into())
    }
}

pub(super) struct Partial {
    path: PathBuf,
    file: File,
    hashed: Hashed,
}

impl Partial {
    /// Opens what an earlier run left, or begins. One run at a time.
    pub(super) async fn open(target: &Path, digest: Digest, size: u64) -> Result<Self, Failure> {
        let mut name = target.as_os_str().to_owned();
        name.push(format!(".{}.partial", digest.short()));
        let path = PathBuf::from(name);
        let failed = |source| Failure::Write {
            path: path.clone(),
            source,
        };
        let mut options = OpenOptions::new();
        let options = options.read(true).write(true).create(true).truncate(false);
        let file = options.open(&path).await.map_err(failed)?.into_std().await;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let path = path.display();
                return Err(Failure::Usage(format!(
                    "another export is writing {path}: wait for it, or give another file"
                )));
            }
            Err(TryLockError::Error(source)) => return Err(failed(source)),
        }
        let mut this = Self {
            file: File::from_std(file),
            hashed: Hashed::default(),
            path,
        };
        this.read(size).await.map_err(|source| Failure::Read {
            path: this.path.clone(),
            source,
        })?;
        Ok(this)
    }

    /// Reads what is there; more than there may be is begun anew.
    async fn read(&mut self, size: u64) -> io::Result<()> {
        let mut piece = vec![0; PIECE];
        loop {
            let count = self.file.read(&mut piece).await?;
            if count == 0 {
                break;
            }
            self.hashed.update(&piece[..count]);
        }
        if self.hashed.length > size {
            self.begin_anew().await?;
        }
        Ok(())
    }

    async fn begin_anew(&mut self) -> io::Result<()> {
        self.file.set_len(0).await?;
        self.file.rewind().await?;
        self.hashed = Hashed::default();
        Ok(())
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Puts the file in its place at once. Without `force`, nothing that has come there meanwhile is
    /// written over.
    pub(super) async fn finish(self, target: &Path, force: bool) -> Result<(), Failure> {
        let failed = |source| Failure::Write {
            path: target.to_owned(),
            source,
        };
        self.file.sync_all().await.map_err(failed)?;
        if force {
            fs::rename(&self.path, target).map_err(failed)?;
        } else {
            give_name(&self.path, target)?;
        }
        let folder = target.parent().filter(|path| !path.as_os_str().is_empty());
        let folder = fs::File::open(folder.unwrap_or(Path::new("."))).map_err(failed)?;
        folder.sync_all().map_err(failed)
    }

    /// Leaves nothing where nothing has come.
    pub(super) fn forget_if_empty(&self) {
        if self.hashed.length == 0 {
            // It may be gone.
            let _ = fs::remove_file(&self.path);
        }
    }

    fn failed(&self) -> impl FnOnce(io::Error) -> Failure + use<> {
        let path = self.path.clone();
        move |source| Failure::Write { path, source }
    }
}

/// Renames, unless the new name is there already.
fn give_name(path: &Path, target: &Path) -> Result<(), Failure> {
    let failed = |source| Failure::Write {
        path: target.to_owned(),
        source,
    };
    match fs::hard_link(path, target) {
        Ok(()) => fs::remove_file(path).map_err(failed),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            let target = target.display();
            Err(Failure::Usage(format!(
                "{target} has come to be meanwhile: --force writes over it"
            )))
        }
        // A file system without links.
        Err(_) => fs::rename(path, target).map_err(failed),
    }
}

impl Sink for Partial {
    fn length(&self) -> u64 {
        self.hashed.length
    }

    async fn append(&mut self, piece: &[u8]) -> Result<(), Failure> {
        let failed = self.failed();
        self.file.write_all(piece).await.map_err(failed)?;
        self.hashed.update(piece);
        Ok(())
    }

    async fn digest(&mut self) -> Result<Digest, Failure> {
        let failed = self.failed();
        self.file.flush().await.map_err(failed)?;
        Ok(self.hashed.digest())
    }

    async fn discard(&mut self) -> Result<(), Failure> {
        fs::remove_file(&self.path).map_err(self.failed())
    }
}
