//! What the core is still to be told: outcomes, progress, and changes that nobody asked for.
//!
//! An outcome is kept until the core has recorded it, and said again on each new session: the core
//! may have lost the first one with the stream. Outcomes live in memory alone. A component that is
//! restarted gets the job again when its lease has ended, and doing it again is what answers; an
//! action, which happens once, is remembered by the ledger instead. Progress and changes are worth
//! telling once: a new session begins with an inventory, which says more.
//!
//! What somebody changed on the host and the component mended is told too, by what a look found, also on the next session:
//! no inventory shows it any more.
//!
//! What the core hears last has to be what is so. So a change that comes while its placement's outcome is
//! still held changes that outcome too, an outcome takes the place of a change that was not told, and
//! while an inventory is being taken, nothing else is said: it would arrive before what is older than it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rhyzome_model::job::Outcome;
use rhyzome_model::placement::Observed;
use rhyzome_model::upgrade::UpgradeReport;
use rhyzome_model::{JobId, PlacementId};
use rhyzome_proto::session::{Changed, FromComponent, JobOutcome, JobProgress};
use tokio::sync::Notify;

/// More unrecorded outcomes than this: the first jobs are forgotten, and done again if they come.
const MOST_OUTCOMES: usize = 4096;
/// The most of what differed of a placement that is told, in bytes.
pub const LONGEST_DIFFERENCE: usize = 1000;

#[derive(Debug, Default)]
pub struct Reports {
    pending: Mutex<Pending>,
    wake: Notify,
    /// Outcomes were recorded.
    recorded: Notify,
    /// The core is to see the host again: something is not as it should be, and stays so.
    look: Notify,
}

#[derive(Debug, Default)]
struct Pending {
    outcomes: BTreeMap<JobId, Held>,
    /// The jobs whose outcome this session has not been told.
    unsent: BTreeSet<JobId>,
    progress: BTreeMap<JobId, JobProgress>,
    /// One a placement, in the placements' order: maps of them are large in a program that has to be small.
    changes: Vec<Changed>,
    /// What was found to differ of placements that have not been mended since; as above.
    differs: Vec<(PlacementId, String)>,
    /// How far an upgrade is, if that was not told.
    upgrade: Option<UpgradeReport>,
    next_number: u64,
    /// How many inventories are being taken.
    looking: u32,
}

/// An outcome that the core has not recorded.
#[derive(Clone, Debug)]
struct Held {
    outcome: JobOutcome,
    placement: PlacementId,
    /// Counts outcomes, to know the oldest.
    number: u64,
}

impl Pending {
    /// Where the change of a placement is, or would be.
    fn change_of(&self, placement: PlacementId) -> Result<usize, usize> {
        self.changes
            .binary_search_by_key(&placement, |change| change.placement)
    }

    fn difference_of(&self, placement: PlacementId) -> Result<usize, usize> {
        self.differs.binary_search_by_key(&placement, |(id, _)| *id)
    }
}

impl Reports {
    pub fn outcome(&self, placement: PlacementId, outcome: JobOutcome) {
        let mut pending = self.lock();
        let job = outcome.job;
        let number = pending.next_number;
        pending.next_number += 1;
        pending.progress.remove(&job);
        match outcome.outcome {
            // It says what is so now, and not what was mended.
            Outcome::Ensured { .. } => {
                if let Ok(at) = pending.change_of(placement)
                    && pending.changes[at].mended.is_empty()
                {
                    pending.changes.remove(at);
                }
            }
            Outcome::Removed => {
                if let Ok(at) = pending.change_of(placement) {
                    pending.changes.remove(at);
                }
                if let Ok(at) = pending.difference_of(placement) {
                    pending.differs.remove(at);
                }
            }
            Outcome::Acted { .. } | Outcome::Failed { .. } => {}
        }
        pending.outcomes.insert(
            job,
            Held {
                outcome,
                placement,
                number,
            },
        );
        pending.unsent.insert(job);
        if pending.outcomes.len() > MOST_OUTCOMES
            && let Some(oldest) = pending
                .outcomes
                .iter()
                .min_by_key(|(_, held)| held.number)
                .map(|(job, _)| *job)
        {
            pending.outcomes.remove(&oldest);
            pending.unsent.remove(&oldest);
        }
        drop(pending);
        self.wake.notify_one();
    }

    /// Whether a job that came again has been done: then its outcome is said again under the new
    /// fence. A failure is not an answer to a new try.
    pub fn answer_again(&self, job: JobId, fence: u64) -> bool {
        let mut pending = self.lock();
        let Some(held) = pending.outcomes.get_mut(&job) else {
            return false;
        };
        if matches!(held.outcome.outcome, Outcome::Failed { .. }) {
            pending.outcomes.remove(&job);
            pending.unsent.remove(&job);
            return false;
        }
        held.outcome.fence = held.outcome.fence.max(fence);
        pending.unsent.insert(job);
        drop(pending);
        self.wake.notify_one();
        true
    }

    /// Forgets an outcome that the core has recorded, and returns whose placement it was.
    pub fn recorded(&self, job: JobId, fence: u64) -> Option<PlacementId> {
        let mut pending = self.lock();
        if pending.outcomes.get(&job)?.outcome.fence > fence {
            return None;
        }
        pending.unsent.remove(&job);
        let placement = pending.outcomes.remove(&job).map(|held| held.placement);
        drop(pending);
        self.recorded.notify_one();
        placement
    }

    /// Waits until the core has recorded every outcome.
    pub async fn recorded_all(&self) {
        while !self.lock().outcomes.is_empty() {
            self.recorded.notified().await;
        }
    }

    pub fn progress(&self, progress: JobProgress) {
        self.lock().progress.insert(progress.job, progress);
    }

    pub fn changed(&self, placement: PlacementId, generation: u64, observed: Observed) {
        self.change(placement, generation, observed, String::new());
    }

    /// A look found that a placement is not as it should be, and what of it.
    pub fn differs(&self, placement: PlacementId, mut what: String) {
        shorten(&mut what, LONGEST_DIFFERENCE);
        // Where a later look does not know, the earlier one did.
        if !what.is_empty() {
            let mut pending = self.lock();
            match pending.difference_of(placement) {
                Ok(at) => pending.differs[at].1 = what,
                Err(at) => pending.differs.insert(at, (placement, what)),
            }
        }
    }

    /// A placement is as it should be; if something of it was not, that is told.
    pub fn good(&self, placement: PlacementId, generation: u64, observed: &Observed) {
        let mut pending = self.lock();
        let found = pending.difference_of(placement).ok();
        let differed = found.map(|at| pending.differs.remove(at).1);
        drop(pending);
        if let Some(differed) = differed {
            self.change(placement, generation, observed.clone(), differed);
        }
    }

    fn change(
        &self,
        placement: PlacementId,
        generation: u64,
        observed: Observed,
        mut mended: String,
    ) {
        let mut pending = self.lock();
        let held = pending.outcomes.values_mut();
        for held in held.filter(|held| held.placement == placement) {
            if let Outcome::Ensured { observed: before } = &mut held.outcome.outcome {
                before.clone_from(&observed);
            }
        }
        let found = pending.change_of(placement);
        if let Ok(at) = found {
            let before = pending.changes.remove(at).mended;
            mended = if mended.is_empty() { before } else { mended };
        }
        let (Ok(at) | Err(at)) = found;
        let change = Changed {
            placement,
            generation,
            observed,
            mended,
        };
        pending.changes.insert(at, change);
        drop(pending);
        self.wake.notify_one();
    }

    /// Says how far an upgrade is. A new session begins with that anyway.
    pub fn upgrade(&self, report: UpgradeReport) {
        self.lock().upgrade = Some(report);
        self.wake.notify_one();
    }

    /// Holds back what there is to say until the inventory that is taken now has been said.
    pub fn hold_back(self: &Arc<Self>) -> HeldBack {
        self.lock().looking += 1;
        HeldBack(Arc::clone(self))
    }

    pub fn want_inventory(&self) {
        self.look.notify_one();
    }

    /// Waits until the core is to get another inventory.
    pub async fn inventory_wanted(&self) {
        self.look.notified().await;
    }

    /// Begins a session: every outcome is to be said again, and changes are in its inventory, as far as nothing was mended.
    pub fn begin_session(&self) {
        let mut pending = self.lock();
        pending.unsent = pending.outcomes.keys().copied().collect();
        pending.changes.retain(|change| !change.mended.is_empty());
        pending.upgrade = None;
        drop(pending);
        self.wake.notify_one();
    }

    /// Waits until there may be something to say at once.
    pub async fn woken(&self) {
        self.wake.notified().await;
    }

    /// Takes what is to be said at once.
    pub fn take(&self) -> Vec<FromComponent> {
        let mut pending = self.lock();
        if pending.looking > 0 {
            return Vec::new();
        }
        let changes = std::mem::take(&mut pending.changes).into_iter();
        let mut messages: Vec<_> = changes.map(FromComponent::Changed).collect();
        let unsent = std::mem::take(&mut pending.unsent);
        let outcomes = unsent.iter().filter_map(|job| pending.outcomes.get(job));
        messages.extend(outcomes.map(|held| FromComponent::Outcome(held.outcome.clone())));
        let upgrade = pending.upgrade.take();
        messages.extend(upgrade.map(FromComponent::Upgrade));
        messages
    }

    /// Takes the newest progress of each job; asked for now and then.
    pub fn take_progress(&self) -> Vec<FromComponent> {
        let progress = std::mem::take(&mut self.lock().progress);
        progress
            .into_values()
            .map(FromComponent::Progress)
            .collect()
    }

    fn lock(&self) -> MutexGuard<'_, Pending> {
        // Nothing panics between two changes that belong together.
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Cuts a text off behind so many bytes, and shows that it did.
pub(crate) fn shorten(text: &mut String, most: usize) {
    if text.len() > most {
        text.truncate(text.floor_char_boundary(most));
        text.push('…');
    }
}

/// Nothing but an inventory is said while this lives.
#[derive(Debug)]
pub struct HeldBack(Arc<Reports>);

impl Drop for HeldBack {
    fn drop(&mut self) {
        self.0.lock().looking -= 1;
        self.0.wake.notify_one();
    }
}

#[cfg(test)]
mod tests;
