//! Taking all that a component made off its host, without a core: for an operator who stops or removes
//! a site. Works whatever state a kill left, because it goes by marks and not by records alone.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rhyzome_component::DriverError;
use rhyzome_hostnet::{
    Holder, PortError, Ports, Role, SegmentError, ServiceError, Services, TunnelError, Tunnels,
    segment,
};
use tokio::time::Instant;
use uuid::Uuid;

use crate::disk::Disks;
use crate::embed;
use crate::hypervisor::{Hypervisor, HypervisorError, Seen};
use crate::instances::now;
use crate::leftovers::{self, Unended};
use crate::record::{Phase, Record};
use crate::settings::{Libvirt, Settings};

/// How long a guest without a record is asked to stop.
const ASKED: Duration = Duration::from_secs(20);
/// A guest that is only just booting does not feel the power button: it is pressed again.
const AGAIN: Duration = Duration::from_secs(3);
const FORCED: Duration = Duration::from_secs(30);
const LOOK: Duration = Duration::from_millis(250);

#[derive(Debug, thiserror::Error)]
pub enum DownError {
    #[error("{0}")]
    Open(String),
    #[error("libvirt did not do it")]
    Libvirt(#[source] HypervisorError),
    #[error("{0} guests are still there after they were forced to end")]
    StillThere(usize),
    #[error("a process of this state directory's QEMU is left")]
    Process(#[source] Unended),
    #[error("a disk could not be removed: {}", .0.chain())]
    Disk(DriverError),
    #[error("the port rules could not be removed")]
    Ports(#[source] PortError),
    #[error("the metadata service could not be removed")]
    Services(#[source] ServiceError),
    #[error("the tunnels to other hosts could not be removed")]
    Tunnels(#[source] TunnelError),
    #[error("the segments could not be removed")]
    Segments(#[source] SegmentError),
    #[error("{path} could not be written or removed")]
    Files { path: PathBuf, source: io::Error },
}

/// Stops all guests (asks, then forces), removes taps, rules and bridges of this component. With
/// `purge` the records, consoles and images too; without it the next ensure starts what was running.
///
/// The component must not run at the same time: it would start again what this stops.
///
/// # Errors
/// At the first step that failed; what was done stays done, and it may be run again.
pub async fn down(settings: &Settings, purge: bool) -> Result<(), DownError> {
    let never_ran =
        settings.libvirt == Libvirt::Embedded && !settings.embed_root().join("lib").exists();
    if !never_ran {
        let (events, _inbox) = tokio::sync::mpsc::unbounded_channel();
        let hypervisor = Hypervisor::open(settings, events)
            .await
            .map_err(|error| DownError::Open(crate::host::hint(&error)))?;
        stop_all(settings, &hypervisor).await?;
        if purge {
            remove_disks(settings, hypervisor).await?;
        }
    }
    if settings.libvirt == Libvirt::Embedded {
        leftovers::end_lost(&settings.embed_root()).map_err(DownError::Process)?;
    }
    let mark = settings.mark();
    Ports::of(mark)
        .remove_all()
        .await
        .map_err(DownError::Ports)?;
    Services::of(mark)
        .remove_all()
        .await
        .map_err(DownError::Services)?;
    Tunnels::of(mark, None)
        .remove_all()
        .await
        .map_err(DownError::Tunnels)?;
    let holder = Holder {
        role: Role::Hypervisor,
        mark,
    };
    segment::remove_all(holder)
        .await
        .map_err(DownError::Segments)?;
    if purge {
        for path in [
            settings.instances(),
            settings.segments(),
            settings.blobs(),
            settings.embed_root(),
            settings.state.join("no-kvm"),
        ] {
            remove(&path)?;
        }
    }
    embed::clear_run(&settings.state);
    Ok(())
}

/// Removes the disks that are not in the instances' folders, of those that have one. A volume that no folder
/// knows is left alone: two hosts may share a pool.
async fn remove_disks(settings: &Settings, hypervisor: Hypervisor) -> Result<(), DownError> {
    let disks = Disks::new(hypervisor, settings.mark(), settings.pool.clone());
    let Ok(entries) = fs::read_dir(settings.instances()) else {
        return Ok(());
    };
    for folder in entries.flatten().map(|entry| entry.path()) {
        let name = folder.file_name().and_then(|name| name.to_str());
        if let Some(id) = name.and_then(|name| name.parse().ok()) {
            disks
                .remove_noted(id, &folder)
                .await
                .map_err(DownError::Disk)?;
        }
    }
    Ok(())
}

fn remove(path: &Path) -> Result<(), DownError> {
    let removed = if path.is_dir() {
        fs::remove_dir_all(path)
    } else {
        fs::remove_file(path)
    };
    match removed {
        Err(source) if source.kind() != io::ErrorKind::NotFound => Err(DownError::Files {
            path: path.to_owned(),
            source,
        }),
        _ => Ok(()),
    }
}

async fn stop_all(settings: &Settings, hypervisor: &Hypervisor) -> Result<(), DownError> {
    let component = settings.mark().to_string();
    let list = || async {
        hypervisor
            .list(component.clone())
            .await
            .map_err(DownError::Libvirt)
    };
    let began = Instant::now();
    let mut limits: HashMap<Uuid, Instant> = HashMap::new();
    let mut pressed: HashMap<Uuid, Instant> = HashMap::new();
    let mut forced: HashMap<Uuid, Instant> = HashMap::new();
    loop {
        let left = list().await?;
        if left.is_empty() {
            return Ok(());
        }
        for Seen { uuid, .. } in &left {
            let limit = match limits.get(uuid) {
                Some(limit) => *limit,
                None => began + note_stop(settings, *uuid)?,
            };
            limits.insert(*uuid, limit);
            if Instant::now() < limit {
                if pressed
                    .get(uuid)
                    .is_none_or(|since| since.elapsed() > AGAIN)
                {
                    hypervisor
                        .press_power_button(*uuid)
                        .await
                        .map_err(DownError::Libvirt)?;
                    pressed.insert(*uuid, Instant::now());
                }
            } else if !forced.contains_key(uuid) {
                hypervisor
                    .destroy(*uuid)
                    .await
                    .map_err(DownError::Libvirt)?;
                forced.insert(*uuid, Instant::now());
            }
        }
        if forced.values().any(|since| since.elapsed() > FORCED) {
            return Err(DownError::StillThere(left.len()));
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Writes down that a guest is stopped on purpose, and says how long it may take.
fn note_stop(settings: &Settings, uuid: Uuid) -> Result<Duration, DownError> {
    let folder = settings.instances().join(uuid.to_string());
    let Some(mut record) = Record::read(&folder) else {
        return Ok(ASKED);
    };
    record.enter(Phase::Stopped, "the host's site was taken down", now());
    record.write(&folder).map_err(|source| DownError::Files {
        path: folder,
        source,
    })?;
    Ok(Duration::from_secs(record.wanted.stop_timeout.into()))
}
