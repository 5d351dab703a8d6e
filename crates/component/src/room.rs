//! What is said of a disk that is full: where that is, how much is free there, and how much is needed.

use std::io;
use std::path::Path;

use nix::sys::statvfs::statvfs;
use rhyzome_model::Size;

use crate::driver::DriverError;

/// How much is free on a disk, and how much there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    pub free: u64,
    pub whole: u64,
}

impl Room {
    /// Of the disk that a path is on, or its folder where it is not there itself (statvfs(3)).
    ///
    /// # Errors
    /// Where that cannot be looked at.
    pub fn at(path: &Path) -> io::Result<Self> {
        let mut found = statvfs(path);
        if let (Err(nix::errno::Errno::ENOENT), Some(folder)) = (&found, path.parent()) {
            found = statvfs(folder);
        }
        let found = found?;
        Ok(Self {
            free: found.blocks_available() * found.fragment_size(),
            whole: found.blocks() * found.fragment_size(),
        })
    }
}

/// In whole MiB, or KiB where it is less: the units that somebody thinks of disks in.
pub fn rounded(bytes: u64) -> Size {
    match bytes >> 20 {
        0 => Size::bytes(bytes >> 10 << 10),
        mib => Size::mib(mib),
    }
}

/// Whether a disk was full, or what somebody may have of it.
fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    )
}

/// How full the disk is that a path is on, in words.
pub fn told(path: &Path) -> String {
    let room = Room::at(path);
    let path = path.display();
    match room {
        Ok(Room { free, whole }) => format!(
            "the disk of {path} has {} of {} free: make room there",
            rounded(free),
            rounded(whole)
        ),
        Err(_) => format!("make room on the disk of {path}"),
    }
}

/// A file that could not be written, as it is told: worth another try, and where the disk is full, with how
/// full it is.
pub fn unwritten(what: &str, path: &Path, error: io::Error) -> DriverError {
    let text = match is_full(&error) {
        true => format!("{what}, and {}", told(path)),
        false => what.to_owned(),
    };
    DriverError::transient(text).with_source(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_that_is_full_is_told_with_where_and_how_full_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let full = io::Error::from(io::ErrorKind::StorageFull);
        let error = unwritten("it was not written", &path, full).chain();
        let begins = format!(
            "it was not written, and the disk of {} has ",
            path.display()
        );
        assert!(error.starts_with(&begins), "{error}");
        assert!(error.contains(" free: make room there: "), "{error}");
        let other = io::Error::from(io::ErrorKind::PermissionDenied);
        assert_eq!(
            unwritten("it was not written", &path, other).chain(),
            "it was not written: permission denied"
        );
    }

    #[test]
    fn bytes_are_told_in_units_that_one_reads() {
        for (bytes, shown) in [(0, "0B"), (5000, "4KiB"), (3_000_000_000, "2861MiB")] {
            assert_eq!(rounded(bytes).to_string(), shown);
        }
    }
}
