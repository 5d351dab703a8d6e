//! The last bytes of a stream on disk: a file that is written, and the one that was full before it.

use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// How much one of the two files holds: together at most 1 MiB.
const HALF: u64 = 512 << 10;

#[derive(Debug)]
pub struct Ring {
    path: PathBuf,
}

impl Ring {
    pub fn open(path: PathBuf) -> Self {
        Self { path }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    fn before(&self) -> PathBuf {
        self.path.with_extension("log.old")
    }

    /// Appends at most half of what the ring holds.
    pub fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let bytes = &bytes[bytes.len().saturating_sub(HALF as usize)..];
        if super::length(&self.path) + bytes.len() as u64 > HALF {
            match fs::rename(&self.path, self.before()) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        File::options()
            .append(true)
            .create(true)
            // What guests say is for the operator and, through the core, for their owners.
            .mode(0o600)
            .open(&self.path)?
            .write_all(bytes)
    }

    /// The last bytes, at most so many.
    pub fn tail(&self, bytes: usize) -> io::Result<Vec<u8>> {
        let last = last_of(&self.path, bytes)?;
        let mut out = last_of(&self.before(), bytes - last.len())?;
        out.extend(last);
        Ok(out)
    }
}

fn last_of(path: &Path, bytes: usize) -> io::Result<Vec<u8>> {
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(bytes as u64)))?;
    let mut out = Vec::new();
    file.take(bytes as u64).read_to_end(&mut out)?;
    Ok(out)
}
