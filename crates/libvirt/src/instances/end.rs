//! Accounting for a guest that is gone though nobody asked: how it ended, and what follows.

use std::time::Duration;

use rhyzome_component::{DriverError, Progress};
use rhyzome_model::instance::Power;

use super::{Instances, Slot, lock, now};
use crate::ending::Outcome;
use crate::record::{Phase, Record};
use crate::{console, ending, restart};

/// How much of the console is read for its last lines.
const LAST: usize = 16 << 10;
/// How long libvirt's event of a guest's end may take after the guest is gone.
const EVENT: Duration = Duration::from_secs(3);

/// After so long without a word a guest's last words are looked into.
const SILENCE: Duration = Duration::from_secs(5);

impl Slot {
    /// Whether a running guest has been silent for a while, and nobody looked into this silence yet.
    pub(super) fn is_newly_silent(&self) -> bool {
        let phase = lock(&self.record).as_ref().map(|record| record.phase);
        let recorder = lock(&self.recorder).clone();
        let Some(heard) = recorder
            .filter(|_| phase == Some(Phase::Running))
            .map(|recorder| recorder.heard())
            .filter(|heard| heard.last.elapsed() >= SILENCE)
        else {
            return false;
        };
        // One more than was heard, so that the silence at the very beginning counts too.
        std::mem::replace(&mut *lock(&self.silence), heard.amount + 1) != heard.amount + 1
    }
}

impl Instances {
    /// Ends a guest that has crashed without an end: its last words say that it halts, or it resets the
    /// machine for ever. The caller has its lock.
    pub(super) async fn end_if_crashed(&self, slot: &Slot) -> Result<(), DriverError> {
        let Some(record) = slot
            .record()
            .filter(|record| record.phase == Phase::Running)
        else {
            return Ok(());
        };
        let resets = lock(&slot.signs).reset_loop();
        let why = match resets {
            Some(why) => Some(why),
            None => {
                let tail = slot.record_console()?.tail(LAST).await.unwrap_or_default();
                let lines = console::lines(console::last_boot(&tail));
                ending::halted(&record.wanted.image.format, &lines)
            }
        };
        let Some(why) = why else {
            return Ok(());
        };
        lock(&slot.signs).ended_here = Some(why);
        self.force(slot).await?;
        let record = self.account(slot, record).await?;
        let _ = self.changes.send(record.reference());
        Ok(())
    }

    /// Looks at an instance that nobody works on, and does what follows from what happened by itself:
    /// accounts for its end, or starts it again when its pause is over. The caller has its lock.
    pub(super) async fn look_after(&self, slot: &Slot) -> Result<(), DriverError> {
        let Some(record) = slot.record() else {
            return Ok(());
        };
        if self.has_ended(slot, &record).await? {
            let record = self.account(slot, record).await?;
            let _ = self.changes.send(record.reference());
            return Ok(());
        }
        let due = matches!(record.phase, Phase::Waiting { until, .. } if until <= now());
        if due && record.wanted.power == Power::Running {
            self.start_again(slot, record).await?;
        }
        Ok(())
    }

    /// Whether the guest is gone though nobody asked. One that went with the host's last boot did not
    /// end by itself.
    pub(super) async fn has_ended(
        &self,
        slot: &Slot,
        record: &Record,
    ) -> Result<bool, DriverError> {
        let boot = record.started.as_ref().map(|started| &started.boot);
        Ok(record.phase == Phase::Running
            && boot == Some(&self.boot)
            && self.domain(slot).await?.is_none())
    }

    /// Writes down how a guest ended, and whether it is started again.
    pub(super) async fn account(
        &self,
        slot: &Slot,
        mut record: Record,
    ) -> Result<Record, DriverError> {
        self.wait_for_event(slot).await;
        let signs = lock(&slot.signs).clone();
        let recorder = slot.record_console()?;
        let tail = recorder.tail(LAST).await.unwrap_or_default();
        let lines = console::lines(console::last_boot(&tail));
        let ending = ending::judge(&signs, &record.wanted.image.format, &lines);
        let reason = ending::sentence(&ending.why, &console::last_lines(&lines));
        let since = record
            .started
            .as_ref()
            .map_or(record.since, |started| started.at);
        let ran = now().as_millis().saturating_sub(since.as_millis());
        let ended = restart::Ended {
            policy: record.wanted.restart,
            outcome: ending.outcome,
            attempts: record.attempts,
            ran: Duration::from_millis(u64::try_from(ran).unwrap_or(0)),
        };
        let crashed = ended.verdict() == Outcome::Crashed;
        let reason = match (ending.outcome, crashed) {
            (Outcome::Rebooted, true) => format!("it does not come up, and {reason}"),
            _ => reason,
        };
        let phase = match restart::pause(ended, rand::random()) {
            Some((attempts, pause)) => {
                record.attempts = attempts;
                Phase::Waiting {
                    crashed,
                    until: now().plus_millis(pause.as_millis() as i64),
                }
            }
            None => Phase::Ended { crashed },
        };
        record.enter(phase, reason, now());
        slot.keep(&record)?;
        tracing::info!(instance = %slot.id, reason = record.reason, "an instance ended by itself");
        Ok(record)
    }

    /// The domain may be gone a moment before its event arrives here.
    async fn wait_for_event(&self, slot: &Slot) {
        let limit = tokio::time::Instant::now() + EVENT;
        loop {
            let woken = slot.woken.notified();
            if lock(&slot.signs).stopped.is_some()
                || tokio::time::timeout_at(limit, woken).await.is_err()
            {
                return;
            }
        }
    }

    async fn start_again(&self, slot: &Slot, mut record: Record) -> Result<(), DriverError> {
        let before = record.clone();
        record.restarts += 1;
        let why = format!(
            "it was started again (restart {} since its spec changed); before that {}",
            record.restarts, record.reason
        );
        match self.start(slot, record, &why, &Progress::new().0).await {
            Ok(record) => drop(self.changes.send(record.reference())),
            Err(error) => {
                let pause = restart::pause(
                    restart::Ended {
                        policy: before.wanted.restart,
                        outcome: Outcome::Crashed,
                        attempts: before.attempts,
                        ran: Duration::ZERO,
                    },
                    rand::random(),
                );
                let (attempts, pause) = pause.unwrap_or((before.attempts, EVENT));
                let mut record = before;
                record.attempts = attempts;
                let until = now().plus_millis(pause.as_millis() as i64);
                let reason = format!("starting it again failed: {}", error.chain());
                record.enter(
                    Phase::Waiting {
                        crashed: true,
                        until,
                    },
                    reason,
                    now(),
                );
                slot.keep(&record)?;
            }
        }
        Ok(())
    }
}
