//! A placement: a resource's part on one component, with a generation, a job and a status of its own.
//!
//! An instance has one (its hypervisor); a network has one on its router, and a segment on every
//! hypervisor where it has an instance; a lease and a peer each have one on the router. Where a network
//! is on several hosts, each of them has a VTEP (VXLAN tunnel end point, RFC 7348) for each other one.
//! What a component gets is complete: it never asks back.

use std::fmt;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::instance::{InstanceObserved, InstancePlacement};
use crate::lease::LeasePlacement;
use crate::network::{NetworkObserved, NetworkPlacement, SegmentPlacement, VtepPlacement};
use crate::peer::PeerPlacement;
use crate::{NetworkId, PlacementId};

/// What a placement is a part of.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum PlacementKind {
    Network,
    Segment,
    Vtep,
    Lease,
    Peer,
    Instance,
}

impl PlacementKind {
    pub const ALL: [Self; 6] = [
        Self::Network,
        Self::Segment,
        Self::Vtep,
        Self::Lease,
        Self::Peer,
        Self::Instance,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Network => "network",
            Self::Segment => "segment",
            Self::Vtep => "vtep",
            Self::Lease => "lease",
            Self::Peer => "peer",
            Self::Instance => "instance",
        }
    }
}

impl fmt::Display for PlacementKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Names a placement without its spec: enough to find on a host what it made, and to remove it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct PlacementRef {
    pub id: PlacementId,
    pub kind: PlacementKind,
    /// The network, segment's network, lease, peer or instance that it is a part of; of a VTEP the
    /// component at the other end.
    pub resource: Uuid,
    /// The network it belongs to; the resource itself for a network and a segment, none for an instance.
    pub network: Option<NetworkId>,
}

/// "Keep this like that": what a component is told to ensure.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Placement {
    pub id: PlacementId,
    /// Raised by each change; a component refuses one older than what it has accepted.
    pub generation: u64,
    pub spec: PlacementSpec,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum PlacementSpec {
    Network(NetworkPlacement),
    Segment(SegmentPlacement),
    Vtep(VtepPlacement),
    Lease(LeasePlacement),
    Peer(PeerPlacement),
    Instance(Box<InstancePlacement>),
}

impl PlacementSpec {
    pub fn kind(&self) -> PlacementKind {
        match self {
            Self::Network(_) => PlacementKind::Network,
            Self::Segment(_) => PlacementKind::Segment,
            Self::Vtep(_) => PlacementKind::Vtep,
            Self::Lease(_) => PlacementKind::Lease,
            Self::Peer(_) => PlacementKind::Peer,
            Self::Instance(_) => PlacementKind::Instance,
        }
    }

    /// The resource that this is a part of.
    pub fn resource(&self) -> Uuid {
        match self {
            Self::Network(network) => network.network.0,
            Self::Segment(segment) => segment.network.0,
            Self::Vtep(vtep) => vtep.host.0,
            Self::Lease(lease) => lease.lease.0,
            Self::Peer(peer) => peer.peer.0,
            Self::Instance(instance) => instance.instance.0,
        }
    }

    pub fn network(&self) -> Option<NetworkId> {
        match self {
            Self::Network(network) => Some(network.network),
            Self::Segment(segment) => Some(segment.network),
            Self::Vtep(vtep) => Some(vtep.network),
            Self::Lease(lease) => Some(lease.network),
            Self::Peer(peer) => Some(peer.network),
            Self::Instance(_) => None,
        }
    }
}

impl Placement {
    pub fn reference(&self) -> PlacementRef {
        PlacementRef {
            id: self.id,
            kind: self.spec.kind(),
            resource: self.spec.resource(),
            network: self.spec.network(),
        }
    }
}

/// What a component reports of a placement that it has brought to its generation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Observed {
    Network(NetworkObserved),
    Segment,
    Vtep,
    Lease,
    Peer,
    Instance(InstanceObserved),
}

/// Something on a host that carries our mark, as an inventory lists it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Found {
    pub placement: PlacementRef,
    /// The generation it was last brought to; 0 where the mark does not say.
    pub generation: u64,
    /// What it is now; none where it is not as the component's ledger says it should be.
    pub observed: Option<Observed>,
    /// What of it is not as it should be, for people; empty where that is not known.
    #[serde(default)]
    pub differs: String,
}
