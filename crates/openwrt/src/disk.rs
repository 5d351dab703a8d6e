//! Files that are there whole or not at all, also after a loss of power.
//!
//! What is renamed into place was synced before, and its folder is synced after: an order of the two that a file
//! system may change otherwise.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use serde::{Deserialize, Serialize};
use sha2::Digest as _;

#[derive(Debug, thiserror::Error)]
pub enum DiskError {
    #[error("{0} cannot be read")]
    Read(PathBuf, #[source] io::Error),
    #[error("{0} is not UTF-8: it was damaged, or is not text; mend it first")]
    NotText(PathBuf),
    #[error("{0} cannot be written: the router's flash is full")]
    Full(PathBuf),
    #[error("{0} cannot be written")]
    Write(PathBuf, #[source] io::Error),
    #[error("{0} cannot be removed")]
    Remove(PathBuf, #[source] io::Error),
}

impl DiskError {
    fn write(path: &Path, error: io::Error) -> Self {
        let full = [Errno::ENOSPC, Errno::EDQUOT].map(|errno| Some(errno as i32));
        match full.contains(&error.raw_os_error()) {
            true => Self::Full(path.to_owned()),
            false => Self::Write(path.to_owned(), error),
        }
    }
}

/// What a text is known by: its SHA-256.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Digest(String);

impl Digest {
    pub fn of(text: &str) -> Self {
        Self(hex::encode(sha2::Sha256::digest(text)))
    }
}

/// The text of a file; none where there is no such.
pub(crate) fn read(path: &Path) -> Result<Option<String>, DiskError> {
    match fs::read(path) {
        Ok(bytes) => String::from_utf8(bytes)
            .map(Some)
            .map_err(|_| DiskError::NotText(path.to_owned())),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(DiskError::Read(path.to_owned(), e)),
    }
}

/// Writes a file that nobody else reads before it is renamed, and syncs it. Nothing is left of it on an error.
pub(crate) fn write_unfinished(path: &Path, text: &str, mode: u32) -> Result<(), DiskError> {
    let mut open = OpenOptions::new();
    let written = open
        .create(true)
        .truncate(true)
        .write(true)
        .mode(mode)
        .open(path)
        .and_then(|mut file| {
            file.write_all(text.as_bytes())?;
            // As it was asked, whatever the process's mask is.
            file.set_permissions(fs::Permissions::from_mode(mode))?;
            file.sync_all()
        });
    written.map_err(|e| {
        let _ = fs::remove_file(path);
        DiskError::write(path, e)
    })
}

/// Puts a file that is finished in the place of another one.
pub(crate) fn rename(finished: &Path, path: &Path) -> Result<(), DiskError> {
    fs::rename(finished, path).map_err(|e| {
        let _ = fs::remove_file(finished);
        DiskError::write(path, e)
    })?;
    sync_folder_of(path)
}

/// Replaces a file of our own as a whole.
pub(crate) fn replace(path: &Path, text: &str) -> Result<(), DiskError> {
    let unfinished = path.with_extension("new");
    write_unfinished(&unfinished, text, 0o600)?;
    rename(&unfinished, path)
}

/// Makes a folder of our own, and those above it.
pub(crate) fn make_folder(path: &Path) -> Result<(), DiskError> {
    if path.is_dir() {
        return Ok(());
    }
    if let Some(above) = path.parent() {
        make_folder(above)?;
    }
    match DirBuilder::new().mode(0o700).create(path) {
        Err(e) if e.kind() != io::ErrorKind::AlreadyExists => Err(DiskError::write(path, e)),
        _ => sync_folder_of(path),
    }
}

/// Keeps what a file is now under another name: by a link where the file system has those, else by a copy.
pub(crate) fn keep(path: &Path, kept: &Path) -> Result<(), DiskError> {
    remove(kept)?;
    if fs::hard_link(path, kept).is_ok() {
        return Ok(());
    }
    let text = read(path)?.unwrap_or_default();
    let mode = mode_of(path)?;
    write_unfinished(kept, &text, mode)
}

/// The permissions of a file.
pub(crate) fn mode_of(path: &Path) -> Result<u32, DiskError> {
    let there = fs::metadata(path).map_err(|e| DiskError::Read(path.to_owned(), e))?;
    Ok(there.permissions().mode() & 0o7777)
}

/// Removes a file, if there is one.
pub(crate) fn remove(path: &Path) -> Result<(), DiskError> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(DiskError::Remove(path.to_owned(), e)),
        _ => Ok(()),
    }
}

/// Removes a folder and all in it, if there is one.
pub(crate) fn remove_folder(path: &Path) -> Result<(), DiskError> {
    match fs::remove_dir_all(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(DiskError::Remove(path.to_owned(), e)),
        _ => Ok(()),
    }
}

/// The paths in a folder, sorted; none where there is no folder.
pub(crate) fn entries(path: &Path) -> Result<Vec<PathBuf>, DiskError> {
    let failed = |e| DiskError::Read(path.to_owned(), e);
    let entries = match fs::read_dir(path) {
        Ok(entries) => entries,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(failed(e)),
    };
    let paths: io::Result<Vec<PathBuf>> = entries.map(|entry| Ok(entry?.path())).collect();
    let mut paths = paths.map_err(failed)?;
    paths.sort();
    Ok(paths)
}

/// Makes what was done in the folder of a path last.
pub(crate) fn sync_folder_of(path: &Path) -> Result<(), DiskError> {
    path.parent().map_or(Ok(()), sync_folder)
}

pub(crate) fn sync_folder(folder: &Path) -> Result<(), DiskError> {
    let synced = File::open(folder).and_then(|folder| folder.sync_all());
    match synced {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        synced => synced.map_err(|e| DiskError::write(folder, e)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_as_a_whole_and_nothing_is_left_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("record.json");
        replace(&path, "one").unwrap();
        replace(&path, "two").unwrap();
        assert_eq!(read(&path).unwrap().as_deref(), Some("two"));
        assert_eq!(mode_of(&path).unwrap(), 0o600);
        assert_eq!(entries(folder.path()).unwrap(), [path]);
    }

    #[test]
    fn what_is_kept_stays_when_the_file_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let (path, kept) = (folder.path().join("file"), folder.path().join("kept"));
        replace(&path, "before").unwrap();
        keep(&path, &kept).unwrap();
        replace(&path, "after").unwrap();
        assert_eq!(read(&kept).unwrap().as_deref(), Some("before"));
        keep(&path, &kept).unwrap();
        assert_eq!(read(&kept).unwrap().as_deref(), Some("after"));
    }

    #[test]
    fn what_is_no_text_is_said_to_be_none() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("network");
        fs::write(&path, [0xff, 0xfe]).unwrap();
        let error = read(&path).unwrap_err();
        assert!(error.to_string().ends_with("mend it first"), "{error}");
        assert!(read(&folder.path().join("none")).unwrap().is_none());
    }

    #[test]
    fn a_full_flash_is_said_to_be_full() {
        let error = DiskError::write(Path::new("/etc/config/dhcp"), Errno::ENOSPC.into());
        assert!(error.to_string().contains("flash is full"), "{error}");
        let other = DiskError::write(Path::new("/etc/config/dhcp"), Errno::EIO.into());
        assert!(!other.to_string().contains("full"), "{other}");
    }
}
