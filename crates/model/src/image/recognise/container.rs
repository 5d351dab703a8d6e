//! What people upload that is no image: compressed files, archives, disks in other formats, firmware programs.

use super::{Refused, u16_at, u32_at};

/// Beginnings that decide by themselves: what it is, and what decompresses it.
const COMPRESSED: [(&[u8], &str, &str); 9] = [
    (&[0x1f, 0x8b], "gzip", "gunzip"),
    (b"\xfd7zXZ\0", "xz", "unxz"),
    (&[0x28, 0xb5, 0x2f, 0xfd], "zstd", "unzstd"),
    (b"BZh", "bzip2", "bunzip2"),
    (&[0x04, 0x22, 0x4d, 0x18], "lz4", "unlz4"),
    (&[0x02, 0x21, 0x4c, 0x18], "lz4", "unlz4"),
    (&[0x5d, 0x00, 0x00], "lzma", "unlzma"),
    (&[0x89, b'L', b'Z', b'O'], "lzop", "lzop -d"),
    (&[0x1f, 0x9d], "compress", "uncompress"),
];

const DISKS: [(&[u8], &str); 4] = [
    (b"KDMV", "VMDK"),
    (b"vhdxfile", "VHDX"),
    (b"conectix", "VHD"),
    (b"# Disk DescriptorFile", "VMDK"),
];

const ARCHIVES: [(&[u8], &str); 5] = [
    (b"PK\x03\x04", "zip"),
    (b"7z\xbc\xaf\x27\x1c", "7z"),
    (b"Rar!\x1a\x07", "rar"),
    (b"!<arch>\ndebian-binary", "Debian package"),
    (b"!<arch>\n", "ar"),
];

const TEXTS: [(&[u8], &str); 5] = [
    (b"#!", "a script"),
    (b"<!DOCTYPE", "a web page"),
    (b"<!doctype", "a web page"),
    (b"<html", "a web page"),
    (
        b"version https://git-lfs",
        "a Git LFS pointer to a file that lies elsewhere",
    ),
];

/// What the first bytes say where they are no kernel.
pub fn refusal(head: &[u8]) -> Option<Refused> {
    let named = |table: &[(&[u8], &'static str)]| {
        table
            .iter()
            .find(|(magic, _)| head.starts_with(magic))
            .map(|(_, name)| *name)
    };
    let compressed = COMPRESSED
        .iter()
        .find(|(magic, ..)| head.starts_with(magic));
    if let Some((_, name, tool)) = compressed {
        return Some(Refused::Compressed(name, tool));
    }
    if let Some(name) = named(&DISKS) {
        return Some(Refused::DiskFormat(name));
    }
    if let Some(name) = named(&ARCHIVES) {
        return Some(Refused::Archive(name));
    }
    if let Some(name) = named(&TEXTS) {
        return Some(Refused::Text(name));
    }
    // cpio: "newc" with and without checksums, the old ASCII form, and the binary one.
    let cpio: [&[u8]; 4] = [b"070701", b"070702", b"070707", &[0xc7, 0x71]];
    if cpio.iter().any(|magic| head.starts_with(magic)) {
        return Some(Refused::InitialRamDisk);
    }
    if head.get(257..262) == Some(b"ustar") {
        return Some(Refused::Archive("tar"));
    }
    linux_of_another_architecture(head).or_else(|| program(head))
}

/// The `Image` headers of Linux: Documentation/arch/arm64/booting.rst, arch/riscv/boot-image-header.rst.
/// The self-extracting images for UEFI of both say so behind their "MZ".
fn linux_of_another_architecture(head: &[u8]) -> Option<Refused> {
    let architecture = match head.get(0x38..0x3c) {
        Some(b"ARM\x64") => "arm64",
        Some(b"RSC\x05") => "RISC-V",
        _ => return None,
    };
    Some(Refused::architecture(
        architecture.to_owned(),
        Some("Linux kernel"),
    ))
}

/// A program for something else than an instance's bare machine.
fn program(head: &[u8]) -> Option<Refused> {
    const MACHO: [[u8; 4]; 3] = [
        [0xcf, 0xfa, 0xed, 0xfe],
        [0xce, 0xfa, 0xed, 0xfe],
        [0xca, 0xfe, 0xba, 0xbe],
    ];
    if MACHO.iter().any(|magic| head.starts_with(magic)) {
        return Some(Refused::Program("macOS"));
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
    let is_firmware_program = matches!(subsystem, Some(10..=13));
    let what = is_firmware_program.then_some("program for UEFI");
    let other = |name: &str| Refused::architecture(name.to_owned(), what);
    // Microsoft's PE format, "Machine Types".
    Some(match u16_at(head, start + 4)? {
        0xaa64 => other("arm64"),
        0x01c0 | 0x01c2 | 0x01c4 => other("32-bit Arm"),
        0x5032 | 0x5064 => other("RISC-V"),
        0x6232 | 0x6264 => other("LoongArch"),
        _ if is_firmware_program => Refused::Efi,
        _ => Refused::WindowsProgram,
    })
}

/// Disks in formats that are none of ours, which have their marks further in.
pub fn disk(head: &[u8]) -> Option<Refused> {
    if head.get(0x40..0x44) == Some(&[0x7f, 0x10, 0xda, 0xbe]) {
        return Some(Refused::DiskFormat("VDI"));
    }
    (head.get(0x8001..0x8006) == Some(b"CD001")).then_some(Refused::Medium)
}

/// File systems without a partition table around them.
pub fn file_system(head: &[u8]) -> Option<Refused> {
    if u16_at(head, 0x438) == Some(0xef53) {
        return Some(Refused::FileSystem("ext2 to ext4"));
    }
    head.starts_with(b"hsqs")
        .then_some(Refused::FileSystem("SquashFS"))
}
