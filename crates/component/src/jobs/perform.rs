//! What is done about one placement: ledger first, then the driver, then the ledger again.

use std::any::Any;
use std::fmt;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures::FutureExt as _;
use rhyzome_model::job::{Action, Job, Outcome, Task};
use rhyzome_model::placement::{Found, Observed, Placement, PlacementRef};
use rhyzome_model::{JobId, PlacementId};
use rhyzome_proto::session::{JobOutcome, JobProgress};

use super::chain;
use super::repair::{Differences, differences};
use crate::clock::Clock;
use crate::driver::{Differs, Driver, DriverError, Progress, reach};
use crate::ledger::{Begun, Ledger, LedgerError, State};
use crate::reports::{HeldBack, LONGEST_DIFFERENCE, Reports, shorten};
use crate::step::JobStep;

/// The most of a console that is answered with, in bytes.
const LARGEST_LOG: u32 = 1 << 20;
/// The most of an error that is told, in bytes.
const LONGEST_MESSAGE: usize = 16 << 10;

/// One component's hands.
#[derive(Clone)]
pub struct Performer {
    pub driver: Arc<dyn Driver>,
    pub ledger: Arc<Ledger>,
    pub reports: Arc<Reports>,
    pub clock: Clock,
}

impl fmt::Debug for Performer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Performer").finish_non_exhaustive()
    }
}

/// An inventory. While it lives, nothing else is said.
#[derive(Debug)]
pub struct Taken {
    pub found: Vec<Found>,
    _held_back: HeldBack,
}

/// How work ended, as the loop needs to know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Done {
    /// As it should be.
    Well,
    /// As it should be again.
    Repaired,
    /// Looked at, and to be repaired.
    NotAsItShould,
    Failed,
}

impl Performer {
    /// Does a job and reports its outcome under the newest fence that `fence` holds by then.
    pub(super) async fn job(&self, job: Job, fence: Arc<AtomicU64>) -> Done {
        let id = job.id;
        let target = job.task.target();
        let is_action = matches!(job.task, Task::Act { .. });
        tracing::debug!(job = %id, placement = %target.id, kind = %target.kind, "a job begins");
        let (progress, mut steps) = Progress::new();
        let work = caught(self.task(job, progress));
        tokio::pin!(work);
        let outcome = loop {
            tokio::select! {
                // A step that is over is not worth telling.
                biased;
                outcome = &mut work => break outcome,
                Ok(()) = steps.changed() => {
                    let step = steps.borrow_and_update().clone();
                    self.reports.progress(JobProgress {
                        job: id,
                        fence: fence.load(Ordering::Relaxed),
                        step: step.name,
                        amount: step.amount,
                    });
                }
            }
        };
        let outcome = outcome.unwrap_or_else(|panic| failed(&panicked(&panic)));
        let done = match &outcome {
            Outcome::Failed { kind, message } => {
                tracing::warn!(
                    job = %id, placement = %target.id, placement_kind = %target.kind,
                    failure = kind.as_str(), error = message, "a job failed"
                );
                match is_action {
                    // It may have ended half way, with the guest stopped, say.
                    true => self.look(target.id).await,
                    false => Done::Failed,
                }
            }
            Outcome::Ensured { .. } | Outcome::Removed | Outcome::Acted { .. } => Done::Well,
        };
        let fence = fence.load(Ordering::Relaxed);
        self.reports.outcome(
            target.id,
            JobOutcome {
                job: id,
                fence,
                outcome,
            },
        );
        done
    }

    async fn task(&self, job: Job, progress: Progress) -> Outcome {
        let done = match job.task {
            Task::Ensure { placement } => self
                .ensure(placement, &progress)
                .await
                .map(|observed| Outcome::Ensured { observed }),
            Task::Remove { target, generation } => self
                .remove(target, generation, &progress)
                .await
                .map(|()| Outcome::Removed),
            Task::Act { target, action } => {
                if !repeatable(&action) {
                    match self.write(move |ledger| ledger.begin_action(job.id)).await {
                        Ok(Begun::Now) => {}
                        Ok(Begun::Before) => return failed(&interrupted()),
                        Err(error) => return failed(&error),
                    }
                }
                let acted = self.driver.act(&target, &bounded(action)).await;
                if acted.is_ok() {
                    // Told before the outcome, so that who waits for that finds it. What is not as it
                    // should be is found again, and repaired, by the next look at everything.
                    let _done = self.look(target.id).await;
                }
                acted.map(|output| Outcome::Acted { output })
            }
        };
        done.unwrap_or_else(|error| failed(&error))
    }

    async fn ensure(
        &self,
        placement: Placement,
        progress: &Progress,
    ) -> Result<Observed, DriverError> {
        reach(JobStep::Accept)?;
        let (accepted, now) = (placement.clone(), self.clock.now());
        self.write(move |ledger| ledger.accept(&accepted, now))
            .await?;
        self.ensure_accepted(placement, progress).await
    }

    async fn ensure_accepted(
        &self,
        placement: Placement,
        progress: &Progress,
    ) -> Result<Observed, DriverError> {
        let observed = self.driver.ensure(&placement, progress).await?;
        let seen = observed.clone();
        let (id, generation) = (placement.id, placement.generation);
        reach(JobStep::Done)?;
        let now = self.clock.now();
        self.write(move |ledger| ledger.ensured(id, generation, &seen, now))
            .await?;
        self.reports.good(id, generation, &observed);
        Ok(observed)
    }

    async fn remove(
        &self,
        target: PlacementRef,
        generation: u64,
        progress: &Progress,
    ) -> Result<(), DriverError> {
        reach(JobStep::Remove)?;
        let (going, now) = (target.clone(), self.clock.now());
        self.write(move |ledger| ledger.removing(&going, generation, now))
            .await?;
        self.remove_accepted(&target, progress).await
    }

    async fn remove_accepted(
        &self,
        target: &PlacementRef,
        progress: &Progress,
    ) -> Result<(), DriverError> {
        self.driver.remove(target, progress).await?;
        let id = target.id;
        reach(JobStep::Removed)?;
        let now = self.clock.now();
        self.write(move |ledger| ledger.removed(id, now)).await
    }

    /// Brings a placement back to what the ledger says of it now.
    pub(super) async fn repair(&self, id: PlacementId) -> Done {
        match caught(self.try_repair(id))
            .await
            .unwrap_or_else(|panic| Err(panicked(&panic)))
        {
            Ok(done) => done,
            Err(error) => {
                tracing::warn!(placement = %id, error = error.chain(), "a repair failed");
                Done::Failed
            }
        }
    }

    async fn try_repair(&self, id: PlacementId) -> Result<Done, DriverError> {
        let Some(entry) = self.ledger.get(id) else {
            return Ok(Done::Well);
        };
        let (progress, _) = Progress::new();
        let before = entry.observed().cloned();
        match entry.state {
            State::Accepted { placement } | State::Ensured { placement, .. } => {
                let generation = placement.generation;
                let observed = self.ensure_accepted(placement, &progress).await?;
                tracing::info!(placement = %id, kind = %entry.target.kind, "brought back");
                if before.as_ref() != Some(&observed) {
                    self.reports.changed(id, generation, observed);
                }
            }
            State::Removing => self.remove_accepted(&entry.target, &progress).await?,
            State::Removed { .. } => self.driver.remove(&entry.target, &progress).await?,
        }
        Ok(Done::Repaired)
    }

    /// Looks at a placement that has changed by itself.
    pub(super) async fn look(&self, id: PlacementId) -> Done {
        match caught(self.try_look(id))
            .await
            .unwrap_or_else(|panic| Err(panicked(&panic)))
        {
            Ok(done) => done,
            Err(error) => {
                tracing::warn!(placement = %id, error = error.chain(), "a placement cannot be looked at");
                Done::Failed
            }
        }
    }

    async fn try_look(&self, id: PlacementId) -> Result<Done, DriverError> {
        let Some(entry) = self.ledger.get(id) else {
            return Ok(Done::Well);
        };
        let State::Ensured {
            placement,
            observed: before,
        } = entry.state
        else {
            return Ok(Done::Well);
        };
        let observed = match self.driver.look(&placement).await? {
            Ok(observed) => observed,
            Err(Differs(what)) => {
                self.reports.differs(id, what);
                return Ok(Done::NotAsItShould);
            }
        };
        if observed != before {
            let (seen, now) = (observed.clone(), self.clock.now());
            let generation = placement.generation;
            self.write(move |ledger| ledger.ensured(id, generation, &seen, now))
                .await?;
            self.reports.changed(id, generation, observed);
        }
        Ok(Done::Well)
    }

    /// All on the host that carries our mark, for the core: it is said before what happens from now on.
    ///
    /// # Errors
    /// The driver's.
    pub async fn take_inventory(&self) -> Result<Taken, DriverError> {
        let held_back = self.reports.hold_back();
        let mut found = self.inventory().await?;
        for one in &mut found {
            shorten(&mut one.differs, LONGEST_DIFFERENCE);
        }
        Ok(Taken {
            found,
            _held_back: held_back,
        })
    }

    async fn inventory(&self) -> Result<Vec<Found>, DriverError> {
        let accepted = self.ledger.placements();
        caught(self.driver.inventory(&accepted))
            .await
            .unwrap_or_else(|panic| Err(panicked(&panic)))
    }

    pub(super) async fn differences(&self) -> Result<Differences, DriverError> {
        let found = self.inventory().await?;
        let mut differences = differences(&self.ledger.entries(), &found);
        for (id, what) in differences.known.drain(..) {
            self.reports.differs(id, what);
        }
        Ok(differences)
    }

    pub(super) async fn prune(&self) {
        let now = self.clock.now();
        if let Err(error) = self.write(move |ledger| ledger.prune(now)).await {
            tracing::warn!(error = error.chain(), "old entries stay in the ledger");
        }
    }

    /// The core has recorded a job's outcome, which the reports have let go.
    pub async fn recorded(&self, job: JobId, placement: PlacementId) {
        let written = self
            .write(move |ledger| {
                ledger.recorded(placement)?;
                ledger.end_action(job)
            })
            .await;
        if let Err(error) = written {
            tracing::warn!(%job, error = error.chain(), "an ended job stays in the ledger");
        }
    }

    /// Uses the ledger on a blocking thread.
    async fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Ledger) -> Result<T, LedgerError> + Send + 'static,
    ) -> Result<T, DriverError> {
        let ledger = Arc::clone(&self.ledger);
        let written = tokio::task::spawn_blocking(move || work(&ledger)).await;
        match written {
            Ok(written) => written.map_err(|error| match error {
                LedgerError::Older { .. } | LedgerError::Unknown { .. } => {
                    DriverError::permanent(error.to_string())
                }
                LedgerError::Folder { .. }
                | LedgerError::Write { .. }
                | LedgerError::Remove { .. } => DriverError::transient(chain(&error)),
            }),
            Err(error) => {
                Err(DriverError::transient("the ledger's thread failed").with_source(error))
            }
        }
    }
}

/// No more of a console than fits a message with room to spare.
fn bounded(action: Action) -> Action {
    match action {
        Action::Reboot => Action::Reboot,
        Action::ConsoleLog { bytes } => Action::ConsoleLog {
            bytes: bytes.min(LARGEST_LOG),
        },
    }
}

/// Whether it does no harm to do an action again.
fn repeatable(action: &Action) -> bool {
    match action {
        Action::Reboot => false,
        Action::ConsoleLog { .. } => true,
    }
}

fn interrupted() -> DriverError {
    DriverError::permanent(
        "it had begun when this component was stopped; whether it was done is not known",
    )
}

fn panicked(panic: &str) -> DriverError {
    DriverError::transient(format!("the driver panicked: {panic}"))
}

fn failed(error: &DriverError) -> Outcome {
    let mut message = error.chain();
    shorten(&mut message, LONGEST_MESSAGE);
    Outcome::Failed {
        kind: error.kind,
        message,
    }
}

/// Runs a future and turns its panic into the panic's text.
pub(super) async fn caught<T>(work: impl Future<Output = T>) -> Result<T, String> {
    AssertUnwindSafe(work)
        .catch_unwind()
        .await
        .map_err(|panic| text(panic.as_ref()))
}

fn text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "it did not say why".to_owned())
}
