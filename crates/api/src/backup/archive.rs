//! The archive itself: entries with their checksums, written whole or not at all.

use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::BackupError;

/// An entry, to be compared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Entry {
    pub name: String,
    pub size: u64,
    pub sha256: String,
}

fn failed<'a>(operation: &'static str, path: &'a Path) -> impl Fn(io::Error) -> BackupError + 'a {
    move |source| BackupError::File {
        operation,
        path: path.to_owned(),
        source,
    }
}

/// An archive that is being written, beside where it will be. Dropped before [`Writer::finish`], it is
/// removed.
pub(super) struct Writer {
    tar: tar::Builder<BufWriter<File>>,
    entries: Vec<Entry>,
    path: PathBuf,
    part: PathBuf,
    finished: bool,
}

impl Writer {
    /// Nobody but its owner may read it: it has the site's private key in it.
    pub fn create(path: &Path) -> Result<Self, BackupError> {
        let mut part = path.as_os_str().to_owned();
        part.push(format!(".part-{}", std::process::id()));
        let part = PathBuf::from(part);
        let file = File::options()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&part)
            .map_err(failed("make", &part))?;
        Ok(Self {
            tar: tar::Builder::new(BufWriter::new(file)),
            entries: Vec::new(),
            path: path.to_owned(),
            part,
            finished: false,
        })
    }

    pub fn add(&mut self, name: &str, bytes: &[u8]) -> Result<(), BackupError> {
        self.append(name, bytes.len() as u64, bytes)
    }

    /// An entry of so many bytes.
    pub fn append(&mut self, name: &str, size: u64, bytes: impl Read) -> Result<(), BackupError> {
        let mut header = tar::Header::new_gnu();
        header.set_size(size);
        header.set_mode(0o600);
        let mut hashed = Hashed::new(bytes);
        self.tar
            .append_data(&mut header, name, &mut hashed)
            .map_err(failed("write", &self.part))?;
        self.entries.push(Entry {
            name: name.to_owned(),
            size,
            sha256: hashed.end(),
        });
        Ok(())
    }

    /// What was written so far.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Puts the archive in its place, down to the disk.
    pub fn finish(mut self) -> Result<(), BackupError> {
        let written = failed("write", &self.part);
        self.tar.finish().map_err(&written)?;
        self.tar.get_mut().flush().map_err(&written)?;
        self.tar.get_mut().get_ref().sync_all().map_err(&written)?;
        fs::rename(&self.part, &self.path).map_err(failed("write", &self.path))?;
        self.finished = true;
        Ok(())
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        if !self.finished {
            // The error that matters is the one that ended it.
            let _ = fs::remove_file(&self.part);
        }
    }
}

/// What is read is hashed.
pub(super) struct Hashed<R> {
    inner: R,
    hash: Sha256,
}

impl<R> Hashed<R> {
    pub fn new(inner: R) -> Self {
        Self {
            inner,
            hash: Sha256::new(),
        }
    }

    pub fn end(self) -> String {
        hex(&self.hash.finalize())
    }
}

impl<R: Read> Read for Hashed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.hash.update(&buffer[..read]);
        Ok(read)
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Reads an archive through and gives each entry's name and bytes with their number, in their order.
pub(super) fn read(
    path: &Path,
    mut take: impl FnMut(&str, (&mut dyn Read, u64)) -> Result<(), BackupError>,
) -> Result<(), BackupError> {
    let file = File::open(path).map_err(failed("read", path))?;
    let mut archive = tar::Archive::new(BufReader::new(file));
    let broken = |error: io::Error| BackupError::Broken {
        path: path.to_owned(),
        why: error.to_string(),
    };
    for entry in archive.entries().map_err(broken)? {
        let mut entry = entry.map_err(broken)?;
        let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let size = entry.size();
        take(&name, (&mut entry, size))?;
    }
    Ok(())
}
