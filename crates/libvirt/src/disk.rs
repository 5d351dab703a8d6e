//! Instances' disks: a qcow2 file each, in the instance's folder, above the image that is cached and
//! shared by all.
//!
//! Made aside and renamed, so it is there whole or not at all. What is there is never made again: it has
//! the only copy of what the guest wrote. It grows and never shrinks. QEMU's own `qemu-img` makes it and
//! lets it grow, as it knows its format best.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use rhyzome_component::DriverError;
use rhyzome_model::Size;
use rhyzome_model::image::DiskLayout;

use crate::instances::from_disk;

const QCOW2: &[u8] = b"QFI\xfb";

/// An image that a disk begins as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Base {
    pub path: PathBuf,
    pub layout: DiskLayout,
}

/// Where an instance's disk is, in the instance's folder.
pub fn path(folder: &Path) -> PathBuf {
    folder.join("disk.qcow2")
}

/// Makes a disk where there is none yet, and lets it grow to its size; not while a guest has it.
/// `had` says whether the instance was started before, and so had one.
///
/// # Errors
/// *permanent* where a disk with a guest's data is gone.
pub async fn ensure(
    folder: &Path,
    size: Size,
    base: Option<&Base>,
    had: bool,
) -> Result<PathBuf, DriverError> {
    let path = path(folder);
    if path.exists() {
        let failed = |error| from_disk("the instance's disk could not be read", error);
        if self::size(&path).map_err(failed)? < size {
            let bytes = size.as_bytes().to_string();
            qemu_img(&["resize", "-q", "-f", "qcow2", text(&path)?, &bytes]).await?;
        }
        return Ok(path);
    }
    if had {
        let text = format!(
            "the instance's disk {} is gone: bring it back, or delete the instance",
            path.display()
        );
        return Err(DriverError::permanent(text));
    }
    make(folder, &path, size, base).await?;
    Ok(path)
}

async fn make(
    folder: &Path,
    path: &Path,
    size: Size,
    base: Option<&Base>,
) -> Result<(), DriverError> {
    let failed = |error| from_disk("the instance's disk could not be made", error);
    let new = path.with_extension("new");
    match fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
        _ => {}
    }
    let bytes = size.as_bytes().to_string();
    let mut arguments = vec!["create", "-q", "-f", "qcow2"];
    if let Some(base) = base {
        arguments.extend(["-F", base.layout.as_str(), "-b", text(&base.path)?]);
    }
    arguments.extend([text(&new)?, &bytes]);
    qemu_img(&arguments).await?;
    // libvirt gives it to QEMU's user for as long as the guest runs.
    fs::set_permissions(&new, fs::Permissions::from_mode(0o600)).map_err(failed)?;
    File::open(&new)
        .and_then(|file| file.sync_all())
        .map_err(failed)?;
    fs::rename(&new, path).map_err(failed)?;
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(failed)
}

/// How large the disk in a qcow2 file is: bytes 24 to 31 of its header (QEMU's docs/interop/qcow2.txt).
pub fn size(path: &Path) -> io::Result<Size> {
    let mut header = [0; 32];
    File::open(path)?.read_exact(&mut header)?;
    let (magic, rest) = header.split_at(4);
    if magic != QCOW2 {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "it is no qcow2 file",
        ));
    }
    let bytes = rest
        .last_chunk()
        .copied()
        .map(u64::from_be_bytes)
        .unwrap_or_default();
    Ok(Size::bytes(bytes))
}

/// Writes the disk that a guest reads about itself from, anew at each start. It may have secrets.
pub fn write_seed(folder: &Path, bytes: &[u8]) -> Result<PathBuf, DriverError> {
    let path = folder.join("seed.iso");
    let new = path.with_extension("new");
    let write = || {
        let _ = fs::remove_file(&new);
        let mut file = File::options()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&new)?;
        io::Write::write_all(&mut file, bytes)?;
        fs::rename(&new, &path)
    };
    write().map_err(|error| from_disk("the instance's seed disk could not be written", error))?;
    Ok(path)
}

fn text(path: &Path) -> Result<&str, DriverError> {
    path.to_str()
        .ok_or_else(|| DriverError::permanent(format!("the path {path:?} is no text")))
}

async fn qemu_img(arguments: &[&str]) -> Result<(), DriverError> {
    let output = tokio::process::Command::new("qemu-img")
        .args(arguments)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => {
                DriverError::transient("qemu-img is not installed: install the package qemu-utils")
            }
            _ => from_disk("qemu-img could not be run", error),
        })?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(DriverError::transient(format!(
        "`qemu-img {}` failed: {}",
        arguments.first().unwrap_or(&""),
        said.trim()
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A raw image of 1 MiB.
    fn base(folder: &Path) -> Base {
        let path = folder.join("base");
        fs::write(&path, vec![7; 1 << 20]).unwrap();
        Base {
            path,
            layout: DiskLayout::Raw,
        }
    }

    #[tokio::test]
    async fn a_disk_is_made_once_grows_and_never_shrinks_and_its_base_stays_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let base = base(folder.path());
        let before = fs::read(&base.path).unwrap();
        // What a kill left.
        fs::write(folder.path().join("disk.new"), b"half").unwrap();
        for (asked, had, expect) in [(2, false, 2), (2, true, 2), (8, true, 8), (4, true, 8)] {
            let made = ensure(folder.path(), Size::mib(asked), Some(&base), had).await;
            assert_eq!(size(&made.unwrap()).unwrap(), Size::mib(expect));
        }
        let mode = fs::metadata(path(folder.path())).unwrap().permissions();
        assert_eq!(mode.mode() & 0o777, 0o600);
        assert_eq!(fs::read(&base.path).unwrap(), before);
        assert!(!folder.path().join("disk.new").exists());
    }

    #[tokio::test]
    async fn a_disk_that_is_gone_is_not_made_again() {
        let folder = tempfile::tempdir().unwrap();
        let base = base(folder.path());
        let error = ensure(folder.path(), Size::mib(2), Some(&base), true).await;
        assert!(error.unwrap_err().message.contains("is gone"));
        assert!(!path(folder.path()).exists());
    }

    #[test]
    fn what_is_no_disk_has_no_size() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("disk.qcow2");
        for bytes in [&b"QFI\xfb"[..], &[0; 64]] {
            fs::write(&path, bytes).unwrap();
            assert!(size(&path).is_err());
        }
    }
}
