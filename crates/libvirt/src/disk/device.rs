//! Writing to a disk that is a block device of its own, as LVM and ZFS make them.
//!
//! Such a device may begin as what somebody else's disk left there. So all of it is written before a
//! guest sees it: the image, and zeros behind it.

use std::fs::{File, OpenOptions};
use std::io::{self, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::fcntl::{FallocateFlags, fallocate};
use rhyzome_component::{DriverError, Progress};
use rhyzome_model::Size;
use tokio::time::Instant;

use super::Base;
use super::program::{QEMU_IMG, text};
use crate::instances::from_disk;
use crate::step::Step;

/// How much is filled with zeros between two looks at how far it is.
const PIECE: u64 = 256 << 20;

/// How long a device may take to have its name, which somebody else gives it, after it is there.
const NAMED: Duration = Duration::from_secs(10);

/// Waits for a volume that is known to be there, at its name.
pub async fn appears(path: &Path) -> Result<(), DriverError> {
    let limit = Instant::now() + NAMED;
    while !path.exists() {
        if Instant::now() > limit {
            let text = format!(
                "libvirt has the instance's disk, and {} is not there",
                path.display()
            );
            return Err(DriverError::transient(text));
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}

/// How large a device is.
pub fn size(path: &Path) -> io::Result<Size> {
    File::open(path)?.seek(SeekFrom::End(0)).map(Size::bytes)
}

/// Writes an image to a device as raw bytes, and zeros to all that is behind it.
pub async fn fill(
    path: &Path,
    base: Option<&Base>,
    progress: &Progress,
) -> Result<(), DriverError> {
    clear(path, Size::bytes(0), progress).await?;
    let Some(base) = base else {
        return Ok(());
    };
    progress.begin(Step::CopyImage)?;
    let (layout, from, to) = (base.layout.as_str(), text(&base.path)?, text(path)?);
    // No format is guessed; the device is there, and what is zero in the image is zero in it.
    let how = [
        "convert",
        "-n",
        "--target-is-zero",
        "-f",
        layout,
        "-O",
        "raw",
    ];
    QEMU_IMG.run(&[&how[..], &[from, to]].concat()).await?;
    sync(path.to_owned()).await
}

/// Fills a device with zeros from a position to its end, and has all of it on the disk.
pub async fn clear(path: &Path, from: Size, progress: &Progress) -> Result<(), DriverError> {
    progress.begin(Step::ClearDisk)?;
    let (path, progress): (PathBuf, _) = (path.to_owned(), progress.clone());
    let cleared = tokio::task::spawn_blocking(move || {
        let file = OpenOptions::new().write(true).open(&path)?;
        let end = size(&path)?.as_bytes();
        let mut at = from.as_bytes();
        while at < end {
            let length = PIECE.min(end - at);
            let flags = FallocateFlags::FALLOC_FL_ZERO_RANGE | FallocateFlags::FALLOC_FL_KEEP_SIZE;
            // Both fit: no disk has more than 16 TiB.
            fallocate(&file, flags, at as i64, length as i64)?;
            at += length;
            progress.amount(at - from.as_bytes(), end - from.as_bytes());
        }
        file.sync_all()
    });
    done(cleared.await)
}

/// Has all of a device or a file on the disk, with its name: tools leave what they wrote to the host's memory.
pub async fn sync(path: PathBuf) -> Result<(), DriverError> {
    let sync = move || {
        File::open(&path)?.sync_all()?;
        match path.parent() {
            Some(folder) => File::open(folder)?.sync_all(),
            None => Ok(()),
        }
    };
    done(tokio::task::spawn_blocking(sync).await)
}

fn done(outcome: Result<io::Result<()>, tokio::task::JoinError>) -> Result<(), DriverError> {
    outcome
        .unwrap_or_else(|error| Err(io::Error::other(error)))
        .map_err(|error| from_disk("the instance's disk could not be written", error))
}
