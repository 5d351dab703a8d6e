//! Reading and writing key material: errors that say who may read a file and
//! who tried to, and writes that are whole or did not happen.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// The mode of what nobody but its owner may read.
pub(crate) const PRIVATE: u32 = 0o600;
/// The mode of what everybody may read.
pub(crate) const PUBLIC: u32 = 0o644;

/// Why a file could not be read or written. Every variant names the path.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The operating system said "permission denied" for a file that is there.
    #[error(
        "{path} may not be read: it belongs to uid {owner} with mode {mode:04o}, and this process runs as uid {running_as}"
    )]
    Forbidden {
        path: PathBuf,
        owner: u32,
        /// Permission bits alone (0o7777).
        mode: u32,
        running_as: u32,
        source: io::Error,
    },
    /// Any other failure to read.
    #[error("{path} could not be read")]
    Read { path: PathBuf, source: io::Error },
    /// The file, its temporary sibling or its folder could not be written.
    #[error("{path} could not be written")]
    Write { path: PathBuf, source: io::Error },
}

/// Reads a whole file.
///
/// # Errors
/// [`FileError::Forbidden`] and [`FileError::Read`].
pub fn read(path: &Path) -> Result<Vec<u8>, FileError> {
    let mut bytes = Vec::new();
    match File::open(path).and_then(|mut file| file.read_to_end(&mut bytes)) {
        Ok(_) => Ok(bytes),
        Err(source) => Err(explain_read(path, source)),
    }
}

fn explain_read(path: &Path, source: io::Error) -> FileError {
    let path = path.to_owned();
    if source.kind() == io::ErrorKind::PermissionDenied {
        // A folder above may be what is closed; then there is no mode to tell.
        if let Ok(meta) = fs::metadata(&path) {
            return FileError::Forbidden {
                owner: meta.uid(),
                mode: meta.permissions().mode() & 0o7777,
                running_as: nix::unistd::geteuid().as_raw(),
                path,
                source,
            };
        }
    }
    FileError::Read { path, source }
}

/// Writes a whole file so that a crash leaves the old content or the new one,
/// never a part, and never a moment with a wider mode than `mode`.
///
/// # Errors
/// [`FileError::Write`].
pub fn write_atomic(path: &Path, bytes: &[u8], mode: u32) -> Result<(), FileError> {
    let failed = |source| FileError::Write {
        path: path.to_owned(),
        source,
    };
    let folder = folder_of(path);
    let mut name = path
        .file_name()
        .ok_or_else(|| failed(io::Error::from(io::ErrorKind::InvalidInput)))?
        .to_owned();
    name.push(format!(".new-{}", std::process::id()));
    let fresh = folder.join(name);
    write_synced(&fresh, bytes, mode)
        .and_then(|()| fs::rename(&fresh, path))
        .and_then(|()| sync_folder(folder))
        .inspect_err(|_| {
            // Best effort: the error that matters is the one being returned.
            let _ = fs::remove_file(&fresh);
        })
        .map_err(failed)
}

/// Writes a file that must not exist yet, down to the disk.
pub(crate) fn write_synced(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path)?;
    file.write_all(bytes)?;
    // The umask may have narrowed a public file.
    file.set_permissions(fs::Permissions::from_mode(mode))?;
    file.sync_all()
}

/// Makes renames within a folder survive a power failure.
pub(crate) fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    }
}
