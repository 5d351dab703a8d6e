//! What differs from the ledger, and when to try again: pure decisions.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use rhyzome_model::PlacementId;
use rhyzome_model::placement::{Found, Observed, PlacementKind};

use crate::ledger::{Entry, State};

/// The pause before the second try.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// Pauses double up to this.
const LONGEST_PAUSE: Duration = Duration::from_secs(300);
/// After so long without a try, the next one is the first again.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(900);

/// What a look at the host says about the ledger.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Differences {
    /// To be brought back: those that others need first.
    pub repair: [Vec<PlacementId>; 3],
    /// As they should be, but not as they were.
    pub changed: Vec<(PlacementId, u64, Observed)>,
    /// What of them is not as it should be, and was.
    pub known: Vec<(PlacementId, String)>,
}

/// Compares the ledger with an inventory. What is on the host and not in the ledger is the core's to
/// decide about.
pub(super) fn differences(entries: &[Entry], found: &[Found]) -> Differences {
    let on_host: HashMap<PlacementId, &Found> = found
        .iter()
        .map(|found| (found.placement.id, found))
        .collect();
    let mut differences = Differences::default();
    for entry in entries {
        let id = entry.target.id;
        let found = on_host.get(&id);
        let found_as_accepted =
            found.filter(|found| found.generation == entry.generation || found.generation == 0);
        let observed = found_as_accepted.and_then(|found| found.observed.as_ref());
        let wanted = match &entry.state {
            State::Ensured {
                observed: before, ..
            } => match observed {
                Some(now) if now == before => false,
                Some(now) => {
                    differences
                        .changed
                        .push((id, entry.generation, now.clone()));
                    false
                }
                None => {
                    let what = found_as_accepted.map(|found| (id, found.differs.clone()));
                    differences
                        .known
                        .extend(what.filter(|(_, what)| !what.is_empty()));
                    true
                }
            },
            State::Accepted { .. } | State::Removing => true,
            State::Removed { .. } => found.is_some(),
        };
        if wanted {
            differences.repair[phase(entry.target.kind)].push(id);
        }
    }
    differences
}

/// In which order things come up: what others are in, then what they need, then those themselves.
fn phase(kind: PlacementKind) -> usize {
    match kind {
        PlacementKind::Network | PlacementKind::Segment => 0,
        PlacementKind::Vtep | PlacementKind::Lease | PlacementKind::Peer => 1,
        PlacementKind::Instance => 2,
    }
}

/// Growing pauses between repairs of one placement.
#[derive(Debug, Default)]
pub(super) struct Pauses(HashMap<PlacementId, Tries>);

#[derive(Debug)]
struct Tries {
    count: u32,
    last: Instant,
}

impl Pauses {
    /// Whether a placement may be repaired now, and when else.
    pub fn next(&self, id: PlacementId, now: Instant) -> Instant {
        match self.0.get(&id) {
            None => now,
            Some(tries) => tries.last + pause(tries.count),
        }
    }

    pub fn tried(&mut self, id: PlacementId, now: Instant) {
        self.0
            .retain(|_, tries| now.saturating_duration_since(tries.last) < FORGOTTEN_AFTER);
        let tries = self.0.entry(id).or_insert(Tries {
            count: 0,
            last: now,
        });
        tries.count = tries.count.saturating_add(1);
        tries.last = now;
    }

    /// The core said something new of it.
    pub fn forget(&mut self, id: PlacementId) {
        self.0.remove(&id);
    }
}

fn pause(tries: u32) -> Duration {
    let doublings = tries.saturating_sub(1).min(16);
    (FIRST_PAUSE * 2_u32.pow(doublings)).min(LONGEST_PAUSE)
}

#[cfg(test)]
mod tests;
