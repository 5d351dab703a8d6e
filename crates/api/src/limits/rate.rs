//! So many in a second, for each of many.

use std::hash::Hash;
use std::num::NonZeroU32;
use std::time::Duration;

use governor::middleware::NoOpMiddleware;
use governor::state::keyed::HashMapStateStore;
use governor::{NotUntil, Quota, RateLimiter};

use crate::clock::Clock;

/// How many seconds' worth may come at once: a script asks for many things and then thinks.
const BURST: u32 = 5;
/// How many are remembered before those that have come to rest are forgotten: a few MiB.
const REMEMBERED: usize = 1 << 15;

type Limiter<K> = RateLimiter<K, HashMapStateStore<K>, Clock, NoOpMiddleware<Duration>>;

/// A limit for each `K`.
pub(super) struct Rate<K: Hash + Eq + Clone> {
    /// None: no limit.
    limiter: Option<Limiter<K>>,
    clock: Clock,
}

impl<K: Hash + Eq + Clone> std::fmt::Debug for Rate<K> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Rate(…)")
    }
}

impl<K: Hash + Eq + Clone> Rate<K> {
    pub(super) fn new(per_second: u32, clock: Clock) -> Self {
        let limiter = NonZeroU32::new(per_second).map(|rate| {
            let burst = rate.saturating_mul(NonZeroU32::new(BURST).expect("it is not 0"));
            let quota = Quota::per_second(rate).allow_burst(burst);
            RateLimiter::new(quota, HashMapStateStore::default(), clock.clone())
        });
        Self { limiter, clock }
    }

    /// Takes one, or says how long until there is one.
    pub(super) fn take(&self, key: K) -> Result<(), Duration> {
        let Some(limiter) = &self.limiter else {
            return Ok(());
        };
        if limiter.len() >= REMEMBERED {
            limiter.retain_recent();
            limiter.shrink_to_fit();
        }
        let now = self.clock.now();
        limiter
            .check_key(&key)
            .map_err(|until: NotUntil<Duration>| until.wait_time_from(now))
    }

    #[cfg(test)]
    fn remembered(&self) -> usize {
        self.limiter.as_ref().map_or(0, RateLimiter::len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn five_seconds_worth_pass_at_once_and_then_so_many_in_a_second() {
        let clock = Clock::standing();
        let rate = Rate::new(2, clock.clone());
        for _ in 0..10 {
            assert_eq!(rate.take("a"), Ok(()));
        }
        assert_eq!(rate.take("a"), Err(Duration::from_millis(500)));
        assert_eq!(rate.take("b"), Ok(()), "the flood of another");
        clock.advance(Duration::from_secs(1));
        assert_eq!((rate.take("a"), rate.take("a")), (Ok(()), Ok(())));
        assert!(rate.take("a").is_err());
    }

    #[test]
    fn without_a_limit_nothing_is_counted() {
        let rate = Rate::new(0, Clock::standing());
        assert!((0..100_000).all(|_| rate.take(1).is_ok()));
        assert_eq!(rate.remembered(), 0);
    }

    #[test]
    fn those_that_rest_are_forgotten() {
        let clock = Clock::standing();
        let rate = Rate::new(1, clock.clone());
        for key in 0..REMEMBERED {
            assert_eq!(rate.take(key), Ok(()));
        }
        assert_eq!(rate.remembered(), REMEMBERED);
        clock.advance(Duration::from_secs(10));
        assert_eq!(rate.take(0), Ok(()));
        assert_eq!(rate.remembered(), 1);
    }
}
