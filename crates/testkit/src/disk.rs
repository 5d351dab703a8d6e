//! A disk of a few MiB that can be full, seen by one test alone.

use std::fs;
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::thread;

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use nix::sys::statvfs::statvfs;
use tempfile::TempDir;

/// A disk, with something on it that may go.
pub struct Disk(TempDir);

impl Disk {
    /// Runs a test with one of so many MiB, which what it starts sees and nobody else. Needs root.
    ///
    /// # Panics
    /// Where the test does, or without root.
    pub fn with(mib: usize, test: impl FnOnce(Self) + Send + 'static) {
        // A mount namespace is a thread's, and that of the threads that it starts.
        let alone = move || {
            let none = None::<&str>;
            unshare(CloneFlags::CLONE_NEWNS).expect("root");
            mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).expect("private");
            let folder = tempfile::tempdir().expect("a folder");
            let (kind, size) = (Some("tmpfs"), format!("size={mib}m"));
            let flags = MsFlags::empty();
            mount(kind, folder.path(), kind, flags, Some(size.as_str())).expect("a disk");
            test(Self(folder));
        };
        thread::spawn(alone).join().expect("the test passed");
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    fn ballast(&self) -> PathBuf {
        self.path().join("ballast")
    }

    /// How many KiB are free.
    ///
    /// # Panics
    /// When it is gone.
    pub fn left(&self) -> u64 {
        let found = statvfs(self.path()).expect("a disk");
        found.blocks_available() * found.fragment_size() / 1024
    }

    /// Leaves so many KiB free, or less where somebody else writes meanwhile.
    ///
    /// # Panics
    /// When nothing can be written.
    pub fn fill(&self, left: u64) {
        let mut ballast = fs::File::create(self.ballast()).expect("a file");
        while let Some(more @ 1..) = self.left().checked_sub(left) {
            let piece = usize::try_from(more.min(1024) * 1024).expect("a size");
            match ballast.write_all(&vec![0; piece]) {
                Err(error) if error.kind() == ErrorKind::StorageFull => return,
                written => written.expect("room"),
            }
        }
    }

    /// Makes room again.
    ///
    /// # Panics
    /// When it was not filled.
    pub fn free(&self) {
        fs::remove_file(self.ballast()).expect("it was filled");
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // It goes with its namespace at the latest.
        let _ = umount2(self.path(), MntFlags::MNT_DETACH);
    }
}
