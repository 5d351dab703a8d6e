//! Bringing an instance to its generation, and the actions on it.

use rhyzome_component::{DriverError, Progress};
use rhyzome_model::PlacementId;
use rhyzome_model::instance::{InstanceObserved, InstancePlacement, Power};

use super::{Instances, Slot, now};
use crate::console;
use crate::record::{Phase, Record};
use crate::step::Step;

impl Instances {
    /// Keeps an instance as its spec says. What ended by itself stays ended under the same generation,
    /// as its restart policy decides; a newer one starts it.
    pub async fn ensure(
        &self,
        placement: PlacementId,
        generation: u64,
        spec: &InstancePlacement,
        progress: &Progress,
    ) -> Result<InstanceObserved, DriverError> {
        let slot = self.slot(spec.instance);
        let _working = slot.work().await;
        progress.begin(Step::Record)?;
        let record = self.accept(&slot, placement, generation, spec).await?;
        let record = match spec.power {
            Power::Running => self.ensure_running(&slot, record, progress).await?,
            Power::Stopped => self.ensure_stopped(&slot, record, progress).await?,
        };
        Ok(record.observed(self.accelerator.accelerator, slot.ssh()))
    }

    /// Writes down what is wanted from now on, after accounting for what happened before it.
    async fn accept(
        &self,
        slot: &Slot,
        placement: PlacementId,
        generation: u64,
        spec: &InstancePlacement,
    ) -> Result<Record, DriverError> {
        let Some(record) = slot.record() else {
            return self.accept_new(slot, placement, generation, spec).await;
        };
        if record.placement == placement && generation < record.generation {
            let (have, text) = (record.generation, "is older than what was accepted before");
            return Err(DriverError::permanent(format!(
                "generation {generation} {text}: {have}"
            )));
        }
        let record = match self.has_ended(slot, &record).await? {
            true => self.account(slot, record).await?,
            false => record,
        };
        if record.placement == placement
            && record.generation == generation
            && record.wanted == *spec
        {
            return Ok(record);
        }
        let mut record = Record {
            placement,
            generation,
            wanted: spec.clone(),
            restarts: 0,
            attempts: 0,
            ..record
        };
        if let Phase::Ended { .. } | Phase::Waiting { .. } = record.phase {
            let reason = record.reason.clone();
            record.enter(Phase::Stopped, reason, now());
        }
        slot.keep(&record)?;
        Ok(record)
    }

    async fn accept_new(
        &self,
        slot: &Slot,
        placement: PlacementId,
        generation: u64,
        spec: &InstancePlacement,
    ) -> Result<Record, DriverError> {
        // The record was lost and the guest was not: what it was started with is in its mark.
        let seen = self.domain(slot).await?;
        let started = seen.as_ref().map(|seen| crate::record::Started {
            spec: seen.mark.spec,
            at: now(),
            boot: self.boot.clone(),
            accelerator: self.accelerator.accelerator,
        });
        let phase = if seen.is_some() {
            Phase::Running
        } else {
            Phase::Stopped
        };
        let record = Record {
            placement,
            generation,
            wanted: spec.clone(),
            started,
            phase,
            reason: "it was never started".to_owned(),
            since: now(),
            restarts: 0,
            attempts: 0,
        };
        slot.keep(&record)?;
        Ok(record)
    }

    async fn ensure_running(
        &self,
        slot: &Slot,
        mut record: Record,
        progress: &Progress,
    ) -> Result<Record, DriverError> {
        let runs = self.domain(slot).await?.is_some();
        match record.phase {
            Phase::Ended { .. } | Phase::Waiting { .. } if !runs => Ok(record),
            // It was asked to stop and this was interrupted: it is on its way down, and comes up again.
            phase @ (Phase::Stopping | Phase::Rebooting) => {
                let how = if runs {
                    self.stop(slot, &mut record, phase, progress).await?
                } else {
                    record.reason.clone()
                };
                self.start(
                    slot,
                    record,
                    &format!("it was started; before that {how}"),
                    progress,
                )
                .await
            }
            _ if runs => self.take_up(slot, record).await,
            Phase::Running => {
                self.start(
                    slot,
                    record,
                    "it was started again after the host was",
                    progress,
                )
                .await
            }
            _ => {
                self.start(slot, record, "it was started as asked", progress)
                    .await
            }
        }
    }

    async fn ensure_stopped(
        &self,
        slot: &Slot,
        mut record: Record,
        progress: &Progress,
    ) -> Result<Record, DriverError> {
        if self.domain(slot).await?.is_some() {
            let how = self
                .stop(slot, &mut record, Phase::Stopping, progress)
                .await?;
            record.enter(Phase::Stopped, how, now());
        } else if record.phase != Phase::Stopped {
            let reason = match record.phase {
                Phase::Stopping | Phase::Rebooting => "it stopped as asked".to_owned(),
                _ => record.reason.clone(),
            };
            record.enter(Phase::Stopped, reason, now());
        }
        progress.begin(Step::Stopped)?;
        slot.keep(&record)?;
        Ok(record)
    }

    /// Stops a guest and starts it, with its present spec.
    pub async fn reboot(&self, slot: &Slot) -> Result<(), DriverError> {
        let _working = slot.work().await;
        let progress = Progress::new().0;
        let Some(mut record) = slot.record() else {
            return Err(DriverError::permanent("there is no such instance here"));
        };
        if record.wanted.power == Power::Stopped {
            return Err(DriverError::permanent(
                "the instance is stopped: start it instead",
            ));
        }
        let mut how = "it was not running".to_owned();
        if self.domain(slot).await?.is_some() {
            how = self
                .stop(slot, &mut record, Phase::Rebooting, &progress)
                .await?;
        }
        self.start(
            slot,
            record,
            &format!("it was rebooted as asked; {how}"),
            &progress,
        )
        .await?;
        Ok(())
    }

    /// The last bytes of an instance's console, whether or not it runs.
    pub async fn console(&self, slot: &Slot, bytes: usize) -> Result<Vec<u8>, DriverError> {
        let failed = |error| super::from_disk("the console's recording could not be read", error);
        if slot.record().is_none() {
            return Err(DriverError::permanent("there is no such instance here"));
        }
        match slot.record_console() {
            Ok(recorder) => recorder.tail(bytes).await.map_err(failed),
            Err(_) => console::read_recording(&slot.folder, bytes).map_err(failed),
        }
    }
}
