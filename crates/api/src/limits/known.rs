//! Credentials that were good lately: those used last, up to a number.

use std::collections::HashSet;
use std::mem;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::Shown;

/// How many are remembered at least.
const REMEMBERED: usize = 1 << 14;

#[derive(Debug, Default)]
pub(super) struct Known(Mutex<Sets>);

/// What nobody has used since `recent` was begun goes with `earlier`.
#[derive(Debug, Default)]
struct Sets {
    recent: HashSet<Shown>,
    earlier: HashSet<Shown>,
}

impl Known {
    pub(super) fn has(&self, shown: &Shown) -> bool {
        let sets = self.sets();
        sets.recent.contains(shown) || sets.earlier.contains(shown)
    }

    pub(super) fn add(&self, shown: Shown) {
        let mut sets = self.sets();
        if sets.recent.len() >= REMEMBERED && !sets.recent.contains(&shown) {
            sets.earlier = mem::take(&mut sets.recent);
        }
        sets.recent.insert(shown);
    }

    pub(super) fn remove(&self, shown: &Shown) {
        let mut sets = self.sets();
        sets.recent.remove(shown);
        sets.earlier.remove(shown);
    }

    fn sets(&self) -> MutexGuard<'_, Sets> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(number: usize) -> Shown {
        let mut shown = [0; 32];
        shown[..8].copy_from_slice(&number.to_be_bytes());
        shown
    }

    #[test]
    fn those_used_last_are_known_and_no_more_than_twice_as_many() {
        let known = Known::default();
        for number in 0..5 * REMEMBERED {
            known.add(shown(0));
            known.add(shown(number));
            assert!(known.has(&shown(number)));
        }
        assert!(known.has(&shown(0)), "it was used all the time");
        assert!(!known.has(&shown(1)));
        let sets = known.sets();
        assert!(sets.recent.len() + sets.earlier.len() <= 2 * REMEMBERED);
    }

    #[test]
    fn what_is_no_good_any_more_is_not_known() {
        let known = Known::default();
        known.add(shown(1));
        known.remove(&shown(1));
        assert!(!known.has(&shown(1)));
    }
}
