//! The partitions of an image, and the one with OpenWrt's root.
//!
//! Official images have a boot partition and the root behind it; those for UEFI have a GPT (UEFI specification, chapter
//! 5), with a tiny partition for the boot loader besides, and the others a table as MS-DOS had it.

mod gpt;
mod mbr;

use std::fmt;
use std::fs::File;
use std::os::unix::fs::FileExt as _;

use crate::Error;

/// Bytes of a sector; OpenWrt's images know no other size.
pub(crate) const SECTOR: u64 = 512;

/// How an image is divided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Table {
    Mbr,
    Gpt,
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Mbr => "MBR",
            Self::Gpt => "GPT",
        })
    }
}

/// A partition; sizes in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Partition {
    /// From 1, as systems count them.
    pub(crate) number: usize,
    pub(crate) offset: u64,
    pub(crate) size: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Disk {
    pub(crate) table: Table,
    pub(crate) partitions: Vec<Partition>,
}

/// What a partition begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    Ext,
    Squashfs,
    Other,
}

impl Disk {
    /// # Errors
    /// There is no partition table, it is damaged, or the image ends before its partitions do.
    pub(crate) fn read(file: &File, size: u64) -> Result<Self, Error> {
        let first = sector(file, 0).map_err(|_| Error::NoTable)?;
        let mbr = mbr::read(&first).ok_or(Error::NoTable)?;
        let (table, partitions) = match mbr.iter().any(|entry| entry.kind == mbr::PROTECTIVE) {
            true => (Table::Gpt, gpt::read(file)?.partitions()),
            false => (Table::Mbr, mbr.iter().map(mbr::Entry::partition).collect()),
        };
        if let Some(beyond) = partitions.iter().find(|part| part.end() > size) {
            return Err(Error::CutOff {
                partition: beyond.number,
                end: beyond.end(),
                size,
            });
        }
        Ok(Self { table, partitions })
    }

    /// Makes a partition larger, and the file with it. What is in it does not grow with it. Returns the new one.
    ///
    /// # Errors
    /// Something is behind it.
    pub(crate) fn grow(&self, file: &File, number: usize, size: u64) -> Result<Partition, Error> {
        let before = *self.find(number);
        let size = size.next_multiple_of(1 << 20);
        if size <= before.size {
            return Err(Error::RootSize {
                asked: size,
                now: before.size,
            });
        }
        if let Some(behind) = self.partitions.iter().find(|p| p.offset > before.offset) {
            return Err(Error::NotLast {
                behind: behind.number,
            });
        }
        let grown = Partition { size, ..before };
        match self.table {
            Table::Mbr => mbr::grow(file, &grown)?,
            Table::Gpt => gpt::grow(file, &grown)?,
        }
        Ok(grown)
    }

    fn find(&self, number: usize) -> &Partition {
        let found = self.partitions.iter().find(|part| part.number == number);
        found.expect("whoever asks has the number from here")
    }
}

impl Partition {
    pub(crate) fn end(&self) -> u64 {
        self.offset.saturating_add(self.size)
    }

    pub(crate) fn content(&self, file: &File) -> Content {
        let mut begin = [0; 2048];
        if file.read_exact_at(&mut begin, self.offset).is_err() {
            return Content::Other;
        }
        // The magic number of ext2 to ext4 is at 56 of the superblock, which is at 1024.
        match (&begin[..4], &begin[1024 + 56..1024 + 58]) {
            (b"hsqs", _) => Content::Squashfs,
            (_, [0x53, 0xef]) => Content::Ext,
            _ => Content::Other,
        }
    }
}

fn sector(file: &File, number: u64) -> std::io::Result<[u8; SECTOR as usize]> {
    let mut bytes = [0; SECTOR as usize];
    file.read_exact_at(&mut bytes, number * SECTOR)?;
    Ok(bytes)
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let four = bytes[at..at + 4].try_into();
    u32::from_le_bytes(four.expect("four bytes were cut out"))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let eight = bytes[at..at + 8].try_into();
    u64::from_le_bytes(eight.expect("eight bytes were cut out"))
}

#[cfg(test)]
pub(crate) mod tests;
