//! The x86 port space.

use core::arch::asm;

/// Reads a byte from a port.
pub fn read8(port: u16) -> u8 {
    let value;
    // SAFETY: reading a port touches no memory of this program.
    unsafe {
        asm!("in al, dx", in("dx") port, out("al") value, options(nomem, nostack, preserves_flags))
    };
    value
}

/// Reads 16 bits from a port.
pub fn read16(port: u16) -> u16 {
    let value;
    // SAFETY: as in `read8`.
    unsafe {
        asm!("in ax, dx", in("dx") port, out("ax") value, options(nomem, nostack, preserves_flags))
    };
    value
}

/// Reads 32 bits from a port.
pub fn read32(port: u16) -> u32 {
    let value;
    // SAFETY: as in `read8`.
    unsafe {
        asm!("in eax, dx", in("dx") port, out("eax") value, options(nomem, nostack, preserves_flags))
    };
    value
}

/// Writes a byte to a port.
pub fn write8(port: u16, value: u8) {
    // SAFETY: no device here is told by a port to write to memory: the only one that does so is set up through MMIO.
    unsafe {
        asm!("out dx, al", in("dx") port, in("al") value, options(nomem, nostack, preserves_flags))
    };
}

/// Writes 16 bits to a port.
pub fn write16(port: u16, value: u16) {
    // SAFETY: as in `write8`.
    unsafe {
        asm!("out dx, ax", in("dx") port, in("ax") value, options(nomem, nostack, preserves_flags))
    };
}

/// Writes 32 bits to a port.
pub fn write32(port: u16, value: u32) {
    // SAFETY: as in `write8`.
    unsafe {
        asm!("out dx, eax", in("dx") port, in("eax") value, options(nomem, nostack, preserves_flags))
    };
}
