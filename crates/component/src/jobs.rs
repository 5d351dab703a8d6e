//! The job loop: does what the core says, and keeps what the ledger says, with a core or without.
//!
//! One task owns the queue. What it does about a placement runs in a task of its own, one at a time
//! for each placement. A *round* compares an inventory with the ledger and brings back what differs, in
//! phases (networks and segments, then leases and peers, then instances): the first one at the start,
//! which is how everything comes up after a reboot; then one every minute, and one when the driver says that the host was disturbed. Between rounds, what the
//! driver says has changed is looked at at once. Repairs of one placement pause longer each time; one
//! that fails is shown to the core with another inventory, so that its people see it.
//!
//! A driver that wants a placement to be ensured again (an instance that its restart policy starts
//! again, say) shows it in the inventory with `observed: None`.
//!
//! Left out on purpose: how jobs come here and outcomes go ([`crate::session`], [`crate::reports`]).

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rhyzome_model::job::{FailureKind, Job, Outcome};
use rhyzome_model::placement::Found;
use rhyzome_model::{JobId, PlacementId};
use rhyzome_proto::session::JobOutcome;
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinHandle, JoinSet};

use crate::driver::{Driver, DriverError};
use crate::ledger::Ledger;
use crate::reports::Reports;

mod perform;
mod queue;
mod repair;

use perform::{Done, Performer};
use queue::{Put, Queue, Work};
use repair::{Differences, Pauses};

/// How the job loop behaves.
#[derive(Clone, Copy, Debug)]
pub struct JobsConfig {
    /// How many placements are worked on at once, at least 1.
    pub at_once: usize,
    /// From one round to the next.
    pub round: Duration,
}

impl Default for JobsConfig {
    fn default() -> Self {
        Self {
            at_once: 16,
            round: Duration::from_secs(60),
        }
    }
}

/// How long an inventory waits for the first round, which brings everything up.
const UP_WITHIN: Duration = Duration::from_secs(30);
/// How long a driver that panics while waiting for changes is left alone.
const PANIC_PAUSE: Duration = Duration::from_secs(5);

/// A running job loop.
#[derive(Debug)]
pub struct Jobs {
    commands: mpsc::UnboundedSender<Command>,
    performer: Performer,
    up: watch::Receiver<bool>,
    task: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Debug)]
enum Command {
    Job(Job),
    Stop { within: Duration },
}

impl Jobs {
    /// Begins with the first round.
    pub fn start(
        driver: Arc<dyn Driver>,
        ledger: Arc<Ledger>,
        reports: Arc<Reports>,
        config: JobsConfig,
    ) -> Self {
        let (commands, received) = mpsc::unbounded_channel();
        let (up_sender, up) = watch::channel(false);
        let performer = Performer {
            driver,
            ledger,
            reports,
        };
        let looping = Loop {
            performer: performer.clone(),
            queue: Queue::new(config.at_once.max(1)),
            fences: HashMap::new(),
            pauses: Pauses::default(),
            due: HashMap::new(),
            round: None,
            tasks: JoinSet::new(),
            up: up_sender,
        };
        let task = tokio::spawn(looping.run(received, config.round));
        Self {
            commands,
            performer,
            up,
            task: Mutex::new(Some(task)),
        }
    }

    /// Takes a job; what becomes of it is reported.
    pub fn put(&self, job: Job) {
        // Fails only when the loop was stopped: then the job's lease ends and it goes elsewhere in time.
        let _ = self.commands.send(Command::Job(job));
    }

    /// The core has recorded an outcome.
    pub fn recorded(&self, job: JobId, fence: u64) {
        if let Some(placement) = self.performer.reports.recorded(job, fence) {
            let ledger = Arc::clone(&self.performer.ledger);
            tokio::task::spawn_blocking(move || {
                let written = ledger
                    .recorded(placement)
                    .and_then(|()| ledger.end_action(job));
                if let Err(error) = written {
                    tracing::warn!(%job, error = chain(&error), "an ended job stays in the ledger");
                }
            });
        }
    }

    /// All on the host that carries our mark, looked at once everything has come up, or after 30 s.
    ///
    /// # Errors
    /// The driver's.
    pub async fn inventory(&self) -> Result<Vec<Found>, DriverError> {
        let mut up = self.up.clone();
        let _ = tokio::time::timeout(UP_WITHIN, up.wait_for(|up| *up)).await;
        self.performer.inventory().await
    }

    /// Begins nothing more and waits for what runs; what is not done within the time is abandoned,
    /// which every driver survives. What is on the host stays as it is.
    pub async fn stop(&self, within: Duration) {
        let task = self
            .task
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        // Fails only when the loop is over.
        let _ = self.commands.send(Command::Stop { within });
        if let Some(task) = task {
            // An error is a panic of the loop, which has been printed.
            let _ = task.await;
        }
    }
}

/// What the loop's tasks come back with.
enum Ended {
    Work {
        id: PlacementId,
        job: Option<JobId>,
        done: Done,
    },
    Round(Result<Differences, DriverError>),
}

struct Loop {
    performer: Performer,
    queue: Queue,
    /// The newest fence of each running job.
    fences: HashMap<JobId, Arc<AtomicU64>>,
    pauses: Pauses,
    /// Repairs that wait for their pause to end.
    due: HashMap<PlacementId, Instant>,
    round: Option<Round>,
    tasks: JoinSet<Ended>,
    up: watch::Sender<bool>,
}

/// A round under way.
#[derive(Default)]
struct Round {
    phases: VecDeque<Vec<PlacementId>>,
    /// What of the current phase has not ended.
    current: HashSet<PlacementId>,
}

impl Loop {
    async fn run(mut self, mut commands: mpsc::UnboundedReceiver<Command>, round: Duration) {
        let (changed, mut changes) = mpsc::channel(64);
        let watching = tokio::spawn(watch_changes(Arc::clone(&self.performer.driver), changed));
        let (disturbed, mut disturbances) = mpsc::channel(1);
        let alert = tokio::spawn(watch_host(Arc::clone(&self.performer.driver), disturbed));
        let mut rounds = tokio::time::interval(round);
        rounds.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let within = loop {
            self.start_work();
            tokio::select! {
                command = commands.recv() => match command {
                    Some(Command::Job(job)) => self.take(job),
                    Some(Command::Stop { within }) => break within,
                    None => break Duration::ZERO,
                },
                Some(ended) = self.tasks.join_next() => self.ended(ended),
                Some(id) = changes.recv() => self.look(id),
                () = until(self.due.values().min().copied()) => self.put_due(),
                // One that is under way may have looked before it happened.
                Some(()) = disturbances.recv(), if self.round.is_none() => self.begin_round(),
                _ = rounds.tick() => self.begin_round(),
            }
        };
        watching.abort();
        alert.abort();
        self.wind_up(within).await;
    }

    fn take(&mut self, job: Job) {
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

    fn look(&mut self, id: PlacementId) {
        if self.performer.ledger.get(id).is_some() {
            self.queue.put(Work::Look(id));
        }
    }

    fn start_work(&mut self) {
        while let Some((id, work)) = self.queue.start() {
            let performer = self.performer.clone();
            if let Work::Job(job) = work {
                let fence = Arc::new(AtomicU64::new(job.fence));
                self.fences.insert(job.id, Arc::clone(&fence));
                self.tasks.spawn(async move {
                    let job_id = job.id;
                    let done = performer.job(*job, fence).await;
                    Ended::Work {
                        id,
                        job: Some(job_id),
                        done,
                    }
                });
            } else {
                let repair = matches!(work, Work::Repair(_));
                self.tasks.spawn(async move {
                    let done = if repair {
                        performer.repair(id).await
                    } else {
                        performer.look(id).await
                    };
                    Ended::Work {
                        id,
                        job: None,
                        done,
                    }
                });
            }
        }
    }

    fn ended(&mut self, ended: Result<Ended, tokio::task::JoinError>) {
        match ended {
            Ok(Ended::Work { id, job, done }) => {
                if let Some(job) = job {
                    self.fences.remove(&job);
                }
                self.queue.finished(id);
                self.after(id, job.is_some(), done);
                self.advance_round(id);
            }
            Ok(Ended::Round(Ok(differences))) => self.set_round(differences),
            Ok(Ended::Round(Err(error))) => {
                tracing::warn!(error = error.chain(), "the host could not be looked at");
                self.round = None;
                self.up.send_replace(true);
            }
            // Panics of drivers are caught where they happen.
            Err(error) => tracing::error!(%error, "a task of the job loop failed"),
        }
    }

    fn after(&mut self, id: PlacementId, was_job: bool, done: Done) {
        let now = Instant::now();
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

    fn put_due(&mut self) {
        let now = Instant::now();
        let ids: Vec<_> = self
            .due
            .iter()
            .filter(|(_, at)| **at <= now)
            .map(|(id, _)| *id)
            .collect();
        for id in ids {
            self.due.remove(&id);
            self.queue.put(Work::Repair(id));
        }
    }

    fn begin_round(&mut self) {
        if self.round.is_some() {
            return;
        }
        self.round = Some(Round::default());
        let performer = self.performer.clone();
        self.tasks.spawn(async move {
            performer.prune().await;
            Ended::Round(performer.differences().await)
        });
    }

    fn set_round(&mut self, differences: Differences) {
        for (id, _, _) in &differences.changed {
            self.queue.put(Work::Look(*id));
        }
        let phases = differences.repair.into_iter().collect();
        self.round = Some(Round {
            phases,
            current: HashSet::new(),
        });
        self.next_phase();
    }

    fn advance_round(&mut self, ended: PlacementId) {
        if let Some(round) = &mut self.round
            && round.current.remove(&ended)
            && round.current.is_empty()
        {
            self.next_phase();
        }
    }

    /// Begins the next phase that has something to do; after the last one the round is over.
    fn next_phase(&mut self) {
        let now = Instant::now();
        while let Some(phase) = self
            .round
            .as_mut()
            .and_then(|round| round.phases.pop_front())
        {
            let mut begins = HashSet::new();
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
        self.up.send_replace(true);
    }

    async fn wind_up(mut self, within: Duration) {
        let running = self.queue.running();
        let finish = async {
            while let Some(ended) = self.tasks.join_next().await {
                if let Err(error) = ended {
                    tracing::error!(%error, "a task of the job loop failed");
                }
            }
        };
        if tokio::time::timeout(within, finish).await.is_err() {
            tracing::warn!(
                running,
                "what was being done is abandoned, to be done again at the next start"
            );
        }
        self.tasks.shutdown().await;
    }
}

async fn until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}

/// Waits for changes in a task of its own, so that the driver's future is never dropped half-way.
async fn watch_changes(driver: Arc<dyn Driver>, changed: mpsc::Sender<PlacementId>) {
    loop {
        match perform::caught(driver.changed()).await {
            Ok(target) => {
                if changed.send(target.id).await.is_err() {
                    return;
                }
            }
            Err(panic) => {
                tracing::error!(panic, "the driver panicked while waiting for changes");
                tokio::time::sleep(PANIC_PAUSE).await;
            }
        }
    }
}

/// The same for what may concern all of them.
async fn watch_host(driver: Arc<dyn Driver>, disturbed: mpsc::Sender<()>) {
    loop {
        match perform::caught(driver.disturbed()).await {
            Ok(()) => {
                tracing::warn!("the host was disturbed; all that should be there is looked at");
                if disturbed.send(()).await.is_err() {
                    return;
                }
            }
            Err(panic) => {
                tracing::error!(panic, "the driver panicked while watching the host");
                tokio::time::sleep(PANIC_PAUSE).await;
            }
        }
    }
}

/// An error's sentence with those of all its sources.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}

#[cfg(test)]
mod tests;
