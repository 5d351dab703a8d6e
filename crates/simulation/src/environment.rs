//! The core's time and ids out of the simulation, and the core's death in the middle of anything: it
//! asks for the time or for an id wherever it begins, changes and answers something, and does not get
//! over the one that was to be its last.

use std::panic::{AssertUnwindSafe, resume_unwind};
use std::sync::atomic::{AtomicU64, Ordering};

use futures::FutureExt as _;
use rhyzome_app::Environment;
use rhyzome_model::Timestamp;
use uuid::Uuid;

use crate::time::HostClock;

/// What the core is told.
#[derive(Debug)]
pub struct CoreEnvironment {
    clock: HostClock,
    /// Ids are counted, with noise behind the count that follows from it.
    ids: AtomicU64,
    noise: u64,
    /// How many more questions it gets over; none where it is to live.
    left: AtomicU64,
}

/// The core died.
#[derive(Debug)]
pub struct Killed;

impl CoreEnvironment {
    pub fn new(clock: HostClock, noise: u64) -> Self {
        Self {
            clock,
            ids: AtomicU64::new(1),
            noise,
            left: AtomicU64::new(u64::MAX),
        }
    }

    /// Kills the core at so many questions from now.
    pub fn kill_after(&self, questions: u64) {
        self.left.store(questions, Ordering::SeqCst);
    }

    pub fn let_live(&self) {
        self.left.store(u64::MAX, Ordering::SeqCst);
    }

    fn question(&self) {
        let left = self.left.load(Ordering::SeqCst);
        if left == 0 {
            // Not a panic: nobody prints it.
            resume_unwind(Box::new(Killed));
        }
        if left != u64::MAX {
            self.left.store(left - 1, Ordering::SeqCst);
        }
    }
}

impl Environment for CoreEnvironment {
    fn now(&self) -> Timestamp {
        self.question();
        self.clock.now()
    }

    fn uuid(&self) -> Uuid {
        self.question();
        let count = self.ids.fetch_add(1, Ordering::SeqCst);
        let noise = count.wrapping_add(self.noise);
        Uuid::from_u64_pair(
            count,
            noise.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29),
        )
    }
}

/// Lets the core do something, which it may not survive.
pub async fn mortal<T>(doing: impl Future<Output = T>) -> Result<T, Killed> {
    match AssertUnwindSafe(doing).catch_unwind().await {
        Ok(done) => Ok(done),
        Err(panic) => match panic.downcast::<Killed>() {
            Ok(killed) => Err(*killed),
            Err(panic) => resume_unwind(panic),
        },
    }
}
