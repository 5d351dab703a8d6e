//! Carrying the core's orders out, while the component runs; and seeing a trial to its end.
//!
//! ```text
//!   order ──► fetched ──► checked ──► written down: on trial ──► the component ends, and starts as that
//!   on trial ──► welcomed, its inventory taken ──► written down: the current one
//!        └───── its time over ─────► written down: given up ──► the component ends, and starts as before
//! ```
//!
//! One task does it, one order at a time; the newest one counts. What was told once may be told again: an
//! order that has ended is answered with how it did.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use nix::unistd::alarm;
use rhyzome_model::instance::BlobPin;
use rhyzome_model::job::FailureKind;
use rhyzome_model::upgrade::{Program, UpgradeOrder, UpgradePhase, UpgradeReport, UpgradeTo};
use rhyzome_model::{Digest, Size};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::candidate;
use super::folder::{Folder, FolderError};
use super::launch::{Launched, moment};
use super::record::{Record, Trial, Which};
use crate::driver::{Blobs, DriverError, Progress, reach};
use crate::jobs::chain;
use crate::reports::Reports;
use crate::room::{Room, rounded};
use crate::session::Pause;
use crate::step::UpgradeStep;

/// How often it is told how much of a program has come.
const TELL: Duration = Duration::from_millis(500);
/// So many tries to fetch a program, and the order has failed.
const FETCHES: u32 = 6;
/// How soon what could not be written down is tried again.
const AGAIN: Duration = Duration::from_secs(1);
/// In how many seconds the component is ended that should have ended by itself. Running jobs may go on for 20.
const LEAVE_WITHIN: u32 = 60;
/// What is to be left free on the disk beside a program.
const SPARE: u64 = 1 << 20;

/// A component's side of upgrades.
#[derive(Debug)]
pub struct Upgrader {
    launched: Launched,
    record: Mutex<Record>,
    order: watch::Sender<Option<UpgradeOrder>>,
    /// The core has taken all that the program on trial had to say at first.
    settled: CancellationToken,
    /// Why there is no session, as it was last told.
    trouble: Mutex<Option<String>>,
    leaves: AtomicBool,
}

/// Why an order came to nothing.
#[derive(Debug, thiserror::Error)]
enum OrderError {
    #[error("there is no program to go back to")]
    NoPrevious,
    #[error(
        "there is no room for a program of {wanted}: the disk of {path} has {free} free: make room there"
    )]
    Room {
        wanted: Size,
        free: Size,
        path: String,
    },
    #[error("it was not fetched: {}", .0.chain())]
    Fetch(DriverError),
    #[error("{0}")]
    Unfit(#[from] candidate::Unfit),
    #[error("{}", chain(.0))]
    Folder(#[from] FolderError),
    #[error("it was not looked at to the end")]
    Unchecked(#[from] tokio::task::JoinError),
    /// In a test.
    #[error("{}", .0.chain())]
    Injected(DriverError),
}

impl Upgrader {
    pub fn new(launched: Launched) -> Self {
        Self {
            record: Mutex::new(launched.record.clone()),
            launched,
            order: watch::Sender::new(None),
            settled: CancellationToken::new(),
            trouble: Mutex::default(),
            leaves: AtomicBool::new(false),
        }
    }

    /// What the core is told of the program at the beginning of a session.
    pub fn program(&self) -> Program {
        let record = self.lock();
        Program {
            digest: record.digest(self.launched.running),
            machine: self.launched.machine.to_string(),
            previous: record.previous.map(|which| record.digest(which)),
        }
    }

    /// How far the latest order is that this program knows of.
    pub fn latest(&self) -> Option<UpgradeReport> {
        let record = self.lock();
        if let Some(trial) = &record.trial {
            return Some(report(trial.id, UpgradePhase::Trying));
        }
        let last = record.last.as_ref()?;
        Some(match &last.failed {
            None => report(last.id, UpgradePhase::Done),
            Some(why) => failed(last.id, why.clone()),
        })
    }

    /// Takes an order, which may have come before.
    pub fn order(&self, order: UpgradeOrder) {
        self.order.send_if_modified(|before| {
            let new = *before != Some(order);
            *before = Some(order);
            new
        });
    }

    /// The core has heard this program say how far the order is: and all that was said before.
    pub fn noted(&self, id: Uuid) {
        if self
            .launched
            .trial
            .as_ref()
            .is_some_and(|trial| trial.id == id)
        {
            self.settled.cancel();
        }
    }

    /// Why there is no session.
    pub fn note_trouble(&self, why: &str) {
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = Some(why.to_owned());
    }

    /// There is a session.
    pub fn welcomed(&self) {
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// What the program on trial has to say once the core has its inventory, to hear that it was taken.
    pub fn on_trial(&self) -> Option<UpgradeReport> {
        let trial = self.launched.trial.as_ref()?;
        (!self.settled.is_cancelled()).then(|| report(trial.id, UpgradePhase::Trying))
    }

    /// Whether the component ends in order to start as another program.
    pub fn leaves(&self) -> bool {
        self.leaves.load(Ordering::Acquire)
    }

    /// Sees a trial to its end, and carries orders out, for ever; `leave` is cancelled where the component is to
    /// end, and start as another program.
    pub(crate) async fn run(
        &self,
        blobs: Arc<dyn Blobs>,
        reports: Arc<Reports>,
        leave: CancellationToken,
    ) {
        if let Some(trial) = &self.launched.trial {
            self.see_through(trial, &reports, &leave).await;
            if self.leaves() {
                return;
            }
        }
        let mut orders = self.order.subscribe();
        orders.mark_changed();
        while orders.changed().await.is_ok() {
            let Some(order) = *orders.borrow_and_update() else {
                continue;
            };
            if let Some(latest) = self.latest().filter(|latest| latest.id == order.id) {
                reports.upgrade(latest);
                continue;
            }
            let carried_out = tokio::select! {
                carried_out = self.carry_out(order, &*blobs, &reports) => carried_out,
                // What was begun is swept before the next one, or at the next start.
                _ = orders.changed() => {
                    orders.mark_changed();
                    continue;
                }
            };
            match carried_out {
                Ok(Carried::There) => reports.upgrade(report(order.id, UpgradePhase::Done)),
                Ok(Carried::OnTrial) => {
                    reports.upgrade(report(order.id, UpgradePhase::Trying));
                    self.leave(&leave);
                    return;
                }
                Err(error) => {
                    let why = error.to_string();
                    tracing::warn!(why, "an upgrade came to nothing");
                    if let Err(error) = self.note(|record| record.refuse(order.id, why.clone())) {
                        // The core has it noted at least.
                        tracing::error!(
                            error = chain(&error),
                            "how an upgrade ended is not written down"
                        );
                    }
                    self.sweep();
                    reports.upgrade(failed(order.id, why));
                }
            }
        }
    }

    fn leave(&self, leave: &CancellationToken) {
        // A test may hold it there.
        let _held = rhyzome_fault::reach(UpgradeStep::Leave);
        alarm::set(LEAVE_WITHIN);
        self.leaves.store(true, Ordering::Release);
        leave.cancel();
    }

    /// Waits for a session of this program, which is on trial, and notes what comes of it.
    async fn see_through(&self, trial: &Trial, reports: &Reports, leave: &CancellationToken) {
        let left = moment().map_or(Duration::ZERO, |now| trial.left(&now));
        tracing::info!(
            seconds = left.as_secs(),
            "this program is tried, and needs a session within its time"
        );
        let settled = async {
            self.settled.cancelled().await;
            while let Err(error) = self.settle() {
                tracing::error!(error = chain(&error), "the upgrade is not written down yet");
                tokio::time::sleep(AGAIN).await;
            }
        };
        if tokio::time::timeout(left, settled).await.is_ok() {
            alarm::cancel();
            tracing::info!("this program is the component's from now on");
            self.sweep();
            reports.upgrade(report(trial.id, UpgradePhase::Done));
            return;
        }
        let trouble = self
            .trouble
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let trouble = trouble.unwrap_or_else(|| {
            "there was one, in which the core got no inventory of the host; the component's log says why"
                .to_owned()
        });
        let why = format!(
            "it had no settled session with the core within {} s: {trouble}",
            trial.within
        );
        tracing::error!(why, "this program is given up");
        if let Err(error) = self.give_up(&why) {
            // Its time is over, which the installed one sees too.
            tracing::error!(
                error = chain(&error),
                "that it is given up is not written down"
            );
        }
        self.leave(leave);
    }

    fn settle(&self) -> Result<(), NoteError> {
        rhyzome_fault::reach(UpgradeStep::Settle)?;
        Ok(self.note(Record::settle)?)
    }

    fn give_up(&self, why: &str) -> Result<(), NoteError> {
        rhyzome_fault::reach(UpgradeStep::GiveUp)?;
        Ok(self.note(|record| record.fail(why))?)
    }

    fn sweep(&self) {
        let _held = rhyzome_fault::reach(UpgradeStep::Sweep);
        let record = self.lock().clone();
        if let Err(error) = self.folder().sweep(&record) {
            tracing::warn!(error = chain(&error), "a program is left over");
        }
    }

    async fn carry_out(
        &self,
        order: UpgradeOrder,
        blobs: &dyn Blobs,
        reports: &Reports,
    ) -> Result<Carried, OrderError> {
        self.sweep();
        let which = match order.to {
            UpgradeTo::Previous => self.lock().previous.ok_or(OrderError::NoPrevious)?,
            UpgradeTo::Program { digest, .. } => self.lock().which(digest),
        };
        if which == self.launched.running {
            self.note(|record| {
                record.try_out(order.id, which, order.within);
                record.settle();
            })?;
            return Ok(Carried::There);
        }
        if let Which::Sent(digest) = which {
            let path = self.folder().program(digest);
            if let UpgradeTo::Program { size, .. } = order.to
                && !path.exists()
            {
                self.make_room(size)?;
                let blob = BlobPin { digest, size };
                self.fetch(blob, order.id, blobs, reports).await?;
            }
            reach(UpgradeStep::Check).map_err(OrderError::Injected)?;
            reports.upgrade(report(order.id, UpgradePhase::Checking));
            self.check(digest).await?;
        }
        reach(UpgradeStep::Try).map_err(OrderError::Injected)?;
        self.note(|record| record.try_out(order.id, which, order.within))?;
        Ok(Carried::OnTrial)
    }

    /// Makes sure that a program fits: where there is no other way, without the one that could be gone back to.
    fn make_room(&self, size: Size) -> Result<(), OrderError> {
        self.folder().make()?;
        let path = self.folder().path().display().to_string();
        let wanted = size.as_bytes().saturating_add(SPARE);
        let free = || Room::at(self.folder().path()).map_or(u64::MAX, |room| room.free);
        let previous = self.lock().previous;
        if free() < wanted
            && let Some(Which::Sent(previous)) = previous
        {
            tracing::warn!("there is no room for three programs: the one from before goes");
            self.note(|record| record.previous = None)?;
            tracing::debug!(digest = %previous, "removed");
            self.sweep();
        }
        match free() {
            free if free < wanted => Err(OrderError::Room {
                wanted: rounded(size.as_bytes()),
                free: rounded(free),
                path,
            }),
            _ => Ok(()),
        }
    }

    /// Fetches a program, in several tries where the core is away meanwhile.
    async fn fetch(
        &self,
        blob: BlobPin,
        id: Uuid,
        blobs: &dyn Blobs,
        reports: &Reports,
    ) -> Result<(), OrderError> {
        let mut pause = Pause::new(Duration::from_millis(500), Duration::from_secs(30));
        let mut tries = 0;
        loop {
            tries += 1;
            let fetched = match reach(UpgradeStep::Fetch) {
                Ok(()) => self.fetch_once(blob, id, blobs, reports).await,
                Err(injected) => Err(injected),
            };
            match fetched {
                Ok(()) => return Ok(()),
                Err(error) if error.kind == FailureKind::Transient && tries < FETCHES => {
                    tracing::warn!(
                        error = error.chain(),
                        "a program was not fetched; trying again"
                    );
                    tokio::time::sleep(pause.next()).await;
                }
                Err(error) => return Err(OrderError::Fetch(error)),
            }
        }
    }

    async fn fetch_once(
        &self,
        blob: BlobPin,
        id: Uuid,
        blobs: &dyn Blobs,
        reports: &Reports,
    ) -> Result<(), DriverError> {
        let (progress, step) = Progress::new();
        let fetching = blobs.fetch(blob, self.folder().program(blob.digest), &progress);
        tokio::pin!(fetching);
        let mut ticks = tokio::time::interval(TELL);
        loop {
            tokio::select! {
                fetched = &mut fetching => return fetched,
                _ = ticks.tick() => {
                    let amount = step.borrow().amount;
                    reports.upgrade(UpgradeReport {
                        amount,
                        ..report(id, UpgradePhase::Fetching)
                    });
                }
            }
        }
    }

    /// Makes sure that a file is this component's program, and can be run.
    async fn check(&self, digest: Digest) -> Result<(), OrderError> {
        let folder = self.folder().clone();
        let (machine, name) = (self.launched.machine, self.launched.name);
        let checked = tokio::task::spawn_blocking(move || {
            folder.make_executable(digest)?;
            candidate::verify(&folder.program(digest), digest, machine, name)?;
            Ok::<_, OrderError>(())
        });
        checked.await?
    }

    /// Changes the record, on the disk first.
    fn note(&self, change: impl FnOnce(&mut Record)) -> Result<(), FolderError> {
        let mut record = self.lock();
        let mut changed = record.clone();
        change(&mut changed);
        self.folder().save(&changed)?;
        *record = changed;
        Ok(())
    }

    fn folder(&self) -> &Folder {
        &self.launched.folder
    }

    fn lock(&self) -> MutexGuard<'_, Record> {
        // It is only ever replaced whole.
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What an order came to.
enum Carried {
    /// That program runs already.
    There,
    OnTrial,
}

#[derive(Debug, thiserror::Error)]
enum NoteError {
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// In a test.
    #[error("{0}")]
    Injected(#[from] rhyzome_fault::Injected),
}

fn report(id: Uuid, phase: UpgradePhase) -> UpgradeReport {
    UpgradeReport {
        id,
        phase,
        reason: String::new(),
        amount: None,
    }
}

fn failed(id: Uuid, reason: String) -> UpgradeReport {
    UpgradeReport {
        reason,
        ..report(id, UpgradePhase::Failed)
    }
}

#[cfg(test)]
mod tests;
