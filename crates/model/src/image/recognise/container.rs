//! What people upload that is no kernel: compressed files, archives, disk images, firmware programs.

use std::io;

use super::{ReadAt, Refused, u16_at, u32_at, window};

/// Beginnings that decide by themselves.
const COMPRESSED: [(&[u8], &str); 6] = [
    (&[0x1f, 0x8b], "gzip"),
    (b"\xfd7zXZ\0", "xz"),
    (&[0x28, 0xb5, 0x2f, 0xfd], "zstd"),
    (b"BZh", "bzip2"),
    (&[0x04, 0x22, 0x4d, 0x18], "lz4"),
    (&[0x02, 0x21, 0x4c, 0x18], "lz4"),
];

const DISKS: [(&[u8], &str); 5] = [
    (b"QFI\xfb", "qcow2"),
    (b"KDMV", "VMDK"),
    (b"vhdxfile", "VHDX"),
    (b"conectix", "VHD"),
    (b"# Disk DescriptorFile", "VMDK"),
];

const ARCHIVES: [(&[u8], &str); 3] = [
    (b"PK\x03\x04", "zip"),
    (b"7z\xbc\xaf\x27\x1c", "7z"),
    (b"!<arch>\n", "ar"),
];

/// What the first bytes say where they are no kernel.
pub fn refusal(head: &[u8]) -> Option<Refused> {
    let named = |table: &[(&[u8], &'static str)]| {
        table
            .iter()
            .find(|(magic, _)| head.starts_with(magic))
            .map(|(_, name)| *name)
    };
    if let Some(name) = named(&COMPRESSED) {
        return Some(Refused::Compressed(name));
    }
    if let Some(name) = named(&DISKS) {
        return Some(Refused::Disk(name));
    }
    if let Some(name) = named(&ARCHIVES) {
        return Some(Refused::Archive(name));
    }
    // cpio: "newc" with and without checksums, and the old ASCII form.
    if [b"070701", b"070702", b"070707"]
        .iter()
        .any(|magic| head.starts_with(*magic))
    {
        return Some(Refused::InitialRamDisk);
    }
    if head.get(257..262) == Some(b"ustar") {
        return Some(Refused::Archive("tar"));
    }
    // The arm64 Image header, Documentation/arch/arm64/booting.rst.
    if head.get(0x38..0x3c) == Some(b"ARM\x64") {
        return Some(Refused::Architecture("arm64".to_owned()));
    }
    portable_executable(head)
}

/// A PE file: "MZ", and at the offset in 0x3c the PE header (Microsoft's PE format specification).
fn portable_executable(head: &[u8]) -> Option<Refused> {
    if !head.starts_with(b"MZ") {
        return None;
    }
    let start = usize::try_from(u32_at(head, 0x3c)?).ok()?;
    if head.get(start..start.checked_add(4)?)? != b"PE\0\0" {
        return None;
    }
    let optional_header = start.checked_add(24)?;
    let subsystem = u16_at(head, optional_header.checked_add(68)?);
    Some(match (u16_at(head, start + 4)?, subsystem) {
        (0xaa64, _) => Refused::Architecture("arm64".to_owned()),
        (_, Some(10..=13)) => Refused::Efi,
        _ => Refused::WindowsProgram,
    })
}

/// Raw disks and file systems, which have their marks further in.
pub fn disk<B: ReadAt + ?Sized>(bytes: &B, head: &[u8]) -> io::Result<Option<Refused>> {
    if head.get(0x40..0x44) == Some(&[0x7f, 0x10, 0xda, 0xbe]) {
        return Ok(Some(Refused::Disk("VDI")));
    }
    if head.get(0x8001..0x8006) == Some(b"CD001") {
        return Ok(Some(Refused::Disk("ISO 9660")));
    }
    if head.get(512..520) == Some(b"EFI PART") {
        return Ok(Some(Refused::Disk("raw, GPT")));
    }
    if u16_at(head, 0x1fe) == Some(0xaa55) {
        let nanos = has_nanos_partition(bytes, head)?;
        return Ok(Some(if nanos {
            Refused::NanosDisk
        } else {
            Refused::Disk("raw, MBR")
        }));
    }
    if u16_at(head, 0x438) == Some(0xef53) {
        return Ok(Some(Refused::Disk("a file system, ext2 to ext4")));
    }
    if head.starts_with(b"hsqs") {
        return Ok(Some(Refused::Disk("a file system, SquashFS")));
    }
    Ok(None)
}

/// The four entries of a master boot record: 16 bytes each from 0x1be on, type at 4, first sector at 8.
fn has_nanos_partition<B: ReadAt + ?Sized>(bytes: &B, head: &[u8]) -> io::Result<bool> {
    for entry in (0x1be..0x1fe).step_by(16) {
        if head.get(entry + 4) != Some(&0x83) {
            continue;
        }
        let first = u64::from(u32_at(head, entry + 8).unwrap_or(0));
        if window(bytes, first * 512, 6)? == b"NVMTFS" {
            return Ok(true);
        }
    }
    Ok(false)
}
