//! The partition table in the first sector: four entries of 16 bytes at 446, and 0x55 0xaa at the end. What is inside of
//! an extended partition is not looked at: no official image has one.

use std::fs::File;
use std::os::unix::fs::FileExt as _;

use super::{Partition, SECTOR, sector, u32_at};
use crate::Error;

/// Stands for a whole disk that has a GPT.
pub(super) const PROTECTIVE: u8 = 0xee;

const ENTRIES: usize = 446;
const ENTRY: usize = 16;

#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    number: usize,
    pub(super) kind: u8,
    start: u32,
    sectors: u32,
}

impl Entry {
    pub(super) fn partition(&self) -> Partition {
        Partition {
            number: self.number,
            offset: u64::from(self.start) * SECTOR,
            size: u64::from(self.sectors) * SECTOR,
        }
    }
}

/// The entries in use; none where the sector is no such table.
pub(super) fn read(first: &[u8]) -> Option<Vec<Entry>> {
    if first[510..512] != [0x55, 0xaa] {
        return None;
    }
    let entries = (1..).zip(first[ENTRIES..510].chunks_exact(ENTRY));
    let entries = entries.map(|(number, entry)| Entry {
        number,
        kind: entry[4],
        start: u32_at(entry, 8),
        sectors: u32_at(entry, 12),
    });
    let used: Vec<Entry> = entries
        .filter(|entry| entry.kind != 0 && entry.sectors > 0)
        .collect();
    (!used.is_empty()).then_some(used)
}

/// Says the new size of a partition. Where it is in cylinders, heads and sectors has been ignored for decades.
pub(super) fn grow(file: &File, grown: &Partition) -> Result<(), Error> {
    let sectors = u32::try_from(grown.size / SECTOR)
        .ok()
        .filter(|_| grown.end() / SECTOR <= u64::from(u32::MAX))
        .ok_or(Error::TooLarge)?;
    set_sectors(file, grown.number, sectors)?;
    file.set_len(grown.end()).map_err(Error::io("the draft"))
}

/// The entry that stands for the whole disk says its size, or as much as fits.
pub(super) fn protect(file: &File, sectors: u64) -> Result<(), Error> {
    let first = sector(file, 0).map_err(Error::io("the draft"))?;
    let entries = read(&first).unwrap_or_default();
    for entry in entries.iter().filter(|entry| entry.kind == PROTECTIVE) {
        let sectors = u32::try_from(sectors - 1).unwrap_or(u32::MAX);
        set_sectors(file, entry.number, sectors)?;
    }
    Ok(())
}

fn set_sectors(file: &File, number: usize, sectors: u32) -> Result<(), Error> {
    let at = ENTRIES + (number - 1) * ENTRY + 12;
    file.write_all_at(&sectors.to_le_bytes(), at as u64)
        .map_err(Error::io("the draft"))
}
