//! Unikernels on disks of their own, by what their builders put at fixed places.

use std::io;

use super::{ReadAt, elf, u32_at, u64_at, window};
use crate::image::DiskGuest;

const SECTOR: u64 = 512;
/// The file system of Nanos begins with this (src/fs/tlog.c).
const NANOS: &[u8] = b"NVMTFS";
const LINUX_PARTITION: u8 = 0x83;
/// Where the boot sector of OSv says from where it reads (arch/x64/boot16.S), and what it says.
const OSV_SECTOR_AT: usize = 0x1a;
const OSV_SECTOR: u64 = 128;

/// What is on a disk besides an ordinary system, where that is known.
pub fn on<B: ReadAt + ?Sized>(disk: &B, head: &[u8]) -> io::Result<Option<DiskGuest>> {
    if is_nanos(disk, head)? {
        return Ok(Some(DiskGuest::Nanos));
    }
    Ok(is_osv(disk, head)?.then_some(DiskGuest::Osv))
}

/// The four entries of a master boot record: 16 bytes each from 0x1be on, type at 4, first sector at 8.
fn is_nanos<B: ReadAt + ?Sized>(disk: &B, head: &[u8]) -> io::Result<bool> {
    for entry in head.get(0x1be..0x1fe).unwrap_or_default().chunks_exact(16) {
        let first = u32_at(entry, 8).map_or(0, u64::from);
        if entry[4] == LINUX_PARTITION && window(disk, first * SECTOR, NANOS.len())? == NANOS {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The boot sector has a packet for the BIOS's extended read, and at that sector there is the kernel.
fn is_osv<B: ReadAt + ?Sized>(disk: &B, head: &[u8]) -> io::Result<bool> {
    const PACKET: &[u8] = &[0x10, 0];
    let reads =
        head.get(0x12..0x14) == Some(PACKET) && u64_at(head, OSV_SECTOR_AT) == Some(OSV_SECTOR);
    Ok(reads && window(disk, OSV_SECTOR * SECTOR, elf::MAGIC.len())? == elf::MAGIC)
}
