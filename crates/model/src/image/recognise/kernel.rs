//! The families of kernels, by their notes, headers and sections.

use super::elf::{self, Elf, Machine, Note};
use super::{ReadAt, Refused, Stop, multiboot, solo5, u16_at, u32_at};
use crate::image::ImageFormat;

/// Xen's note of the 32-bit entry point (xen/include/public/elfnote.h), which PVH is.
pub const XEN_PHYS32_ENTRY: u32 = 18;
const XEN_GUEST_OS: u32 = 6;
const HERMIT_NOTE: u32 = 0x5a00;

/// Whether the loader would take it for a Linux kernel, whatever else it is.
pub fn is_linux(head: &[u8]) -> bool {
    head.get(0x202..0x206) == Some(b"HdrS")
}

/// A Linux bzImage (Documentation/arch/x86/boot.rst of Linux).
pub fn linux(head: &[u8], size: u64) -> Result<ImageFormat, Refused> {
    const WHAT: &str = "Linux kernel";
    let malformed = |why| Err(Refused::Malformed { what: WHAT, why });
    if u16_at(head, 0x1fe) != Some(0xaa55) {
        return malformed("its boot sector does not end with 55 AA");
    }
    let sectors = match head[0x1f1] {
        0 => 4,
        sectors => u64::from(sectors),
    };
    let paragraphs = u32_at(head, 0x1f4).map(u64::from).unwrap_or(0);
    // The last paragraph may be filled up only in memory.
    let wanted = ((sectors + 1) * 512 + paragraphs * 16).saturating_sub(15);
    if size < wanted {
        return Err(Refused::Truncated {
            what: WHAT,
            wanted,
            size,
        });
    }
    const LOADED_HIGH: u8 = 1;
    if head.get(0x211).is_none_or(|flags| flags & LOADED_HIGH == 0) {
        return malformed("it is a zImage, which is loaded low");
    }
    Ok(ImageFormat::Linux)
}

/// An ELF, by its family.
pub fn elf<B: ReadAt + ?Sized>(bytes: &B, size: u64, head: &[u8]) -> Result<ImageFormat, Stop> {
    let machine = elf::machine(head, size)?;
    let read = elf::read(bytes, size, head);
    if let Machine::Other(architecture) = machine {
        // Which family it is of is worth a try, and no more.
        let what = match &read {
            Ok(elf) => name(elf),
            Err(_) => None,
        };
        return Err(Refused::architecture(architecture, what).into());
    }
    let elf = read?;
    let header = multiboot::find(head);
    if let Some(header) = &header {
        header.check(size)?;
    }
    match family(&elf, header.as_ref()) {
        Err(Refused::NoEntry) if multiboot::has_version_2(bytes)? => {
            Err(Refused::Multiboot2.into())
        }
        family => Ok(family?),
    }
}

/// The order matters: a family's own mark comes before the ways to boot, of which an image made for
/// another hypervisor may carry one all the same.
fn family(elf: &Elf, header: Option<&multiboot::Header>) -> Result<ImageFormat, Refused> {
    if elf.kind == elf::ET_REL {
        return Err(Refused::NotLinked);
    }
    if is_hermit_application(elf) {
        return Err(Refused::HermitApplication);
    }
    if let Some(abi) = solo5::abi(elf) {
        let format = solo5::recognise(elf, abi)?;
        return match header {
            Some(header) if header.has_addresses() => Ok(format),
            _ => Err(Refused::Malformed {
                what: "Solo5 image for virtio",
                why: "it has no multiboot header with addresses in its first 8 KiB",
            }),
        };
    }
    if is_unikraft(elf) {
        return match header {
            Some(_) if elf.machine == Machine::I386 && elf.loads_anything => {
                Ok(ImageFormat::Unikraft {
                    parameters: elf.has_section(|name| name.starts_with(".uk_libparam_params")),
                })
            }
            _ => Err(Refused::UnikraftPlatform),
        };
    }
    if let Some(header) = header {
        return by_multiboot(elf, header);
    }
    if elf.has_section(|name| name == ".mboot") {
        return Err(Refused::HermitPlatform);
    }
    match elf.entry_note.as_ref().filter(|note| is_pvh(note)) {
        Some(_) if elf.has_note_without_memory => Err(Refused::NanosKernel),
        Some(_) if !elf.loads_anything => Err(Refused::NothingToLoad),
        Some(_) if is_osv(elf) => Ok(ImageFormat::Osv),
        Some(_) => Ok(ImageFormat::Pvh),
        None => Err(without_entry(elf)),
    }
}

/// QEMU loads by the header's addresses where it has them, and otherwise by the ELF, which then has to
/// be for i386.
fn by_multiboot(elf: &Elf, header: &multiboot::Header) -> Result<ImageFormat, Refused> {
    if header.has_addresses() {
        return Ok(ImageFormat::Multiboot);
    }
    match elf.machine {
        Machine::I386 if !elf.loads_anything => Err(Refused::NothingToLoad),
        Machine::I386 if elf.has_section(|name| name == ".mboot") => Ok(ImageFormat::Hermit),
        Machine::I386 => Ok(ImageFormat::Multiboot),
        _ if header.is_includeos => Err(Refused::IncludeOs),
        _ => Err(Refused::MultibootOf64Bits),
    }
}

fn without_entry(elf: &Elf) -> Refused {
    match elf.kind {
        elf::ET_EXEC | elf::ET_DYN if elf.has_section(|name| name == "__ksymtab") => {
            Refused::LinuxWithoutPvh
        }
        elf::ET_EXEC if elf.has_interpreter || is_program(elf) => Refused::Program("Linux"),
        elf::ET_EXEC if elf.loads_anything => Refused::NoEntry,
        elf::ET_EXEC => Refused::NothingToLoad,
        elf::ET_DYN => Refused::Program("Linux"),
        _ => Refused::NotLinked,
    }
}

/// What a family is called, for an image that cannot boot here whatever its way.
fn name(elf: &Elf) -> Option<&'static str> {
    if is_hermit_application(elf) {
        Some("Hermit application")
    } else if solo5::abi(elf).is_some() {
        Some("Solo5 image")
    } else if is_unikraft(elf) {
        Some("Unikraft image")
    } else if elf.has_section(|name| name == ".mboot") {
        Some("Hermit loader")
    } else {
        None
    }
}

fn is_unikraft(elf: &Elf) -> bool {
    elf.has_section(|name| matches!(name, ".uk_bootinfo" | ".uk_libinfo"))
}

fn is_pvh(note: &Note) -> bool {
    note.owner == b"Xen" && matches!(note.description.len(), 4 | 8)
}

fn is_osv(elf: &Elf) -> bool {
    let system = elf.any_note(b"Xen", XEN_GUEST_OS);
    system.is_some_and(|note| note.description.starts_with(b"osv\0"))
}

fn is_hermit_application(elf: &Elf) -> bool {
    const STANDALONE: u8 = 255;
    elf.any_note(b"HERMIT", HERMIT_NOTE).is_some()
        || (elf.is_64_bits && elf.kind == elf::ET_DYN && elf.os_abi == STANDALONE)
}

/// Linked statically, a program has no interpreter, but notes of its tools: the ABI tag of the GNU C
/// library, or the build id of Go.
fn is_program(elf: &Elf) -> bool {
    elf.any_note(b"GNU", 1).is_some() || elf.any_note(b"Go", 4).is_some()
}
