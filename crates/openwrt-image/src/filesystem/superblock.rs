//! The numbers of the superblock, 1024 bytes behind the beginning (`fs/ext4/ext4.h` of Linux).

use std::fs::File;
use std::os::unix::fs::FileExt as _;

use crate::Error;

/// How large a file system is, and what is free of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Room {
    pub(crate) size: u64,
    pub(crate) free: u64,
    pub(crate) free_inodes: u32,
    /// Bytes.
    pub(crate) block: u64,
}

impl Room {
    /// # Errors
    /// There is none, or it says what cannot be.
    pub(super) fn read(file: &File, offset: u64) -> Result<Self, Error> {
        let mut bytes = [0; 1024];
        file.read_exact_at(&mut bytes, offset + 1024)
            .map_err(Error::io("the draft"))?;
        let number = |at: usize| {
            let four = bytes[at..at + 4].try_into();
            u32::from_le_bytes(four.expect("four bytes were cut out"))
        };
        let log = number(24);
        if bytes[56..58] != [0x53, 0xef] || log > 6 {
            return Err(Error::Damaged {
                said: "its superblock cannot be read".to_owned(),
            });
        }
        let block = 1024_u64 << log;
        Ok(Self {
            size: u64::from(number(4)) * block,
            free: u64::from(number(12)) * block,
            free_inodes: number(16),
            block,
        })
    }
}
