//! Who is told how far it is, and may want no more of it.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::Error;

/// Hears what is being done.
#[derive(Clone, Copy)]
pub struct Watch<'a> {
    /// Told what is being done now.
    pub step: &'a (dyn Fn(&str) + Sync),
    /// Told how many bytes have been moved so far.
    pub bytes: &'a (dyn Fn(u64) + Sync),
    /// Set by whoever has had enough.
    pub stop: &'a AtomicBool,
}

impl Watch<'_> {
    /// # Errors
    /// Somebody has had enough.
    pub(crate) fn step(&self, what: &str) -> Result<(), Error> {
        (self.step)(what);
        self.go_on()
    }

    pub(crate) fn bytes(&self, moved: u64) -> Result<(), Error> {
        (self.bytes)(moved);
        self.go_on()
    }

    pub(crate) fn go_on(&self) -> Result<(), Error> {
        match self.stop.load(Ordering::Relaxed) {
            true => Err(Error::Stopped),
            false => Ok(()),
        }
    }
}
