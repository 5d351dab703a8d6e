//! Guessing secrets: who fails to show a good one again and again, from an address, is made to pause,
//! longer each time.
//!
//! The first failures of an address are free, and one is forgiven each minute. Whoever guesses behind
//! an address that others use too makes them pause as well: what is known to be good already is to be
//! let through without asking here.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::address;
use crate::clock::Clock;

/// How long one failure counts.
const FORGIVEN: Duration = Duration::from_secs(60);
/// The first pause; each further failure doubles it.
const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(300);
/// How many addresses are remembered: some 10 MiB.
const ADDRESSES: usize = 1 << 16;

/// Failures by address; cheap to clone.
#[derive(Debug, Clone)]
pub struct Throttle(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    clock: Clock,
    free: u32,
    failures: Mutex<HashMap<IpAddr, Failures>>,
}

#[derive(Debug, Clone, Copy)]
struct Failures {
    /// As of `last`.
    count: u32,
    last: Duration,
}

impl Failures {
    /// What is left of them.
    fn left(self, now: Duration) -> u32 {
        let minutes = now.saturating_sub(self.last).as_secs() / FORGIVEN.as_secs();
        self.count
            .saturating_sub(u32::try_from(minutes).unwrap_or(u32::MAX))
    }
}

impl Throttle {
    /// Lets so many failures of an address pass before the first pause; with 0, any number.
    pub fn new(free: u32, clock: Clock) -> Self {
        Self(Arc::new(Shared {
            clock,
            free,
            failures: Mutex::default(),
        }))
    }

    /// How long an address has to pause before anything is tried for it; none where it need not.
    pub fn refused(&self, address: IpAddr) -> Option<Duration> {
        let address = address::subscriber(address);
        let failures = self.failures().get(&address).copied()?;
        let until = failures.last + self.pause(failures.count)?;
        let left = until.saturating_sub(self.0.clock.now());
        (!left.is_zero()).then_some(left)
    }

    /// Something from an address was no good.
    pub fn failed(&self, address: IpAddr) {
        if self.0.free == 0 {
            return;
        }
        let address = address::subscriber(address);
        let now = self.0.clock.now();
        let mut all = self.failures();
        if all.len() >= ADDRESSES && !all.contains_key(&address) {
            all.retain(|_, failures| failures.left(now) > 0);
            if all.len() >= ADDRESSES {
                // Those that would have to pause stay known.
                all.retain(|_, failures| failures.left(now) >= self.0.free);
            }
            if all.len() >= ADDRESSES {
                return;
            }
        }
        let failures = all.entry(address).or_insert(Failures {
            count: 0,
            last: now,
        });
        *failures = Failures {
            count: failures.left(now).saturating_add(1),
            last: now,
        };
    }

    /// How long it is after so many failures.
    fn pause(&self, failures: u32) -> Option<Duration> {
        let over = failures.checked_sub(self.0.free)?;
        if self.0.free == 0 {
            return None;
        }
        let factor = 1u32.checked_shl(over).unwrap_or(u32::MAX);
        Some(FIRST.saturating_mul(factor).min(LONGEST))
    }

    fn failures(&self) -> MutexGuard<'_, HashMap<IpAddr, Failures>> {
        self.0
            .failures
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));

    fn after(failures: u32) -> (Throttle, Clock) {
        let clock = Clock::standing();
        let throttle = Throttle::new(3, clock.clone());
        for _ in 0..failures {
            throttle.failed(HERE);
        }
        (throttle, clock)
    }

    #[test]
    fn the_pause_begins_after_some_failures_and_doubles_up_to_five_minutes() {
        for (failures, pause) in [
            (0, 0),
            (2, 0),
            (3, 1),
            (4, 2),
            (7, 16),
            (12, 300),
            (99, 300),
        ] {
            let (throttle, _) = after(failures);
            let refused = throttle.refused(HERE).unwrap_or_default();
            assert_eq!(refused.as_secs(), pause, "after {failures}");
        }
    }

    #[test]
    fn it_ends_by_itself_and_the_next_failure_brings_a_longer_one() {
        let (throttle, clock) = after(3);
        clock.advance(Duration::from_secs(1));
        assert_eq!(throttle.refused(HERE), None);
        throttle.failed(HERE);
        assert_eq!(throttle.refused(HERE), Some(Duration::from_secs(2)));
    }

    #[test]
    fn failures_are_forgiven_one_a_minute() {
        let (throttle, clock) = after(4);
        clock.advance(Duration::from_secs(3 * 60));
        throttle.failed(HERE);
        assert_eq!(throttle.refused(HERE), None, "two count");
        throttle.failed(HERE);
        assert_eq!(throttle.refused(HERE), Some(Duration::from_secs(1)));
    }

    #[test]
    fn other_addresses_do_not_pause_but_those_of_the_same_subscriber_do() {
        let (throttle, _) = after(9);
        let is_refused = |text: &str| throttle.refused(text.parse().expect("one")).is_some();
        assert!(is_refused("192.0.2.1") && is_refused("::ffff:192.0.2.1"));
        assert!(!is_refused("192.0.2.2"));
        for _ in 0..3 {
            throttle.failed("2001:db8::1".parse().expect("one"));
        }
        assert!(is_refused("2001:db8::2"));
        assert!(!is_refused("2001:db8:0:1::2"));
    }

    #[test]
    fn so_many_addresses_as_one_likes_take_so_much_memory_and_no_more() {
        let (throttle, _) = after(3);
        for number in 0..ADDRESSES as u32 + 10 {
            throttle.failed(IpAddr::V4((0x0a00_0000 + number).into()));
        }
        assert!(throttle.failures().len() <= ADDRESSES);
        assert!(throttle.refused(HERE).is_some(), "who has to pause is kept");
    }

    #[test]
    fn with_zero_nobody_pauses() {
        let throttle = Throttle::new(0, Clock::standing());
        for _ in 0..1000 {
            throttle.failed(HERE);
        }
        assert_eq!(throttle.refused(HERE), None);
    }
}
