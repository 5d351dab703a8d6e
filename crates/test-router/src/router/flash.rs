//! A router's flash: full, counted, and without what was not synced.

use std::fs::{self, File};
use std::os::fd::{AsFd, AsRawFd};
use std::path::Path;

use nix::fcntl::{FallocateFlags, fallocate};
use nix::unistd::syncfs;

use super::Router;

/// What fills the flash.
const FILLING: &str = "/filling";

/// Without writing the journal out: what is not on the flash yet never will be. As in linux/fs.h and
/// fs/ext4/ext4.h.
const GOING_DOWN_WITHOUT_LOG: u32 = 2;
nix::ioctl_read!(fs_shutdown, b'X', 125, u32);

/// What was written to a flash since the router started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Written {
    /// How often the journal was: each sync of something that has changed is one.
    pub transactions: u64,
    pub bytes: u64,
}

impl Router {
    /// Writes out what is not on the flash yet.
    pub fn sync(&self) {
        let root = self.flash();
        syncfs(root.as_fd()).expect("the flash is there");
    }

    /// What was written to the flash since the start, after writing out what was not.
    pub fn written(&self) -> Written {
        self.sync();
        let (now, before) = (Written::ever(self.cage.device()), self.cage.before());
        Written {
            transactions: now.transactions - before.transactions,
            bytes: now.bytes - before.bytes,
        }
    }

    /// Leaves no room on the flash.
    pub fn fill_flash(&self) {
        // Blocks that are freed are free when the journal says so.
        self.sync();
        let file = File::create(self.path(FILLING)).expect("an empty file needs no room");
        let (mut size, mut step) = (0, 1 << 20);
        while step > 0 {
            match fallocate(&file, FallocateFlags::empty(), size, step) {
                Ok(()) => size += step,
                Err(_) => step /= 2,
            }
        }
        self.sync();
    }

    /// Leaves room on the flash again.
    pub fn empty_flash(&self) {
        fs::remove_file(self.path(FILLING)).expect("the flash was filled");
        self.sync();
    }

    /// From here on nothing is written to the flash, and nothing read that was not.
    pub(super) fn shut_flash(&self) {
        let root = self.flash();
        let mut how = GOING_DOWN_WITHOUT_LOG;
        // SAFETY: the call reads one number that outlives it.
        unsafe { fs_shutdown(root.as_raw_fd(), &raw mut how) }.expect("ext4 can be shut down");
    }

    fn flash(&self) -> File {
        File::open(self.path("/")).expect("the router runs")
    }
}

impl Written {
    /// Of a device whose file system is mounted, since it is there.
    pub(super) fn ever(device: &Path) -> Self {
        Self {
            transactions: transactions_of(device),
            bytes: bytes_of(device),
        }
    }
}

/// `17 transactions (12 requested), …` (fs/jbd2/journal.c).
fn transactions_of(device: &Path) -> u64 {
    let name = device.file_name().unwrap_or_default().to_string_lossy();
    let text = fs::read_to_string(format!("/proc/fs/jbd2/{name}-8/info"));
    let text = text.expect("a mounted ext4 has a journal");
    let first = text.split_whitespace().next();
    let count = first.and_then(|count| count.parse().ok());
    count.expect("it begins with a number")
}

/// Sectors of 512 bytes are the seventh figure (Documentation/block/stat.rst).
fn bytes_of(device: &Path) -> u64 {
    let name = device.file_name().unwrap_or_default();
    let path = Path::new("/sys/block").join(name).join("stat");
    let text = fs::read_to_string(path).expect("a block device has figures");
    let sectors = text.split_whitespace().nth(6);
    let sectors: Option<u64> = sectors.and_then(|sectors| sectors.parse().ok());
    sectors.expect("figures are numbers") * 512
}
