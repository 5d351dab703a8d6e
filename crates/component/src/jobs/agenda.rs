//! What is to be done next, and what follows from what was done: decisions alone. Time is an argument,
//! and the futures that it gives out are run by whoever asks for them, in whatever order.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use futures::future::BoxFuture;
use rhyzome_model::job::{FailureKind, Job, Outcome};
use rhyzome_model::{JobId, PlacementId};
use rhyzome_proto::session::JobOutcome;

use super::perform::{Done, Performer};
use super::queue::{Put, Queue, Work};
use super::repair::{Differences, Pauses};
use crate::driver::DriverError;

/// What a piece of work comes back with, for [`Agenda::ended`].
#[derive(Debug)]
pub struct Ended(What);

#[derive(Debug)]
enum What {
    Work {
        id: PlacementId,
        job: Option<JobId>,
        done: Done,
    },
    Round(Result<Differences, DriverError>),
}

/// Work that has begun.
pub type Running = BoxFuture<'static, Ended>;

/// What a component has to do.
#[derive(Debug)]
pub struct Agenda {
    performer: Performer,
    queue: Queue,
    /// The newest fence of each running job.
    fences: HashMap<JobId, Arc<AtomicU64>>,
    pauses: Pauses,
    /// Repairs that wait for their pause to end.
    due: BTreeMap<PlacementId, Instant>,
    round: Option<Round>,
    /// Whether a round is over: everything has come up.
    up: bool,
}

/// A round under way.
#[derive(Debug, Default)]
struct Round {
    phases: VecDeque<Vec<PlacementId>>,
    /// What of the current phase has not ended.
    current: BTreeSet<PlacementId>,
}

impl Agenda {
    /// Nothing to do yet; so many placements are worked on at once, at least one.
    pub fn new(performer: Performer, at_once: usize) -> Self {
        Self {
            performer,
            queue: Queue::new(at_once.max(1)),
            fences: HashMap::new(),
            pauses: Pauses::default(),
            due: BTreeMap::new(),
            round: None,
            up: false,
        }
    }

    /// Whether everything has come up once, as far as it could.
    pub fn is_up(&self) -> bool {
        self.up
    }

    /// How many pieces of work run.
    pub fn running(&self) -> usize {
        self.queue.running()
    }

    /// Whether a round is under way.
    pub fn in_round(&self) -> bool {
        self.round.is_some()
    }

    /// When the next repair has paused for long enough.
    pub fn next_due(&self) -> Option<Instant> {
        self.due.values().min().copied()
    }

    /// Takes a job that the core said.
    pub fn take(&mut self, job: Job) {
        if self.performer.reports.answer_again(job.id, job.fence) {
            return;
        }
        let id = job.task.target().id;
        let fence = job.fence;
        let job_id = job.id;
        self.pauses.forget(id);
        self.due.remove(&id);
        match self.queue.put_job(job) {
            Put::Waits => {}
            Put::Runs => {
                if let Some(running) = self.fences.get(&job_id) {
                    running.fetch_max(fence, Ordering::Relaxed);
                }
            }
            Put::Replaces(jobs) => jobs.iter().for_each(|job| self.report_replaced(job)),
            Put::Late(job) => self.report_replaced(&job),
        }
    }

    fn report_replaced(&self, job: &Job) {
        let outcome = Outcome::Failed {
            kind: FailureKind::Permanent,
            message: "a newer generation came before this one began".to_owned(),
        };
        let outcome = JobOutcome {
            job: job.id,
            fence: job.fence,
            outcome,
        };
        self.performer
            .reports
            .outcome(job.task.target().id, outcome);
    }

    /// The driver says that a placement has changed.
    pub fn look(&mut self, id: PlacementId) {
        if self.performer.ledger.get(id).is_some() {
            self.queue.put(Work::Look(id));
        }
    }

    /// Begins the next piece of work that may begin.
    pub fn start(&mut self) -> Option<Running> {
        let (id, work) = self.queue.start()?;
        let performer = self.performer.clone();
        if let Work::Job(job) = work {
            let fence = Arc::new(AtomicU64::new(job.fence));
            self.fences.insert(job.id, Arc::clone(&fence));
            return Some(Box::pin(async move {
                let job_id = job.id;
                let done = performer.job(*job, fence).await;
                let job = Some(job_id);
                Ended(What::Work { id, job, done })
            }));
        }
        let repair = matches!(work, Work::Repair(_));
        Some(Box::pin(async move {
            let done = if repair {
                performer.repair(id).await
            } else {
                performer.look(id).await
            };
            let job = None;
            Ended(What::Work { id, job, done })
        }))
    }

    /// Begins to compare the host with the ledger, unless that is under way.
    pub fn begin_round(&mut self) -> Option<Running> {
        if self.round.is_some() {
            return None;
        }
        self.round = Some(Round::default());
        let performer = self.performer.clone();
        Some(Box::pin(async move {
            performer.prune().await;
            Ended(What::Round(performer.differences().await))
        }))
    }

    /// Some work has ended.
    pub fn ended(&mut self, ended: Ended, now: Instant) {
        match ended.0 {
            What::Work { id, job, done } => {
                if let Some(job) = job {
                    self.fences.remove(&job);
                }
                self.queue.finished(id);
                self.after(id, job.is_some(), done, now);
                self.advance_round(id, now);
            }
            What::Round(Ok(differences)) => self.set_round(differences, now),
            What::Round(Err(error)) => {
                tracing::warn!(error = error.chain(), "the host could not be looked at");
                self.round = None;
                self.up = true;
            }
        }
    }

    fn after(&mut self, id: PlacementId, was_job: bool, done: Done, now: Instant) {
        match done {
            Done::Well => {}
            Done::Repaired => self.pauses.tried(id, now),
            Done::NotAsItShould => {
                self.due.insert(id, self.pauses.next(id, now));
            }
            Done::Failed => {
                self.pauses.tried(id, now);
                // A job is tried again by the core.
                if !was_job {
                    self.performer.reports.want_inventory();
                    self.due.insert(id, self.pauses.next(id, now));
                }
            }
        }
    }

    /// Wants the repairs whose pause is over.
    pub fn put_due(&mut self, now: Instant) {
        let over = self.due.iter().filter(|(_, at)| **at <= now);
        let ids: Vec<_> = over.map(|(id, _)| *id).collect();
        for id in ids {
            self.due.remove(&id);
            self.queue.put(Work::Repair(id));
        }
    }

    fn set_round(&mut self, differences: Differences, now: Instant) {
        for (id, _, _) in &differences.changed {
            self.queue.put(Work::Look(*id));
        }
        let phases = differences.repair.into_iter().collect();
        self.round = Some(Round {
            phases,
            current: BTreeSet::new(),
        });
        self.next_phase(now);
    }

    fn advance_round(&mut self, ended: PlacementId, now: Instant) {
        if let Some(round) = &mut self.round
            && round.current.remove(&ended)
            && round.current.is_empty()
        {
            self.next_phase(now);
        }
    }

    /// Begins the next phase that has something to do; after the last one the round is over.
    fn next_phase(&mut self, now: Instant) {
        while let Some(phase) = self
            .round
            .as_mut()
            .and_then(|round| round.phases.pop_front())
        {
            let mut begins = BTreeSet::new();
            for id in phase.into_iter().filter(|id| self.queue.idle(*id)) {
                let at = self.pauses.next(id, now);
                if at <= now {
                    begins.insert(id);
                } else {
                    // Not left to the next round, which is far.
                    self.due.entry(id).or_insert(at);
                }
            }
            for id in &begins {
                self.due.remove(id);
                self.queue.put(Work::Repair(*id));
            }
            if !begins.is_empty() {
                self.round.as_mut().expect("it gave the phase").current = begins;
                return;
            }
        }
        self.round = None;
        self.up = true;
    }
}
