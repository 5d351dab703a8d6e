//! The table of the UEFI specification: a header in the second sector, entries where it says, and a copy of both at the
//! end of the disk.

use std::fs::File;
use std::os::unix::fs::FileExt as _;

use flate2::Crc;

use super::{Partition, SECTOR, mbr, sector, u32_at, u64_at};
use crate::Error;

/// More would be no image that anybody makes.
const MOST_BYTES: usize = 1 << 20;

/// A header and its entries, as they are on the disk.
pub(super) struct Gpt {
    header: Vec<u8>,
    entries: Vec<u8>,
}

/// # Errors
/// There is none, or a checksum is wrong.
pub(super) fn read(file: &File) -> Result<Gpt, Error> {
    let damaged = |reason| Error::DamagedTable { reason };
    let header = sector(file, 1).map_err(|_| damaged("there is no header"))?;
    if !header.starts_with(b"EFI PART") {
        return Err(damaged("there is no header"));
    }
    let length = u32_at(&header, 12) as usize;
    if !(92..=header.len()).contains(&length) {
        return Err(damaged("its header has an impossible size"));
    }
    let gpt = Gpt {
        header: header.to_vec(),
        entries: Vec::new(),
    };
    if gpt.checksum() != u32_at(&header, 16) {
        return Err(damaged("its header's checksum is wrong"));
    }
    let count = u32_at(&header, 80) as usize;
    let size = count.saturating_mul(gpt.entry());
    if gpt.entry() < 128 || size == 0 || size > MOST_BYTES {
        return Err(damaged("its entries have an impossible size"));
    }
    let mut entries = vec![0; size];
    let at = u64_at(&header, 72).saturating_mul(SECTOR);
    file.read_exact_at(&mut entries, at)
        .map_err(|_| damaged("its entries are beyond the end"))?;
    if crc(&entries) != u32_at(&header, 88) {
        return Err(damaged("its entries' checksum is wrong"));
    }
    Ok(Gpt { entries, ..gpt })
}

impl Gpt {
    pub(super) fn partitions(&self) -> Vec<Partition> {
        let entries = (1..).zip(self.entries.chunks_exact(self.entry()));
        let used = entries.filter(|(_, entry)| entry[..16] != [0; 16]);
        used.map(|(number, entry)| {
            let (first, last) = (u64_at(entry, 32), u64_at(entry, 40));
            Partition {
                number,
                offset: first.saturating_mul(SECTOR),
                size: (last + 1).saturating_sub(first).saturating_mul(SECTOR),
            }
        })
        .collect()
    }

    /// Bytes of an entry.
    fn entry(&self) -> usize {
        u32_at(&self.header, 84) as usize
    }

    /// Of the header, as if there were zeros where it is written.
    fn checksum(&self) -> u32 {
        let mut header = self.header[..u32_at(&self.header, 12) as usize].to_vec();
        header[16..20].fill(0);
        crc(&header)
    }

    fn set(&mut self, at: usize, sector: u64) {
        self.header[at..at + 8].copy_from_slice(&sector.to_le_bytes());
    }

    fn seal(&mut self) {
        let entries = crc(&self.entries);
        self.header[88..92].copy_from_slice(&entries.to_le_bytes());
        let header = self.checksum();
        self.header[16..20].copy_from_slice(&header.to_le_bytes());
    }
}

/// Says the new end of a partition, and puts the copy at the new end of the disk.
pub(super) fn grow(file: &File, grown: &Partition) -> Result<(), Error> {
    let mut gpt = read(file)?;
    let (size, sectors) = (gpt.entry(), gpt.entries.len() as u64 / SECTOR);
    let end = grown.end() / SECTOR;
    let at = (grown.number - 1) * size;
    gpt.entries[at + 40..at + 48].copy_from_slice(&(end - 1).to_le_bytes());
    // The copy's entries come first, and its header is in the last sector.
    let copy = end + sectors;
    let write = |bytes: &[u8], sector: u64| {
        file.write_all_at(bytes, sector * SECTOR)
            .map_err(Error::io("the draft"))
    };
    let entries_at = u64_at(&gpt.header, 72);
    file.set_len((copy + 1) * SECTOR)
        .map_err(Error::io("the draft"))?;
    gpt.set(32, copy);
    gpt.set(48, end - 1);
    gpt.seal();
    write(&gpt.entries, entries_at)?;
    write(&gpt.header, 1)?;
    gpt.set(24, copy);
    gpt.set(32, 1);
    gpt.set(72, end);
    gpt.seal();
    write(&gpt.entries, end)?;
    write(&gpt.header, copy)?;
    mbr::protect(file, copy + 1)
}

fn crc(bytes: &[u8]) -> u32 {
    let mut crc = Crc::new();
    crc.update(bytes);
    crc.sum()
}
