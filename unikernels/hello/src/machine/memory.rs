//! Physical memory as this program sees it: all of the first 4 GiB at its own address (`boot.s`), and above that what
//! [`map`] adds for a device.
//!
//! No allocator: what is large is static ([`super::once`]).

use core::arch::asm;
use core::ops::Range;
use core::{slice, str};

use super::mmio::Region;
use super::once::Once;

const MAPPED: u64 = 4 << 30;
const LARGE_PAGE: u64 = 2 << 20;
const PRESENT: u64 = 1;
const WRITABLE: u64 = 1 << 1;
const UNCACHED: u64 = 1 << 3 | 1 << 4;
const LARGE: u64 = 1 << 7;
const ADDRESS: u64 = 0x000f_ffff_ffff_f000;

/// Page tables for devices above 4 GiB: two levels each for a handful of places.
const SPARE_TABLES: usize = 8;

#[repr(C, align(4096))]
#[derive(Clone, Copy)]
struct Table([u64; 512]);

static SPARE: Once<[Table; SPARE_TABLES]> = Once::new([Table([0; 512]); SPARE_TABLES]);

unsafe extern "C" {
    static mut boot_pml4: Table;
    static image_start: u8;
    static image_end: u8;
}

/// Where the kernel lies with all its buffers.
pub fn kernel() -> Range<u64> {
    (&raw const image_start) as u64..(&raw const image_end) as u64
}

/// Memory below 4 GiB that firmware or loader filled; `None` where it is not all there or not mapped.
pub fn region(address: u64, len: usize) -> Option<Region> {
    let end = address.checked_add(len as u64)?;
    // SAFETY: mapped by `boot.s`; what is read through it are tables that nothing here refers to.
    (address != 0 && end <= MAPPED).then(|| unsafe { Region::new(address as usize, len) })
}

/// Bytes below 4 GiB that firmware or loader filled and that nobody changes any more.
pub fn bytes(address: u64, len: usize) -> Option<&'static [u8]> {
    region(address, len)?;
    // SAFETY: mapped, readable as bytes, and not ours: the loader places its data outside the kernel's image.
    Some(unsafe { slice::from_raw_parts(address as *const u8, len) })
}

/// The text that ends with a zero byte at an address, up to its first invalid byte and to `longest` bytes.
pub fn text(address: u64, longest: usize) -> &'static str {
    let Some(bytes) = bytes(address, longest) else {
        return "";
    };
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(longest);
    match str::from_utf8(&bytes[..end]) {
        Ok(text) => text,
        Err(error) => str::from_utf8(&bytes[..error.valid_up_to()]).unwrap_or_default(),
    }
}

/// Makes devices' registers reachable wherever the firmware put them.
pub struct Mapper {
    spare: slice::IterMut<'static, Table>,
}

impl Mapper {
    /// The only one. Panics when made again.
    pub fn new() -> Self {
        Self {
            spare: SPARE.take().iter_mut(),
        }
    }

    /// Maps registers at their own address. `None` where the page tables set aside are used up.
    ///
    /// # Safety
    /// The range belongs to one device, and to nothing else that this program uses.
    pub unsafe fn map(&mut self, address: u64, len: u64) -> Option<Region> {
        let end = address.checked_add(len)?;
        if end > 1 << 47 {
            return None;
        }
        if end > MAPPED {
            let mut page = address & !(LARGE_PAGE - 1);
            while page < end {
                self.map_page(page)?;
                page += LARGE_PAGE;
            }
        }
        // SAFETY: mapped just now or by `boot.s`; the rest is the caller's promise.
        Some(unsafe { Region::new(usize::try_from(address).ok()?, usize::try_from(len).ok()?) })
    }

    fn map_page(&mut self, page: u64) -> Option<()> {
        let mut table: *mut Table = &raw mut boot_pml4;
        for shift in [39, 30] {
            let index = (page >> shift & 511) as usize;
            // SAFETY: `table` is a page table: the boot one, or one found in a present entry, all identity-mapped.
            let entry = unsafe { &mut (*table).0[index] };
            if *entry & PRESENT == 0 {
                let fresh: *mut Table = self.spare.next()?;
                *entry = fresh as u64 | PRESENT | WRITABLE;
            }
            table = (*entry & ADDRESS) as *mut Table;
        }
        // SAFETY: as above: the last level of the walk.
        let entry = unsafe { &mut (*table).0[(page >> 21 & 511) as usize] };
        *entry = page | PRESENT | WRITABLE | UNCACHED | LARGE;
        // SAFETY: forgets what the processor may hold about an address that was not mapped before.
        unsafe { asm!("invlpg [{}]", in(reg) page, options(nostack, preserves_flags)) };
        Some(())
    }
}
