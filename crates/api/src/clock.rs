//! A clock that only runs forward, for what counts within a time; one that stands still in tests.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Time since some moment before everything that is measured with it; cheap to clone.
#[derive(Debug, Clone)]
pub struct Clock(Kind);

#[derive(Debug, Clone)]
enum Kind {
    Machine(Instant),
    /// Milliseconds.
    Standing(Arc<AtomicU64>),
}

impl Clock {
    /// The machine's.
    pub fn machine() -> Self {
        Self(Kind::Machine(Instant::now()))
    }

    /// One that stands still but for [`Clock::advance`].
    pub fn standing() -> Self {
        Self(Kind::Standing(Arc::default()))
    }

    /// Moves a standing clock, and all its clones; the machine's goes by itself.
    pub fn advance(&self, time: Duration) {
        if let Kind::Standing(millis) = &self.0 {
            let more = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
            millis.fetch_add(more, Ordering::SeqCst);
        }
    }

    pub fn now(&self) -> Duration {
        match &self.0 {
            Kind::Machine(start) => start.elapsed(),
            Kind::Standing(millis) => Duration::from_millis(millis.load(Ordering::SeqCst)),
        }
    }
}

impl governor::clock::Clock for Clock {
    type Instant = Duration;

    fn now(&self) -> Duration {
        Self::now(self)
    }
}
