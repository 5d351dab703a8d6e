//! Growing pauses between tries, with chance in them so that many components do not come at once.

use std::time::Duration;

use rand::Rng as _;

#[derive(Debug)]
pub(crate) struct Pause {
    first: Duration,
    longest: Duration,
    next: Duration,
}

impl Pause {
    pub fn new(first: Duration, longest: Duration) -> Self {
        Self {
            first,
            longest,
            next: first,
        }
    }

    /// Half of the pause is certain, half is chance.
    pub fn next(&mut self) -> Duration {
        let pause = self.next;
        self.next = (pause * 2).min(self.longest);
        pause.mul_f64(rand::rng().random_range(0.5..=1.0))
    }

    /// The next pause is no longer than this.
    pub fn at_most(&mut self, longest: Duration) {
        self.next = self.next.min(longest);
    }

    pub fn reset(&mut self) {
        self.next = self.first;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest_and_start_small_again() {
        let mut pause = Pause::new(Duration::from_secs(1), Duration::from_secs(5));
        for whole in [1, 2, 4, 5, 5] {
            let whole = Duration::from_secs(whole);
            let got = pause.next();
            assert!((whole / 2..=whole).contains(&got), "{got:?} of {whole:?}");
        }
        pause.at_most(Duration::from_secs(2));
        assert!(pause.next() <= Duration::from_secs(2));
        pause.reset();
        assert!(pause.next() <= Duration::from_secs(1));
    }
}
