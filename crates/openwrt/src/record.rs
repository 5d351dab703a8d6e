//! What each network, lease, peer and VTEP should be, in files of the state directory.
//!
//! ```text
//!   networks/<network>/network.json   key   the endpoint's private key, made here
//!                      leases/<lease>.json
//!                      peers/<peer>.json
//!                      vteps/<host>.json
//! ```
//!
//! They are a part of each change: what a change that is put back did to them is put back as well.

mod files;
mod shared;

use std::collections::BTreeMap;
use std::sync::Arc;

use rhyzome_model::lease::LeasePlacement;
use rhyzome_model::network::{NetworkPlacement, VtepPlacement};
use rhyzome_model::peer::PeerPlacement;
use rhyzome_model::placement::{Placement, PlacementKind, PlacementRef, PlacementSpec};
use rhyzome_model::{NetworkId, PlacementId};
use rhyzome_wireguard::key::PrivateKey;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

pub(crate) use files::{FileChange, differences, put_back, write};

/// A placement as it was last asked for. Copies share the spec.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(bound(serialize = "T: Serialize", deserialize = "T: Deserialize<'de>"))]
pub(crate) struct Record<T> {
    pub placement: PlacementId,
    pub generation: u64,
    #[serde(with = "shared")]
    pub spec: Arc<T>,
}

/// A network and what belongs to it, by the ids of their resources.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Kept {
    pub network: Record<NetworkPlacement>,
    pub key: PrivateKey,
    pub leases: BTreeMap<Uuid, Record<LeasePlacement>>,
    pub peers: BTreeMap<Uuid, Record<PeerPlacement>>,
    pub vteps: BTreeMap<Uuid, Record<VtepPlacement>>,
}

/// All that is recorded. Copies share the networks that they do not differ in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Records {
    pub networks: BTreeMap<NetworkId, Arc<Kept>>,
}

/// Why something cannot be recorded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    #[error("the network {0} is not on this router yet")]
    NoNetwork(NetworkId),
    #[error("this component does not make any {0}")]
    Kind(PlacementKind),
}

impl Records {
    /// Notes what is asked of a placement.
    pub fn put(&mut self, placement: &Placement) -> Result<(), RecordError> {
        let (id, generation) = (placement.id, placement.generation);
        fn record<T: Clone>(placement: PlacementId, generation: u64, spec: &T) -> Record<T> {
            let spec = Arc::new(spec.clone());
            Record {
                placement,
                generation,
                spec,
            }
        }
        match &placement.spec {
            PlacementSpec::Network(spec) => {
                let record = record(id, generation, spec);
                match self.networks.get_mut(&spec.network) {
                    Some(kept) => Arc::make_mut(kept).network = record,
                    None => {
                        let kept = Arc::new(Kept::new(record));
                        self.networks.insert(spec.network, kept);
                    }
                }
            }
            PlacementSpec::Lease(spec) => {
                let kept = self.of(spec.network)?;
                kept.leases
                    .insert(spec.lease.0, record(id, generation, spec));
            }
            PlacementSpec::Peer(spec) => {
                let kept = self.of(spec.network)?;
                kept.peers.insert(spec.peer.0, record(id, generation, spec));
            }
            PlacementSpec::Vtep(spec) => {
                let kept = self.of(spec.network)?;
                kept.vteps.insert(spec.host.0, record(id, generation, spec));
            }
            other => return Err(RecordError::Kind(other.kind())),
        }
        Ok(())
    }

    fn of(&mut self, network: NetworkId) -> Result<&mut Kept, RecordError> {
        self.networks
            .get_mut(&network)
            .map(Arc::make_mut)
            .ok_or(RecordError::NoNetwork(network))
    }

    /// Forgets a placement. With a network goes all that belongs to it.
    pub fn take_away(&mut self, target: &PlacementRef) {
        let Some(network) = target.network else {
            return;
        };
        if target.kind == PlacementKind::Network {
            self.networks.remove(&network);
            return;
        }
        let Some(kept) = self.networks.get_mut(&network).map(Arc::make_mut) else {
            return;
        };
        match target.kind {
            PlacementKind::Lease => drop(kept.leases.remove(&target.resource)),
            PlacementKind::Peer => drop(kept.peers.remove(&target.resource)),
            PlacementKind::Vtep => drop(kept.vteps.remove(&target.resource)),
            // Never made here.
            PlacementKind::Network | PlacementKind::Segment | PlacementKind::Instance => {}
        }
    }

    /// Whether a placement is recorded exactly so.
    pub fn has(&self, placement: &Placement) -> bool {
        let Some(kept) = placement
            .spec
            .network()
            .and_then(|network| self.networks.get(&network))
        else {
            return false;
        };
        match &placement.spec {
            PlacementSpec::Network(spec) => is(Some(&kept.network), placement, spec),
            PlacementSpec::Lease(spec) => is(kept.leases.get(&spec.lease.0), placement, spec),
            PlacementSpec::Peer(spec) => is(kept.peers.get(&spec.peer.0), placement, spec),
            PlacementSpec::Vtep(spec) => is(kept.vteps.get(&spec.host.0), placement, spec),
            PlacementSpec::Segment(_) | PlacementSpec::Instance(_) => false,
        }
    }
}

fn is<T: PartialEq>(record: Option<&Record<T>>, placement: &Placement, spec: &T) -> bool {
    record.is_some_and(|record| {
        record.placement == placement.id
            && record.generation == placement.generation
            && *record.spec == *spec
    })
}

impl Kept {
    fn new(network: Record<NetworkPlacement>) -> Self {
        Self {
            network,
            key: PrivateKey::generate(&mut rand::rng()),
            leases: BTreeMap::new(),
            peers: BTreeMap::new(),
            vteps: BTreeMap::new(),
        }
    }

    pub fn reference(&self) -> PlacementRef {
        let network = self.network.spec.network;
        reference(&self.network, PlacementKind::Network, network.0, network)
    }
}

pub(crate) fn reference<T>(
    record: &Record<T>,
    kind: PlacementKind,
    resource: Uuid,
    network: NetworkId,
) -> PlacementRef {
    PlacementRef {
        id: record.placement,
        kind,
        resource,
        network: Some(network),
    }
}

#[cfg(test)]
mod tests;
