//! Registers and tables in physical memory, read and written within bounds.

use core::ptr;

/// A range of physical memory that is mapped at its own address.
#[derive(Clone, Copy)]
pub struct Region {
    base: usize,
    len: usize,
}

impl Region {
    /// Names a range.
    ///
    /// # Safety
    /// All of it is mapped, holds registers or data that nobody has a Rust reference to, and writing to it does what
    /// the caller's writes intend.
    pub const unsafe fn new(base: usize, len: usize) -> Self {
        Self { base, len }
    }

    /// Where the range begins.
    pub fn address(self) -> u64 {
        self.base as u64
    }

    /// The part from `offset` on, `len` bytes long; `None` where it would reach past the end.
    pub fn part(self, offset: usize, len: usize) -> Option<Self> {
        let end = offset.checked_add(len)?;
        (end <= self.len).then_some(Self {
            base: self.base + offset,
            len,
        })
    }

    /// Reads a register at a byte offset.
    pub fn read<T: Register>(self, offset: usize) -> T {
        // SAFETY: `at` has checked bounds and alignment; `new` was promised that the range may be read.
        unsafe { ptr::read_volatile(self.at(offset)) }
    }

    /// Writes a register at a byte offset.
    pub fn write<T: Register>(self, offset: usize, value: T) {
        // SAFETY: `at` has checked bounds and alignment; `new` was promised that the range may be written.
        unsafe { ptr::write_volatile(self.at(offset), value) }
    }

    fn at<T: Register>(self, offset: usize) -> *mut T {
        assert!(
            offset + size_of::<T>() <= self.len,
            "register at {offset} of {}",
            self.len
        );
        let address = self.base + offset;
        assert!(
            address.is_multiple_of(align_of::<T>()),
            "register at {address:#x} is not aligned"
        );
        address as *mut T
    }
}

/// The widths in which registers are read and written.
pub trait Register: Copy {}

impl Register for u8 {}
impl Register for u16 {}
impl Register for u32 {}
