//! The families of kernels, by their notes, headers and sections.

use super::elf::{self, Class, ET_DYN, ET_EXEC, ET_REL, Elf, Note};
use super::{ReadAt, Refused, Stop, u16_at, u32_at};
use crate::image::ImageFormat;

/// Solo5's notes (include/solo5/elf_abi.h and mft_abi.h of Solo5).
const SOLO5_ABI: u32 = 0x3149_4241;
const SOLO5_MANIFEST: u32 = 0x3154_464d;
/// Xen's note of the 32-bit entry point (xen/include/public/elfnote.h).
const XEN_PHYS32_ENTRY: u32 = 18;
const HERMIT_NOTE: u32 = 0x5a00;
const MULTIBOOT_MAGIC: u32 = 0x1bad_b002;
/// The flag by which a multiboot header says itself where to load what.
const MULTIBOOT_ADDRESSES: u32 = 0x1_0000;
const INCLUDEOS_MAGIC: u32 = 0xfee1_dead;
/// The most interfaces an instance can have.
const MOST_NETWORKS: u32 = 8;

/// A Linux bzImage (Documentation/arch/x86/boot.rst of Linux); none where it is something else.
pub fn linux(head: &[u8], size: u64) -> Option<Result<ImageFormat, Refused>> {
    if head.get(0x202..0x206) != Some(b"HdrS") || u16_at(head, 0x1fe) != Some(0xaa55) {
        return None;
    }
    let sectors = match head[0x1f1] {
        0 => 4,
        sectors => u64::from(sectors),
    };
    let paragraphs = u32_at(head, 0x1f4).map(u64::from).unwrap_or(0);
    // The last paragraph may be filled up only in memory.
    let wanted = ((sectors + 1) * 512 + paragraphs * 16).saturating_sub(15);
    if size < wanted {
        return Some(Err(Refused::Truncated {
            what: "Linux kernel",
            wanted,
            size,
        }));
    }
    const LOADED_HIGH: u8 = 1;
    if head.get(0x211).is_none_or(|flags| flags & LOADED_HIGH == 0) {
        let why = "it is a zImage, which is loaded low";
        return Some(Err(Refused::Malformed {
            what: "Linux kernel",
            why,
        }));
    }
    Some(Ok(ImageFormat::Linux))
}

/// An ELF, by its family.
pub fn elf<B: ReadAt + ?Sized>(bytes: &B, size: u64, head: &[u8]) -> Result<ImageFormat, Stop> {
    let elf = elf::read(bytes, size, head)?;
    Ok(family(&elf, multiboot(head), size)?)
}

/// The order matters: a family's own mark comes before the ways to boot, of which an image made for
/// another hypervisor may carry one all the same.
fn family(elf: &Elf, multiboot: Option<Multiboot>, size: u64) -> Result<ImageFormat, Refused> {
    if elf.kind == ET_REL {
        return Err(Refused::NotLinked);
    }
    if is_hermit_application(elf) {
        return Err(Refused::HermitApplication);
    }
    if let Some(note) = any_note(elf, b"Solo5", SOLO5_ABI) {
        return solo5(elf, note, size);
    }
    let has = |name: &str| elf.sections.iter().any(|section| section == name);
    if has(".uk_bootinfo") || has(".uk_libinfo") {
        let for_qemu = elf.class == Class::Bits32 && multiboot.is_some();
        return if for_qemu {
            Ok(ImageFormat::Unikraft)
        } else {
            Err(Refused::UnikraftPlatform)
        };
    }
    if let Some(header) = multiboot {
        return by_multiboot(elf, &header, has(".mboot"));
    }
    match elf.notes.iter().find(|note| is_pvh(note)) {
        Some(_) if elf.has_note_without_memory => Err(Refused::NanosKernel),
        Some(_) => Ok(ImageFormat::Pvh),
        None => Err(without_entry(elf)),
    }
}

fn by_multiboot(elf: &Elf, header: &Multiboot, hermit: bool) -> Result<ImageFormat, Refused> {
    match elf.class {
        Class::Bits64 if header.includeos => Err(Refused::IncludeOs),
        Class::Bits64 if header.flags & MULTIBOOT_ADDRESSES == 0 => Err(Refused::MultibootOf64Bits),
        Class::Bits32 if hermit => Ok(ImageFormat::Hermit),
        Class::Bits32 | Class::Bits64 => Ok(ImageFormat::Multiboot),
    }
}

fn without_entry(elf: &Elf) -> Refused {
    match elf.kind {
        ET_EXEC if elf.has_interpreter => Refused::Program("Linux"),
        ET_EXEC if elf.loads_anything => Refused::NoEntry,
        ET_DYN => Refused::Program("Linux"),
        _ => Refused::NotLinked,
    }
}

fn is_pvh(note: &Note) -> bool {
    note.owner == b"Xen" && note.kind == XEN_PHYS32_ENTRY && matches!(note.description.len(), 4 | 8)
}

fn is_hermit_application(elf: &Elf) -> bool {
    const STANDALONE: u8 = 255;
    any_note(elf, b"HERMIT", HERMIT_NOTE).is_some()
        || (elf.class == Class::Bits64 && elf.kind == ET_DYN && elf.os_abi == STANDALONE)
}

fn any_note<'a>(elf: &'a Elf, owner: &[u8], kind: u32) -> Option<&'a Note> {
    let mut notes = elf.notes.iter().chain(&elf.section_notes);
    notes.find(|note| note.owner == owner && note.kind == kind)
}

/// A Solo5 image: the target decides, and the manifest says which devices have to be there.
fn solo5(elf: &Elf, abi: &Note, size: u64) -> Result<ImageFormat, Refused> {
    let target = match u32_at(&abi.description, 0) {
        Some(3) => None,
        Some(1) => Some("hvt".to_owned()),
        Some(2) => Some("spt".to_owned()),
        Some(4) => Some("muen".to_owned()),
        Some(5) => Some("genode".to_owned()),
        Some(6) => Some("xen".to_owned()),
        Some(other) => Some(format!("an unknown target (number {other})")),
        None => {
            return Err(Refused::Truncated {
                what: "Solo5 note",
                wanted: size + 4,
                size,
            });
        }
    };
    if let Some(target) = target {
        return Err(Refused::Solo5Target(target));
    }
    let manifest = any_note(elf, b"Solo5", SOLO5_MANIFEST).ok_or(Refused::Solo5WithoutManifest)?;
    let (networks, blocks) = solo5_devices(&manifest.description)?;
    if networks > MOST_NETWORKS {
        return Err(Refused::Solo5Devices(networks, "networks", MOST_NETWORKS));
    }
    let blocks = u8::try_from(blocks).map_err(|_| Refused::Solo5Devices(blocks, "blocks", 255))?;
    Ok(ImageFormat::Solo5 {
        networks: networks as u8,
        blocks,
    })
}

/// How many networks and blocks a manifest names: 4 bytes of padding, version, count, then entries of
/// 104 bytes (a name of 68, then the type), the first of which is reserved.
fn solo5_devices(manifest: &[u8]) -> Result<(u32, u32), Refused> {
    const WHAT: &str = "Solo5 manifest";
    let damaged = |why| Refused::Malformed { what: WHAT, why };
    if u32_at(manifest, 4).ok_or(damaged("it is too short"))? != 1 {
        return Err(damaged("its version is not 1"));
    }
    let count = u32_at(manifest, 8).ok_or(damaged("it is too short"))?;
    let entries = manifest.get(12..).unwrap_or(&[]);
    if usize::try_from(count).is_ok_and(|count| count > entries.len() / 104) {
        return Err(damaged("it has fewer entries than it counts"));
    }
    let (mut networks, mut blocks) = (0, 0);
    for entry in entries.chunks_exact(104).take(count as usize).skip(1) {
        match u32_at(entry, 68) {
            Some(1) => blocks += 1,
            Some(2) => networks += 1,
            _ => return Err(damaged("it names a device of an unknown type")),
        }
    }
    Ok((networks, blocks))
}

struct Multiboot {
    flags: u32,
    /// IncludeOS puts its own magic behind the header.
    includeos: bool,
}

/// The header by the multiboot 1 specification: in the first 8 KiB, aligned to 4 bytes, sums to zero.
fn multiboot(head: &[u8]) -> Option<Multiboot> {
    let first = &head[..head.len().min(8192)];
    (0..first.len()).step_by(4).find_map(|at| {
        let magic = u32_at(first, at).filter(|magic| *magic == MULTIBOOT_MAGIC)?;
        let flags = u32_at(first, at + 4)?;
        let checksum = u32_at(first, at + 8)?;
        if magic.wrapping_add(flags).wrapping_add(checksum) != 0 {
            return None;
        }
        let includeos = u32_at(head, at + 0x20) == Some(INCLUDEOS_MAGIC);
        Some(Multiboot { flags, includeos })
    })
}
