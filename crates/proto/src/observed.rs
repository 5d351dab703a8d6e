//! What components report of placements.

use rhyzome_model::Timestamp;
use rhyzome_model::instance::{InstanceObserved, InstanceState, SshIdentity};
use rhyzome_model::network::NetworkObserved;
use rhyzome_model::placement::{Found, Observed};

use crate::invalid::{Invalid, inner, optional};
use crate::pb;

impl From<Observed> for pb::Observed {
    fn from(observed: Observed) -> Self {
        use pb::observed::What;
        let what = match observed {
            Observed::Network(network) => What::Network(pb::NetworkObserved {
                endpoint_key: network.endpoint_key,
                endpoint_kind: network.endpoint_kind,
            }),
            Observed::Segment => What::Segment(pb::Nothing {}),
            Observed::Vtep => What::Vtep(pb::Nothing {}),
            Observed::Lease => What::Lease(pb::Nothing {}),
            Observed::Peer => What::Peer(pb::Nothing {}),
            Observed::Instance(instance) => What::Instance(instance.into()),
        };
        Self { what: Some(what) }
    }
}

impl TryFrom<pb::Observed> for Observed {
    type Error = Invalid;

    fn try_from(observed: pb::Observed) -> Result<Self, Invalid> {
        use pb::observed::What;
        Ok(
            match observed.what.ok_or_else(|| Invalid::missing("what"))? {
                What::Network(network) => Self::Network(NetworkObserved {
                    endpoint_key: network.endpoint_key,
                    endpoint_kind: network.endpoint_kind,
                }),
                What::Segment(_) => Self::Segment,
                What::Vtep(_) => Self::Vtep,
                What::Lease(_) => Self::Lease,
                What::Peer(_) => Self::Peer,
                What::Instance(instance) => Self::Instance(inner("instance", Some(instance))?),
            },
        )
    }
}

impl From<InstanceObserved> for pb::InstanceObserved {
    fn from(instance: InstanceObserved) -> Self {
        Self {
            state: match instance.state {
                InstanceState::Running => pb::InstanceState::Running,
                InstanceState::Stopped => pb::InstanceState::Stopped,
                InstanceState::Ended => pb::InstanceState::Ended,
                InstanceState::Crashed => pb::InstanceState::Crashed,
            }
            .into(),
            reason: instance.reason,
            since: instance.since.as_millis(),
            restarts: instance.restarts,
            needs_restart: instance.needs_restart,
            accelerator: instance.accelerator,
            ssh_host_keys: instance.ssh.host_keys,
            ssh_user: instance.ssh.user,
        }
    }
}

impl TryFrom<pb::InstanceObserved> for InstanceObserved {
    type Error = Invalid;

    fn try_from(instance: pb::InstanceObserved) -> Result<Self, Invalid> {
        Ok(Self {
            state: match pb::InstanceState::try_from(instance.state) {
                Ok(pb::InstanceState::Running) => InstanceState::Running,
                Ok(pb::InstanceState::Stopped) => InstanceState::Stopped,
                Ok(pb::InstanceState::Ended) => InstanceState::Ended,
                Ok(pb::InstanceState::Crashed) => InstanceState::Crashed,
                Ok(pb::InstanceState::Unspecified) => return Err(Invalid::missing("state")),
                Err(_) => return Err(Invalid::unknown("state", instance.state)),
            },
            reason: instance.reason,
            since: Timestamp::from_millis(instance.since),
            restarts: instance.restarts,
            needs_restart: instance.needs_restart,
            accelerator: instance.accelerator,
            ssh: SshIdentity {
                host_keys: instance.ssh_host_keys,
                user: instance.ssh_user,
            },
        })
    }
}

impl From<Found> for pb::Found {
    fn from(found: Found) -> Self {
        Self {
            placement: Some(found.placement.into()),
            generation: found.generation,
            observed: found.observed.map(Into::into),
            differs: found.differs,
        }
    }
}

impl TryFrom<pb::Found> for Found {
    type Error = Invalid;

    fn try_from(found: pb::Found) -> Result<Self, Invalid> {
        Ok(Self {
            placement: inner("placement", found.placement)?,
            generation: found.generation,
            observed: optional("observed", found.observed)?,
            differs: found.differs,
        })
    }
}
