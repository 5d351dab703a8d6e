//! How much of what nobody asked for a component may say.
//!
//! Such messages cost the core a transaction each. A component with much to say at once, after it was
//! away, is heard at once; one that does not end is heard slowly, which slows it down and nobody else.

use std::time::Duration;

use tokio::time::Instant;

/// So many at once, and so many a second from then on.
const AT_ONCE: u32 = 5000;
const EACH: Duration = Duration::from_millis(50);

#[derive(Debug)]
pub(super) struct Pace {
    /// When all that was said is paid for; before `now` by [`AT_ONCE`] messages at most.
    paid: Instant,
}

impl Pace {
    pub fn new(now: Instant) -> Self {
        Self {
            paid: now.checked_sub(EACH * AT_ONCE).unwrap_or(now),
        }
    }

    /// Counts a message, and says when it is to be heard.
    pub fn count(&mut self, now: Instant) -> Instant {
        let least = now.checked_sub(EACH * AT_ONCE).unwrap_or(now);
        self.paid = self.paid.max(least) + EACH;
        self.paid.max(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn much_is_heard_at_once_and_what_does_not_end_slowly() {
        let begin = Instant::now() + EACH * AT_ONCE * 2;
        let mut pace = Pace::new(begin);
        for _ in 0..AT_ONCE {
            assert_eq!(pace.count(begin), begin);
        }
        assert_eq!(pace.count(begin), begin + EACH);
        assert_eq!(pace.count(begin), begin + EACH * 2);
        let later = begin + EACH * 3;
        assert_eq!(pace.count(later), later, "what was saved up meanwhile");
        let much_later = begin + EACH * AT_ONCE * 5;
        for _ in 0..AT_ONCE {
            assert_eq!(pace.count(much_later), much_later);
        }
        assert!(pace.count(much_later) > much_later);
    }
}
