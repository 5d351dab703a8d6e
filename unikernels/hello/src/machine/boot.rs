//! What the loader hands over: `hvm_start_info` with the command line, the memory map and the way to ACPI.
//! Source: xen/include/public/arch-x86/hvm/start_info.h.

use core::arch::global_asm;

use super::memory;
use super::mmio::Region;

global_asm!(include_str!("boot.s"), options(att_syntax, raw));
global_asm!(include_str!("memory.s"), options(att_syntax, raw));

const MAGIC: u32 = 0x336e_c578;
const LONGEST_COMMAND_LINE: usize = 4096;
const RAM: u32 = 1;

/// What the loader said.
pub struct StartInfo {
    /// The command line; text after an invalid byte is cut off.
    pub command_line: &'static str,
    /// Bytes of RAM in the memory map; 0 where the loader gave none.
    pub memory: u64,
    /// Whether the kernel with its buffers lies in RAM, as far as the map says.
    pub fits: bool,
    /// Physical address of the ACPI root pointer; 0 where the loader gave none.
    pub rsdp: u64,
}

impl StartInfo {
    /// Reads the structure at a physical address. `None` where it is not one.
    ///
    /// # Safety
    /// The address is the one that the loader left in `ebx`.
    pub unsafe fn read(address: usize) -> Option<Self> {
        // SAFETY: the loader's structures are in RAM below 4 GiB, which is mapped, and only read from here on.
        let info = unsafe { Region::new(address, 56) };
        if info.read::<u32>(0) != MAGIC {
            return None;
        }
        let version = info.read::<u32>(4);
        let command_line = memory::text(wide(info, 24), LONGEST_COMMAND_LINE);
        let map = if version >= 1 {
            (wide(info, 40), info.read::<u32>(48))
        } else {
            (0, 0)
        };
        let (memory, fits) = ram(map.0, map.1);
        Some(Self {
            command_line,
            memory,
            fits,
            rsdp: wide(info, 32),
        })
    }
}

/// Bytes of RAM in a memory map, and whether one piece of it holds the whole kernel.
fn ram(map: u64, entries: u32) -> (u64, bool) {
    let Some(map) = memory::region(map, entries as usize * 24) else {
        return (0, true);
    };
    let kernel = memory::kernel();
    let (mut total, mut fits) = (0, false);
    for entry in (0..entries as usize).filter_map(|entry| map.part(entry * 24, 24)) {
        if entry.read::<u32>(16) == RAM {
            let (start, len) = (wide(entry, 0), wide(entry, 8));
            total += len;
            fits |= start <= kernel.start && kernel.end <= start + len;
        }
    }
    (total, fits)
}

fn wide(region: Region, offset: usize) -> u64 {
    u64::from(region.read::<u32>(offset)) | u64::from(region.read::<u32>(offset + 4)) << 32
}
