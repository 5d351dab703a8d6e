//! Who is told how far it is, and may want no more of it.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::Error;

/// Hears what is being done.
pub trait Listen: Sync {
    /// What is being done now.
    fn step(&self, what: &str);
}

#[derive(Clone, Copy)]
pub struct Watch<'a> {
    pub told: &'a dyn Listen,
    /// Set by whoever has had enough.
    pub stop: &'a AtomicBool,
}

impl Watch<'_> {
    /// # Errors
    /// Somebody has had enough.
    pub(crate) fn step(&self, what: &str) -> Result<(), Error> {
        self.told.step(what);
        self.go_on()
    }

    pub(crate) fn go_on(&self) -> Result<(), Error> {
        match self.stop.load(Ordering::Relaxed) {
            true => Err(Error::Stopped),
            false => Ok(()),
        }
    }
}
