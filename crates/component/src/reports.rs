//! What the core is still to be told: outcomes, progress, and changes that nobody asked for.
//!
//! An outcome is kept until the core has recorded it, and said again on each new session: the core
//! may have lost the first one with the stream. Outcomes live in memory alone. A component that is
//! restarted gets the job again when its lease has ended, and doing it again is what answers; an
//! action, which happens once, is remembered by the ledger instead. Progress and changes are worth
//! telling once: a new session begins with an inventory, which says more.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rhyzome_model::job::Outcome;
use rhyzome_model::placement::Observed;
use rhyzome_model::{JobId, PlacementId};
use rhyzome_proto::session::{FromComponent, JobOutcome, JobProgress};
use tokio::sync::Notify;

/// More unrecorded outcomes than this: the first jobs are forgotten, and done again if they come.
const MOST_OUTCOMES: usize = 4096;

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
    changes: BTreeMap<PlacementId, (u64, Observed)>,
    next_number: u64,
}

/// An outcome that the core has not recorded.
#[derive(Clone, Debug)]
struct Held {
    outcome: JobOutcome,
    placement: PlacementId,
    /// Counts outcomes, to know the oldest.
    number: u64,
}

impl Reports {
    pub fn outcome(&self, placement: PlacementId, outcome: JobOutcome) {
        let mut pending = self.lock();
        let job = outcome.job;
        let number = pending.next_number;
        pending.next_number += 1;
        pending.progress.remove(&job);
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
        self.lock()
            .changes
            .insert(placement, (generation, observed));
        self.wake.notify_one();
    }

    pub fn want_inventory(&self) {
        self.look.notify_one();
    }

    /// Waits until the core is to get another inventory.
    pub async fn inventory_wanted(&self) {
        self.look.notified().await;
    }

    /// Begins a session: every outcome is to be said again, and changes are in its inventory.
    pub fn begin_session(&self) {
        let mut pending = self.lock();
        pending.unsent = pending.outcomes.keys().copied().collect();
        pending.changes.clear();
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
        let changes = std::mem::take(&mut pending.changes).into_iter().map(
            |(placement, (generation, observed))| FromComponent::Changed {
                placement,
                generation,
                observed,
            },
        );
        let mut messages: Vec<_> = changes.collect();
        let unsent = std::mem::take(&mut pending.unsent);
        let outcomes = unsent.iter().filter_map(|job| pending.outcomes.get(job));
        messages.extend(outcomes.map(|held| FromComponent::Outcome(held.outcome.clone())));
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

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    fn outcome(job: JobId, fence: u64, outcome: Outcome) -> JobOutcome {
        JobOutcome {
            job,
            fence,
            outcome,
        }
    }

    #[test]
    fn an_outcome_is_said_again_on_each_session_until_it_is_recorded() {
        let reports = Reports::default();
        let (job, placement) = (JobId(Uuid::from_u128(1)), PlacementId(Uuid::from_u128(2)));
        reports.outcome(placement, outcome(job, 3, Outcome::Removed));
        assert_eq!(reports.take().len(), 1);
        assert_eq!(reports.take().len(), 0);
        reports.begin_session();
        assert_eq!(reports.take().len(), 1);
        assert_eq!(
            reports.recorded(job, 2),
            None,
            "an older fence was recorded"
        );
        assert_eq!(reports.recorded(job, 3), Some(placement));
        reports.begin_session();
        assert_eq!(reports.take().len(), 0);
    }

    #[test]
    fn a_job_that_comes_again_is_answered_under_its_new_fence_unless_it_failed() {
        let reports = Reports::default();
        let (job, placement) = (JobId(Uuid::from_u128(1)), PlacementId(Uuid::from_u128(2)));
        reports.outcome(placement, outcome(job, 1, Outcome::Removed));
        assert!(reports.answer_again(job, 2));
        assert_eq!(
            reports.take(),
            [FromComponent::Outcome(outcome(job, 2, Outcome::Removed))]
        );
        let kind = rhyzome_model::job::FailureKind::Transient;
        let failed = Outcome::Failed {
            kind,
            message: String::new(),
        };
        reports.outcome(placement, outcome(job, 2, failed));
        assert!(!reports.answer_again(job, 3));
    }

    #[test]
    fn the_oldest_outcome_is_forgotten_when_there_are_too_many() {
        let reports = Reports::default();
        let placement = PlacementId(Uuid::nil());
        for number in 0..=MOST_OUTCOMES {
            let job = JobId(Uuid::from_u128(u128::MAX - number as u128));
            reports.outcome(placement, outcome(job, 1, Outcome::Removed));
        }
        assert_eq!(reports.take().len(), MOST_OUTCOMES);
        assert_eq!(reports.recorded(JobId(Uuid::from_u128(u128::MAX)), 1), None);
    }
}
