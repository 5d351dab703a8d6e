//! The job loop: does what the core says, and keeps what the ledger says, with a core or without.
//!
//! One task owns the [`Agenda`], which decides. What it does about a placement runs in a task of its own, one at a time
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

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rhyzome_model::job::Job;
use rhyzome_model::{JobId, PlacementId};
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinHandle, JoinSet};

use crate::clock::Clock;
use crate::driver::{Driver, DriverError};
use crate::ledger::Ledger;
use crate::reports::Reports;

mod agenda;
mod perform;
mod queue;
mod repair;

pub use agenda::{Agenda, Ended, Running};
pub use perform::{Performer, Taken};

/// How the job loop behaves.
#[derive(Clone, Copy, Debug)]
pub struct JobsConfig {
    /// How many placements are worked on at once, at least 1.
    pub at_once: usize,
    /// From one round to the next.
    pub round: Duration,
}

impl JobsConfig {
    /// As many placements are worked on at once where nothing else is said.
    pub const AT_ONCE: usize = 16;
}

impl Default for JobsConfig {
    fn default() -> Self {
        Self {
            at_once: Self::AT_ONCE,
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
    at_once: usize,
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
            driver: Arc::clone(&driver),
            ledger,
            reports,
            clock: Clock::default(),
        };
        let looping = Loop {
            agenda: Agenda::new(performer.clone(), config.at_once),
            driver,
            tasks: JoinSet::new(),
            up: up_sender,
        };
        let task = tokio::spawn(looping.run(received, config.round));
        Self {
            commands,
            performer,
            at_once: config.at_once,
            up,
            task: Mutex::new(Some(task)),
        }
    }

    /// How many placements are worked on at once.
    pub fn at_once(&self) -> usize {
        self.at_once
    }

    /// Takes a job; what becomes of it is reported.
    pub fn put(&self, job: Job) {
        // Fails only when the loop was stopped: then the job's lease ends and it goes elsewhere in time.
        let _ = self.commands.send(Command::Job(job));
    }

    /// The core has recorded an outcome.
    pub fn recorded(&self, job: JobId, fence: u64) {
        if let Some(placement) = self.performer.reports.recorded(job, fence) {
            let performer = self.performer.clone();
            tokio::spawn(async move { performer.recorded(job, placement).await });
        }
    }

    /// All on the host that carries our mark, looked at once everything has come up, or after 30 s. It is
    /// said before what happens from now on.
    ///
    /// # Errors
    /// The driver's.
    pub async fn inventory(&self) -> Result<Taken, DriverError> {
        let mut up = self.up.clone();
        let _ = tokio::time::timeout(UP_WITHIN, up.wait_for(|up| *up)).await;
        self.performer.take_inventory().await
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

struct Loop {
    agenda: Agenda,
    driver: Arc<dyn Driver>,
    tasks: JoinSet<Ended>,
    up: watch::Sender<bool>,
}

impl Loop {
    async fn run(mut self, mut commands: mpsc::UnboundedReceiver<Command>, round: Duration) {
        let (changed, mut changes) = mpsc::channel(64);
        let watching = tokio::spawn(watch_changes(Arc::clone(&self.driver), changed));
        let (disturbed, mut disturbances) = mpsc::channel(1);
        let alert = tokio::spawn(watch_host(Arc::clone(&self.driver), disturbed));
        let mut rounds = tokio::time::interval(round);
        rounds.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let within = loop {
            while let Some(work) = self.agenda.start() {
                self.tasks.spawn(work);
            }
            self.up.send_if_modified(|up| {
                let before = std::mem::replace(up, self.agenda.is_up());
                before != *up
            });
            tokio::select! {
                command = commands.recv() => match command {
                    Some(Command::Job(job)) => self.agenda.take(job),
                    Some(Command::Stop { within }) => break within,
                    None => break Duration::ZERO,
                },
                Some(ended) = self.tasks.join_next() => match ended {
                    Ok(ended) => self.agenda.ended(ended, Instant::now()),
                    // Panics of drivers are caught where they happen.
                    Err(error) => tracing::error!(%error, "a task of the job loop failed"),
                },
                Some(id) = changes.recv() => self.agenda.look(id),
                () = until(self.agenda.next_due()) => self.agenda.put_due(Instant::now()),
                // One that is under way may have looked before it happened.
                Some(()) = disturbances.recv(), if !self.agenda.in_round() => self.begin_round(),
                _ = rounds.tick() => self.begin_round(),
            }
        };
        watching.abort();
        alert.abort();
        self.wind_up(within).await;
    }

    fn begin_round(&mut self) {
        if let Some(work) = self.agenda.begin_round() {
            self.tasks.spawn(work);
        }
    }

    async fn wind_up(mut self, within: Duration) {
        let running = self.agenda.running();
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
