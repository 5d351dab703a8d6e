//! Removing all that an instance made on this host.

use std::fs;
use std::io;
use std::time::{Duration, SystemTime};

use rhyzome_component::{DriverError, Progress};
use rhyzome_hostnet::PortError;
use rhyzome_model::InstanceId;
use rhyzome_model::instance::Power;
use rhyzome_model::network::tap_name;

use super::{Instances, from_disk, lock, now};
use crate::domain;
use crate::record::Phase;
use crate::step::Step;

/// How long a tap may take to go after its guest.
const TAP: Duration = Duration::from_secs(10);

impl Instances {
    /// Ends the guest at once (nothing of it is kept that a shutdown would save) and removes its rules,
    /// its console and its record. Fine where there is nothing.
    pub async fn remove(&self, id: InstanceId, progress: &Progress) -> Result<(), DriverError> {
        let slot = self.slot(id);
        let _working = slot.work().await;
        progress.begin(Step::End)?;
        if let Some(mut record) = slot.record() {
            // Should this be interrupted, nobody starts it again.
            record.wanted.power = Power::Stopped;
            record.enter(Phase::Stopping, "it is being removed", now());
            slot.keep(&record)?;
        }
        if self.domain(&slot).await?.is_some() {
            self.force(&slot).await?;
        }
        progress.begin(Step::DropPorts)?;
        self.remove_ports(id).await?;
        let record = slot.record();
        if record.is_none_or(|record| record.wanted.disk.is_some()) {
            progress.begin(Step::DropDisk)?;
            self.disks.remove(id, &slot.folder).await?;
        }
        progress.begin(Step::DropFiles)?;
        lock(&slot.recorder).take();
        let log = self.logs.as_ref().zip(slot.record());
        if let Some((logs, record)) = log {
            let path = logs.join(format!("{}.log", domain::name(&record.wanted)));
            gone(fs::remove_file(path))?;
        }
        gone(fs::remove_dir_all(&slot.folder))?;
        lock(&self.slots).remove(&id);
        if let Err(error) = self.cache.make_room(&self.used_images(), SystemTime::now()) {
            tracing::warn!(%error, "unused images could not be removed");
        }
        Ok(())
    }

    async fn remove_ports(&self, id: InstanceId) -> Result<(), DriverError> {
        let failed = |error| {
            DriverError::transient("the port rules could not be removed").with_source(error)
        };
        // All of them, whatever number of interfaces it had: names differ in the index at their end.
        let first = tap_name(id.0, 0);
        let own = first.strip_suffix('0').unwrap_or(&first);
        let ports = self.ports.list().await.map_err(failed)?;
        for port in ports.into_iter().filter(|port| port.tap.starts_with(own)) {
            let limit = tokio::time::Instant::now() + TAP;
            loop {
                match self.ports.remove(&port.tap).await {
                    Ok(()) => break,
                    Err(PortError::StillThere(_)) if tokio::time::Instant::now() < limit => {
                        tokio::time::sleep(Duration::from_millis(100)).await;
                    }
                    Err(error) => return Err(failed(error)),
                }
            }
        }
        Ok(())
    }
}

/// Not being there is what was wanted.
fn gone(removed: io::Result<()>) -> Result<(), DriverError> {
    match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(from_disk(
            "the instance's files could not be removed",
            error,
        )),
        _ => Ok(()),
    }
}
