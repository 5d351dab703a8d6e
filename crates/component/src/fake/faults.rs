//! What goes wrong on a simulated host.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rhyzome_model::job::FailureKind;
use tokio::sync::Semaphore;

use crate::driver::DriverError;

/// One thing that goes wrong once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    Fail(FailureKind, String),
    Panic,
}

/// Put in by tests; without any, everything works at once.
#[derive(Debug)]
pub struct Faults {
    next: Mutex<VecDeque<Fault>>,
    latency: Mutex<Duration>,
    /// Calls that may go on; closed: all of them.
    gate: Semaphore,
    gated: Mutex<bool>,
    calls: Mutex<usize>,
}

impl Default for Faults {
    fn default() -> Self {
        Self {
            next: Mutex::default(),
            latency: Mutex::default(),
            gate: Semaphore::new(0),
            gated: Mutex::new(false),
            calls: Mutex::new(0),
        }
    }
}

impl Faults {
    /// The next call that changes something goes wrong like this; may be said several times.
    pub fn next(&self, fault: Fault) {
        lock(&self.next).push_back(fault);
    }

    /// What was to go wrong next does not.
    pub fn clear(&self) {
        lock(&self.next).clear();
    }

    /// Every call takes so long.
    pub fn latency(&self, latency: Duration) {
        *lock(&self.latency) = latency;
    }

    /// Every call waits until it is let through.
    pub fn hold(&self) {
        *lock(&self.gated) = true;
    }

    /// Lets so many of the calls that wait, or that come, through.
    pub fn let_through(&self, calls: usize) {
        self.gate.add_permits(calls);
    }

    /// How many calls have begun.
    pub fn calls(&self) -> usize {
        *lock(&self.calls)
    }

    pub(super) async fn strike(&self) -> Result<(), DriverError> {
        *lock(&self.calls) += 1;
        let fault = lock(&self.next).pop_front();
        let latency = *lock(&self.latency);
        let gated = *lock(&self.gated);
        if gated && let Ok(permit) = self.gate.acquire().await {
            permit.forget();
        }
        if !latency.is_zero() {
            tokio::time::sleep(latency).await;
        }
        match fault {
            None => Ok(()),
            Some(Fault::Fail(kind, message)) => Err(DriverError {
                kind,
                message,
                source: None,
            }),
            Some(Fault::Panic) => panic!("a fault was asked for"),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    // Values are set whole.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
