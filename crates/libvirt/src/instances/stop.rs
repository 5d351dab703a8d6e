//! Stopping a guest: the power button, and the plug after its time.

use std::time::Duration;

use rhyzome_component::{DriverError, Progress};

use super::{Instances, Slot, from_libvirt, now};
use crate::record::{Phase, Record};
use crate::step::Step;

/// How long QEMU may take to be gone after it was forced to end.
const FORCED: Duration = Duration::from_secs(30);
/// A guest that is only just booting does not feel the power button: it is pressed again.
const AGAIN: Duration = Duration::from_secs(3);
/// How often it is looked whether a guest is gone, should its event not come.
const LOOK: Duration = Duration::from_millis(500);

impl Instances {
    /// Stops the guest, in the phase `stopping` or `rebooting`. Run again after an interruption, it goes
    /// on with the time that is left. Returns how it went, as a sentence.
    pub(super) async fn stop(
        &self,
        slot: &Slot,
        record: &mut Record,
        phase: Phase,
        progress: &Progress,
    ) -> Result<String, DriverError> {
        if record.phase != phase {
            record.enter(phase, "it is asked to stop", now());
            slot.keep(record)?;
        }
        let timeout = i64::from(record.wanted.stop_timeout) * 1000;
        let left = record.since.plus_millis(timeout).as_millis() - now().as_millis();
        let left = Duration::from_millis(u64::try_from(left).unwrap_or(0));
        progress.begin(Step::AskToStop)?;
        let limit = tokio::time::Instant::now() + left;
        while tokio::time::Instant::now() < limit {
            self.hypervisor
                .press_power_button(slot.uuid())
                .await
                .map_err(from_libvirt)?;
            let rest = limit.saturating_duration_since(tokio::time::Instant::now());
            if self.is_gone_within(slot, rest.min(AGAIN)).await? {
                return Ok("it stopped as asked by the power button".to_owned());
            }
        }
        progress.begin(Step::ForceToStop)?;
        self.force(slot).await?;
        Ok(match record.wanted.stop_timeout {
            0 => "it was stopped by force, as its stop timeout of 0 says".to_owned(),
            seconds => format!(
                "it was stopped by force: it did not obey the power button within {seconds} s"
            ),
        })
    }

    /// Pulls the plug, and waits until the guest is gone.
    pub(super) async fn force(&self, slot: &Slot) -> Result<(), DriverError> {
        self.hypervisor
            .destroy(slot.uuid())
            .await
            .map_err(from_libvirt)?;
        if self.is_gone_within(slot, FORCED).await? {
            return Ok(());
        }
        Err(DriverError::transient(
            "the guest is still there after it was forced to end",
        ))
    }

    /// Whether the guest is gone before the time is over.
    pub(super) async fn is_gone_within(
        &self,
        slot: &Slot,
        time: Duration,
    ) -> Result<bool, DriverError> {
        let limit = tokio::time::Instant::now() + time;
        loop {
            let woken = slot.woken.notified();
            if self.domain(slot).await?.is_none() {
                return Ok(true);
            }
            if tokio::time::Instant::now() >= limit {
                return Ok(false);
            }
            let next = limit.min(tokio::time::Instant::now() + LOOK);
            let _ = tokio::time::timeout_at(next, woken).await;
        }
    }
}
