//! How much was heard of a guest, and when it was last heard: a guest that crashed may be silent for ever.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

/// What was heard since the recorder began.
#[derive(Clone, Copy, Debug)]
pub struct Heard {
    /// In bytes.
    pub amount: u64,
    /// When something last came; at first, when the recorder began.
    pub last: Instant,
}

/// Kept by a recorder, read by whoever watches the guest; clones share it.
#[derive(Clone, Debug)]
pub struct Ear(Arc<Mutex<Heard>>);

impl Ear {
    pub fn new() -> Self {
        let last = Instant::now();
        Self(Arc::new(Mutex::new(Heard { amount: 0, last })))
    }

    pub fn hear(&self, bytes: usize) {
        let mut heard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        heard.amount += bytes as u64;
        heard.last = Instant::now();
    }

    pub fn heard(&self) -> Heard {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
