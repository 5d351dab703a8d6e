//! The last bytes of a stream on disk: a file that is written, and the one that was full before it.
//!
//! Every byte has a position, counted from the first that was ever appended. Where the file that is
//! written begins is in a third file; a crash at the moment of changing files moves positions forward by
//! one file's length at most, and never back.

use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// How much one of the two files holds: together at most 1 MiB.
const HALF: u64 = 512 << 10;

#[derive(Debug)]
pub struct Ring {
    path: PathBuf,
    /// The position of the first byte of the file that is written.
    base: u64,
}

impl Ring {
    pub fn open(path: PathBuf) -> Self {
        let base = fs::read_to_string(path.with_extension("base")).unwrap_or_default();
        Self {
            base: base.trim().parse().unwrap_or(0),
            path,
        }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    fn before(&self) -> PathBuf {
        self.path.with_extension("log.old")
    }

    /// The position behind the last byte.
    pub fn end(&self) -> u64 {
        self.base + super::length(&self.path)
    }

    /// Appends at most half of what the ring holds.
    pub fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let bytes = &bytes[bytes.len().saturating_sub(HALF as usize)..];
        let length = super::length(&self.path);
        if length + bytes.len() as u64 > HALF {
            self.begin(self.base + length)?;
        }
        File::options()
            .append(true)
            .create(true)
            // What guests say is for the operator and, through the core, for their owners.
            .mode(0o600)
            .open(&self.path)?
            .write_all(bytes)
    }

    /// Begins a new file, whose first byte has this position.
    fn begin(&mut self, base: u64) -> io::Result<()> {
        let (path, new) = (
            self.path.with_extension("base"),
            self.path.with_extension("base.new"),
        );
        fs::write(&new, base.to_string())?;
        fs::rename(new, path)?;
        self.base = base;
        match fs::rename(&self.path, self.before()) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
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
