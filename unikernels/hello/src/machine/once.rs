//! Static storage that is handed out exactly once: how a program without a heap gets its large buffers.

use core::cell::UnsafeCell;
use core::sync::atomic::{AtomicBool, Ordering};

/// A value in static storage that [`Once::take`] lends for ever to its first caller.
pub struct Once<T> {
    taken: AtomicBool,
    value: UnsafeCell<T>,
}

// SAFETY: the value is reachable only through `take`, which gives out one reference in the program's life.
unsafe impl<T: Send> Sync for Once<T> {}

impl<T> Once<T> {
    /// Storage that holds `value`.
    pub const fn new(value: T) -> Self {
        Self {
            taken: AtomicBool::new(false),
            value: UnsafeCell::new(value),
        }
    }

    /// The only reference to the value. Panics when called again.
    #[expect(
        clippy::mut_from_ref,
        reason = "only the first caller gets a reference"
    )]
    pub fn take(&'static self) -> &'static mut T {
        assert!(
            !self.taken.swap(true, Ordering::AcqRel),
            "static storage taken twice"
        );
        // SAFETY: the flag was clear, so nobody has a reference yet, and nobody gets another.
        unsafe { &mut *self.value.get() }
    }
}
