//! What was made on a simulated host, and where it is kept.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::PathBuf;

use rhyzome_model::instance::{
    InstanceObserved, InstancePlacement, InstanceState, Power, RestartPolicy, SshIdentity,
};
use rhyzome_model::network::NetworkObserved;
use rhyzome_model::placement::{Observed, Placement, PlacementSpec};
use rhyzome_model::{PlacementId, Timestamp};
use rhyzome_pki::file::write_atomic;
use serde::{Deserialize, Serialize};

use super::{endpoint_key, state_of};

/// Something on the host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Made {
    pub placement: Placement,
    pub observed: Observed,
}

impl Made {
    /// What a placement becomes, given what it was.
    pub fn of(placement: &Placement, before: Option<&Self>, now: Timestamp) -> Self {
        let observed = match (
            &placement.spec,
            before.map(|made| (&made.placement, &made.observed)),
        ) {
            (PlacementSpec::Network(_), Some((_, Observed::Network(network)))) => {
                Observed::Network(network.clone())
            }
            (PlacementSpec::Network(network), _) => Observed::Network(NetworkObserved {
                endpoint_key: endpoint_key(network.network, now),
                endpoint_kind: "userspace".to_owned(),
            }),
            (PlacementSpec::Segment(_), _) => Observed::Segment,
            (PlacementSpec::Vtep(_), _) => Observed::Vtep,
            (PlacementSpec::Lease(_), _) => Observed::Lease,
            (PlacementSpec::Peer(_), _) => Observed::Peer,
            (PlacementSpec::Instance(instance), Some((was, Observed::Instance(before)))) => {
                let same_spec = was.spec == placement.spec;
                Observed::Instance(changed(instance, was, before, same_spec, now))
            }
            (PlacementSpec::Instance(instance), _) => Observed::Instance(started(instance, now)),
        };
        Self {
            placement: placement.clone(),
            observed,
        }
    }

    /// Whether it needs no repair.
    pub fn is_as_it_should(&self, accepted: &Placement) -> bool {
        if self.placement != *accepted {
            return false;
        }
        match (&self.placement.spec, &self.observed) {
            (PlacementSpec::Instance(spec), Observed::Instance(now)) => !to_be_started(spec, now),
            _ => true,
        }
    }
}

fn started(spec: &InstancePlacement, now: Timestamp) -> InstanceObserved {
    let (state, reason) = state_of(spec.power);
    InstanceObserved {
        state,
        reason: reason.to_owned(),
        since: now,
        restarts: 0,
        needs_restart: false,
        accelerator: "qemu".to_owned(),
        ssh: SshIdentity::default(),
    }
}

fn changed(
    spec: &InstancePlacement,
    was: &Placement,
    before: &InstanceObserved,
    same_spec: bool,
    now: Timestamp,
) -> InstanceObserved {
    let restarts = if same_spec { before.restarts } else { 0 };
    if same_spec && to_be_started(spec, before) {
        return InstanceObserved {
            restarts: restarts + 1,
            ..started(spec, now)
        };
    }
    let runs = before.state == InstanceState::Running;
    match spec.power {
        Power::Running if !runs && !same_spec => started(spec, now),
        Power::Stopped if runs => started(spec, now),
        Power::Running | Power::Stopped => InstanceObserved {
            restarts,
            needs_restart: runs && (before.needs_restart || needs_restart(spec, was)),
            ..before.clone()
        },
    }
}

fn needs_restart(spec: &InstancePlacement, was: &Placement) -> bool {
    match &was.spec {
        PlacementSpec::Instance(was) => {
            let firmware = |spec: &InstancePlacement| spec.disk.and_then(|disk| disk.firmware);
            // A system that boots by firmware has a seed disk, which it reads when it starts.
            let seed = firmware(spec).is_some()
                && (&was.guest.ssh_keys, &was.guest.user_data)
                    != (&spec.guest.ssh_keys, &spec.guest.user_data);
            seed || (was.cpus, was.memory, &was.command_line, firmware(was))
                != (spec.cpus, spec.memory, &spec.command_line, firmware(spec))
        }
        _ => false,
    }
}

/// Whether the restart policy, or the power, says that it is to be started.
fn to_be_started(spec: &InstancePlacement, now: &InstanceObserved) -> bool {
    spec.power == Power::Running
        && match now.state {
            InstanceState::Running => false,
            InstanceState::Stopped => true,
            InstanceState::Ended => spec.restart == RestartPolicy::Always,
            InstanceState::Crashed => spec.restart != RestartPolicy::Never,
        }
}

/// The host itself.
#[derive(Debug)]
pub(super) struct Host {
    folder: Option<PathBuf>,
    made: BTreeMap<PlacementId, Made>,
}

impl Host {
    pub fn open(folder: Option<PathBuf>) -> io::Result<Self> {
        let mut made = BTreeMap::new();
        if let Some(folder) = &folder {
            fs::create_dir_all(folder.join("made"))?;
            fs::create_dir_all(folder.join("blobs"))?;
            for file in fs::read_dir(folder.join("made"))? {
                let path = file?.path();
                if path.extension().is_some_and(|ending| ending == "json") {
                    let one: Made = serde_json::from_slice(&fs::read(path)?)?;
                    made.insert(one.placement.id, one);
                }
            }
        }
        Ok(Self { folder, made })
    }

    pub fn get(&self, id: PlacementId) -> Option<&Made> {
        self.made.get(&id)
    }

    pub fn all(&self) -> impl Iterator<Item = &Made> {
        self.made.values()
    }

    pub fn put(&mut self, made: Made) -> io::Result<()> {
        if let Some(path) = self.path(made.placement.id) {
            let text = serde_json::to_vec_pretty(&made)?;
            write_atomic(&path, &text, 0o600).map_err(io::Error::other)?;
        }
        self.made.insert(made.placement.id, made);
        Ok(())
    }

    pub fn remove(&mut self, id: PlacementId) -> io::Result<()> {
        if let Some(path) = self.path(id) {
            match fs::remove_file(path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        self.made.remove(&id);
        Ok(())
    }

    fn path(&self, id: PlacementId) -> Option<PathBuf> {
        self.folder
            .as_ref()
            .map(|folder| folder.join("made").join(format!("{id}.json")))
    }
}

/// RFC 4648, section 4, of 32 bytes.
pub(super) fn base64(bytes: &[u8; 32]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}
