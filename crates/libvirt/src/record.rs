//! What this component remembers of an instance, in a file of its own: it knows what it started and how
//! it ended, whatever becomes of libvirt's domain.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use rhyzome_model::instance::{InstanceObserved, InstancePlacement, InstanceState, SshIdentity};
use rhyzome_model::placement::{PlacementKind, PlacementRef};
use rhyzome_model::{Digest, PlacementId, Timestamp};
use serde::{Deserialize, Serialize};

use crate::accelerator::Accelerator;
use crate::domain::spec_hash;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    pub placement: PlacementId,
    /// The last generation that was accepted.
    pub generation: u64,
    pub wanted: InstancePlacement,
    /// What the last guest was started with; none before the first start.
    pub started: Option<Started>,
    pub phase: Phase,
    /// How it came to be in this phase, in a sentence.
    pub reason: String,
    pub since: Timestamp,
    /// How often the policy started it again since the spec last changed.
    pub restarts: u32,
    /// How often it did without the guest having run steadily since.
    pub attempts: u32,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Started {
    /// [`spec_hash`] of what it was started with.
    pub spec: Digest,
    pub at: Timestamp,
    /// The host's boot (`/proc/sys/kernel/random/boot_id`): no guest outlives it.
    pub boot: String,
    pub accelerator: Accelerator,
}

/// ```text
///              ┌──────── reboot asked ─────────┐
///              ▼                               │
///   stopped ─► starting ─► running ─► rebooting
///      ▲          ▲           │  │
///      │          │           │  └─ ended by itself ─► ended ── policy ─► waiting ─► starting
///      └─ stopping ◄──────────┘                          └─ a newer generation ─► starting
/// ```
///
/// A phase is written before the deed: after a kill it says what was going on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    Stopped,
    Starting,
    Running,
    /// Since then it is being asked to stop.
    Stopping,
    /// As stopping, and will be started then.
    Rebooting,
    Ended {
        crashed: bool,
    },
    /// Ended, and will be started again.
    Waiting {
        crashed: bool,
        until: Timestamp,
    },
}

impl Record {
    pub fn reference(&self) -> PlacementRef {
        PlacementRef {
            id: self.placement,
            kind: PlacementKind::Instance,
            resource: self.wanted.instance.0,
            network: None,
        }
    }

    pub fn enter(&mut self, phase: Phase, reason: impl Into<String>, now: Timestamp) {
        self.phase = phase;
        self.reason = reason.into();
        self.since = now;
    }

    /// What is reported of it, with what its console said of its SSH server.
    pub fn observed(&self, accelerator: Accelerator, ssh: SshIdentity) -> InstanceObserved {
        let state = match self.phase {
            Phase::Stopped => InstanceState::Stopped,
            Phase::Starting | Phase::Running | Phase::Stopping | Phase::Rebooting => {
                InstanceState::Running
            }
            Phase::Ended { crashed } | Phase::Waiting { crashed, .. } => {
                if crashed {
                    InstanceState::Crashed
                } else {
                    InstanceState::Ended
                }
            }
        };
        let reason = match self.phase {
            Phase::Waiting { until, .. } => {
                format!("{}; it is started again at {until}", self.reason)
            }
            _ => self.reason.clone(),
        };
        let started = self
            .started
            .as_ref()
            .filter(|_| state == InstanceState::Running);
        InstanceObserved {
            state,
            reason,
            since: self.since,
            restarts: self.restarts,
            needs_restart: started.is_some_and(|started| started.spec != spec_hash(&self.wanted)),
            accelerator: started
                .map_or(accelerator, |started| started.accelerator)
                .as_str()
                .to_owned(),
            ssh,
        }
    }

    /// Reads the record of an instance's folder; none where there is none, or none that can be read:
    /// then the next ensure makes one.
    pub fn read(folder: &Path) -> Option<Self> {
        let bytes = fs::read(folder.join("record.json")).ok()?;
        match serde_json::from_slice(&bytes) {
            Ok(record) => Some(record),
            Err(error) => {
                tracing::warn!(%error, folder = %folder.display(), "an instance's record cannot be read");
                None
            }
        }
    }

    /// Replaces the record as a whole: a reader or a crash sees the old one or the new one.
    pub fn write(&self, folder: &Path) -> io::Result<()> {
        replace(&folder.join("record.json"), &serde_json::to_vec(self)?)
    }
}

/// Replaces a file, which only its owner may read, as a whole; it is on the disk then.
pub fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let new = path.with_extension("new");
    let write = || {
        let mut file = File::options()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&new)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&new, path)
    };
    write().inspect_err(|_| {
        // What counts is why it could not be written.
        let _ = fs::remove_file(&new);
    })?;
    match path.parent() {
        Some(folder) => File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}

/// The host's boot, as the kernel names it; empty where it does not.
pub fn boot_id() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id")
        .map(|id| id.trim().to_owned())
        .unwrap_or_default()
}
