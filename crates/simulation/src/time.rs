//! Time, which only the simulation moves, and the clocks of hosts, which may be wrong.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant, UNIX_EPOCH};

use rhyzome_component::Clock;
use rhyzome_model::Timestamp;

/// When every simulation begins: 2030-01-01, in milliseconds.
const BEGIN: i64 = 1_893_456_000_000;

/// What time it really is.
#[derive(Clone, Debug)]
pub struct Time {
    passed: Arc<AtomicI64>,
    /// Time without a date, as timers know it, counts from here.
    origin: Instant,
}

impl Time {
    pub fn new() -> Self {
        Self {
            passed: Arc::default(),
            origin: Instant::now(),
        }
    }

    pub fn pass(&self, millis: i64) {
        self.passed.fetch_add(millis, Ordering::SeqCst);
    }

    /// Milliseconds since the simulation began.
    pub fn passed(&self) -> i64 {
        self.passed.load(Ordering::SeqCst)
    }

    pub fn instant(&self) -> Instant {
        let passed = u64::try_from(self.passed()).expect("time does not go back");
        self.origin + Duration::from_millis(passed)
    }
}

/// The clock of one host.
#[derive(Clone, Debug)]
pub struct HostClock {
    time: Time,
    /// How wrong it is, in milliseconds.
    off: Arc<AtomicI64>,
}

impl HostClock {
    pub fn new(time: &Time) -> Self {
        Self {
            time: time.clone(),
            off: Arc::default(),
        }
    }

    pub fn now(&self) -> Timestamp {
        Timestamp::from_millis(BEGIN + self.time.passed() + self.off.load(Ordering::SeqCst))
    }

    /// Makes it so wrong.
    pub fn set_off(&self, millis: i64) {
        self.off.store(millis, Ordering::SeqCst);
    }

    /// As a component takes it.
    pub fn clock(&self) -> Clock {
        let this = self.clone();
        Clock::of(move || {
            let millis = u64::try_from(this.now().as_millis()).unwrap_or(0);
            UNIX_EPOCH + Duration::from_millis(millis)
        })
    }
}
