//! Multiboot headers, as QEMU's `-kernel` looks for them (hw/i386/multiboot.c of QEMU 10).

use super::{ReadAt, Refused, u32_at, window};

const MAGIC: u32 = 0x1bad_b002;
/// The flag by which a header says itself where to load what, instead of the ELF around it.
const ADDRESSES: u32 = 0x1_0000;
/// QEMU looks at the first 8 KiB, and wants the whole header in them.
const SEARCHED: usize = 8192 - 48;
/// What IncludeOS puts behind its header, for its live updates (src/platform/x86_pc/start.asm).
const INCLUDEOS: u32 = 0xfee1_dead;

const MAGIC_2: u32 = 0xe852_50d6;
/// Multiboot 2 specification, 3.1: in the first 32 KiB, aligned to 8 bytes.
const SEARCHED_2: usize = 32 << 10;

/// A multiboot 1 header.
pub struct Header {
    at: usize,
    flags: u32,
    /// Of the header, of the load's begin and end, of the zeroed memory's end.
    addresses: [u32; 4],
    pub is_includeos: bool,
}

/// The header that the loader would take: the first that is aligned to 4 bytes and sums to zero.
pub fn find(head: &[u8]) -> Option<Header> {
    let last = SEARCHED.min(head.len());
    (0..last).step_by(4).find_map(|at| {
        let word = |index: usize| u32_at(head, at + 4 * index);
        let magic = word(0).filter(|magic| *magic == MAGIC)?;
        let (flags, checksum) = (word(1)?, word(2)?);
        if magic.wrapping_add(flags).wrapping_add(checksum) != 0 {
            return None;
        }
        let address = |index| word(index).unwrap_or(0);
        Some(Header {
            at,
            flags,
            addresses: [address(3), address(4), address(5), address(6)],
            is_includeos: word(8) == Some(INCLUDEOS),
        })
    })
}

/// Whether there is a multiboot 2 header, which QEMU does not know.
pub fn has_version_2<B: ReadAt + ?Sized>(bytes: &B) -> std::io::Result<bool> {
    let head = window(bytes, 0, SEARCHED_2)?;
    Ok((0..head.len()).step_by(8).any(|at| {
        let word = |index: usize| u32_at(&head, at + 4 * index);
        match (word(0), word(1), word(2), word(3)) {
            (Some(MAGIC_2), Some(architecture), Some(length), Some(checksum)) => {
                let sum = MAGIC_2.wrapping_add(architecture);
                sum.wrapping_add(length).wrapping_add(checksum) == 0
            }
            _ => false,
        }
    }))
}

impl Header {
    /// Whether it says itself where to load what.
    pub fn has_addresses(&self) -> bool {
        self.flags & ADDRESSES != 0
    }

    /// Checks what it says about where to load what against the file, where it says so.
    pub fn check(&self, size: u64) -> Result<(), Refused> {
        if !self.has_addresses() {
            return Ok(());
        }
        let malformed = |why| {
            Err(Refused::Malformed {
                what: "multiboot header",
                why,
            })
        };
        let [header, load, load_end, zero_end] = self.addresses.map(u64::from);
        let Some(before) = header.checked_sub(load) else {
            return malformed("it lies before what it says is loaded");
        };
        let Some(start) = (self.at as u64).checked_sub(before) else {
            return malformed("what it says is loaded begins before the file");
        };
        if load_end == 0 {
            return Ok(());
        }
        let Some(length) = load_end.checked_sub(load) else {
            return malformed("what it says is loaded ends before it begins");
        };
        if zero_end != 0 && zero_end < load_end {
            return malformed("its zeroed memory ends before what is loaded");
        }
        let wanted = start + length;
        if wanted > size {
            let what = "multiboot kernel";
            return Err(Refused::Truncated { what, wanted, size });
        }
        Ok(())
    }
}
