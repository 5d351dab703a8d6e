//! Disks: what is on them by their partition table, and what boots them.
//!
//! GPT by the UEFI specification (5.3), types of partitions by it and by the Discoverable Partitions
//! Specification; the master boot record by the habit of forty years.

use super::{ReadAt, Refused, Stop, array, fat, guest, qcow2, u16_at, u32_at, u64_at, window};
use crate::Size;
use crate::image::{DiskFirmware, DiskLayout, ImageFormat};

const WHAT: &str = "disk image";
const SECTOR: u64 = 512;
/// How much of a partition table is looked at: twice what everybody writes.
const MOST_ENTRIES: usize = 256;

const ESP: &str = "C12A7328-F81F-11D2-BA4B-00A0C93EC93B";
/// Partitions for the root of a system, by its architecture.
const ROOTS: [(&str, &str); 7] = [
    ("4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709", X86_64),
    ("B921B045-1DF0-41C3-AF44-4C6F280D3FAE", "arm64"),
    ("69DAD710-2CE4-4E3C-B16C-21A1D49ABED3", "32-bit Arm"),
    ("72EC70A6-CF74-40E6-BD49-4BDA08E8F224", "RISC-V"),
    ("C31C45E6-3F39-412E-80FB-4809C4980599", "POWER"),
    ("5EEAD9A9-FE09-4A1E-A1D7-520D00531306", "s390x"),
    ("77055800-792C-4F94-B39A-98C91B762BB6", "LoongArch"),
];
const X86_64: &str = "x86-64";
/// What firmware looks for, by its architecture (UEFI specification, 3.5.1.1).
const LOADERS: [(&str, &str); 5] = [
    ("BOOTX64.EFI", X86_64),
    ("BOOTAA64.EFI", "arm64"),
    ("BOOTARM.EFI", "32-bit Arm"),
    ("BOOTIA32.EFI", "32-bit x86"),
    ("BOOTRI~1.EFI", "RISC-V"),
];

/// A disk in a qcow2 file.
pub fn in_qcow2<B: ReadAt + ?Sized>(bytes: &B) -> Result<ImageFormat, Stop> {
    let image = qcow2::Qcow2::open(bytes)?;
    image.check_tables()?;
    let head = window(&image, 0, 4096)?;
    let firmware = match is_partitioned(&head) {
        true => boots(&image, &head)?,
        false => return Err(Refused::NoBootLoader("it has no partition table").into()),
    };
    Ok(ImageFormat::Disk {
        layout: DiskLayout::Qcow2,
        size: Size::bytes(image.size()),
        firmware,
        guest: guest::on(&image, &head)?,
    })
}

/// A disk as it is; none where this is something else.
pub fn raw<B: ReadAt + ?Sized>(bytes: &B, head: &[u8]) -> Result<Option<ImageFormat>, Stop> {
    if !is_partitioned(head) {
        return Ok(None);
    }
    qcow2::check_size(bytes.size())?;
    Ok(Some(ImageFormat::Disk {
        layout: DiskLayout::Raw,
        size: Size::bytes(bytes.size()),
        firmware: boots(bytes, head)?,
        guest: guest::on(bytes, head)?,
    }))
}

fn is_partitioned(head: &[u8]) -> bool {
    u16_at(head, 0x1fe) == Some(0xaa55) || head.get(512..520) == Some(b"EFI PART")
}

/// A partition, as either table has it.
struct Partition {
    /// Of a GPT; empty in a master boot record.
    kind: String,
    /// Whether it is an EFI system partition.
    system: bool,
    /// Bytes.
    start: u64,
}

fn boots<B: ReadAt + ?Sized>(disk: &B, head: &[u8]) -> Result<DiskFirmware, Stop> {
    let partitions = match head.get(512..520) {
        Some(b"EFI PART") => gpt(disk, head)?,
        _ => mbr(disk.size(), head)?,
    };
    let code = head
        .get(..440)
        .is_some_and(|code| code.iter().any(|byte| *byte != 0));
    let bios = code && u16_at(head, 0x1fe) == Some(0xaa55);
    let (mut uefi, mut other) = (false, None);
    for partition in partitions.iter().filter(|partition| partition.system) {
        match fat::loaders(disk, partition.start)? {
            // What cannot be read may be fine all the same.
            None => uefi = true,
            Some(names) => {
                let found = LOADERS
                    .iter()
                    .filter(|(name, _)| names.iter().any(|n| n == name));
                for (_, architecture) in found {
                    match *architecture {
                        X86_64 => uefi = true,
                        architecture => other = Some(architecture),
                    }
                }
            }
        }
    }
    let roots = || {
        partitions
            .iter()
            .filter_map(|partition| ROOTS.iter().find(|(kind, _)| *kind == partition.kind))
            .map(|(_, architecture)| *architecture)
    };
    let foreign = roots().find(|_| roots().all(|architecture| architecture != X86_64));
    let elsewhere = foreign
        .filter(|_| !uefi)
        .or(other.filter(|_| !bios && !uefi));
    if let Some(architecture) = elsewhere {
        return Err(Refused::architecture(architecture.to_owned(), Some(WHAT)).into());
    }
    match (bios, uefi) {
        (true, true) => Ok(DiskFirmware::Both),
        (true, false) => Ok(DiskFirmware::Bios),
        (false, true) => Ok(DiskFirmware::Uefi),
        (false, false) => {
            let why = "its first sector has no program, and no EFI system partition has EFI/BOOT/BOOTX64.EFI";
            Err(Refused::NoBootLoader(why).into())
        }
    }
}

fn gpt<B: ReadAt + ?Sized>(disk: &B, head: &[u8]) -> Result<Vec<Partition>, Stop> {
    let header = head.get(512..).unwrap_or_default();
    let malformed = |why| Refused::Malformed {
        what: "partition table (GPT)",
        why,
    };
    let long = |at| u64_at(header, at).ok_or(malformed("it is cut off"));
    let word = |at| u32_at(header, at).ok_or(malformed("it is cut off"));
    // The other copy is in the disk's last sector.
    let wanted = long(32)?.saturating_add(1).saturating_mul(SECTOR);
    if wanted > disk.size() {
        return Err(Refused::Truncated {
            what: WHAT,
            wanted,
            size: disk.size(),
        }
        .into());
    }
    let (first, count, length) = (long(72)?, word(80)? as usize, word(84)? as usize);
    if !(128..=4096).contains(&length) {
        return Err(malformed("its entries have an impossible size").into());
    }
    let table = window(
        disk,
        first.saturating_mul(SECTOR),
        count.min(MOST_ENTRIES) * length,
    )?;
    let partitions = table.chunks_exact(length).filter_map(|entry| {
        let kind = guid(array(entry, 0)?);
        let start = u64_at(entry, 32)?.saturating_mul(SECTOR);
        (start > 0).then(|| Partition {
            system: kind == ESP,
            kind,
            start,
        })
    });
    Ok(partitions.collect())
}

/// Four entries of 16 bytes from 0x1be on: type at 4, first sector at 8.
fn mbr(size: u64, head: &[u8]) -> Result<Vec<Partition>, Refused> {
    let mut partitions = Vec::new();
    for entry in head.get(0x1be..0x1fe).unwrap_or_default().chunks_exact(16) {
        let start = u32_at(entry, 8).map_or(0, u64::from) * SECTOR;
        // A boot sector of a file system has text here; only what looks like an entry is one.
        if entry[4] == 0 || start == 0 || entry[0] & 0x7f != 0 {
            continue;
        }
        if start >= size {
            return Err(Refused::Truncated {
                what: WHAT,
                wanted: start + SECTOR,
                size,
            });
        }
        partitions.push(Partition {
            kind: String::new(),
            system: entry[4] == 0xef,
            start,
        });
    }
    Ok(partitions)
}

/// The first three fields are little-endian.
fn guid(bytes: [u8; 16]) -> String {
    uuid::Uuid::from_bytes_le(bytes)
        .hyphenated()
        .to_string()
        .to_uppercase()
}

#[cfg(test)]
mod tests;
