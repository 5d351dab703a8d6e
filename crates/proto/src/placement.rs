//! Placements and references to them.

use rhyzome_model::component::ComponentKind;
use rhyzome_model::placement::{Placement, PlacementKind, PlacementRef, PlacementSpec};
use uuid::Uuid;

use crate::invalid::{Invalid, inner, text};
use crate::pb;

impl From<PlacementKind> for pb::PlacementKind {
    fn from(kind: PlacementKind) -> Self {
        match kind {
            PlacementKind::Network => Self::Network,
            PlacementKind::Segment => Self::Segment,
            PlacementKind::Vtep => Self::Vtep,
            PlacementKind::Lease => Self::Lease,
            PlacementKind::Peer => Self::Peer,
            PlacementKind::Instance => Self::Instance,
        }
    }
}

pub(crate) fn placement_kind(field: &'static str, value: i32) -> Result<PlacementKind, Invalid> {
    match pb::PlacementKind::try_from(value) {
        Ok(pb::PlacementKind::Network) => Ok(PlacementKind::Network),
        Ok(pb::PlacementKind::Segment) => Ok(PlacementKind::Segment),
        Ok(pb::PlacementKind::Vtep) => Ok(PlacementKind::Vtep),
        Ok(pb::PlacementKind::Lease) => Ok(PlacementKind::Lease),
        Ok(pb::PlacementKind::Peer) => Ok(PlacementKind::Peer),
        Ok(pb::PlacementKind::Instance) => Ok(PlacementKind::Instance),
        Ok(pb::PlacementKind::Unspecified) => Err(Invalid::missing(field)),
        Err(_) => Err(Invalid::unknown(field, value)),
    }
}

impl From<ComponentKind> for pb::ComponentKind {
    fn from(kind: ComponentKind) -> Self {
        match kind {
            ComponentKind::Libvirt => Self::Libvirt,
            ComponentKind::Linux => Self::Linux,
            ComponentKind::Openwrt => Self::Openwrt,
        }
    }
}

pub(crate) fn component_kind(field: &'static str, value: i32) -> Result<ComponentKind, Invalid> {
    match pb::ComponentKind::try_from(value) {
        Ok(pb::ComponentKind::Libvirt) => Ok(ComponentKind::Libvirt),
        Ok(pb::ComponentKind::Linux) => Ok(ComponentKind::Linux),
        Ok(pb::ComponentKind::Openwrt) => Ok(ComponentKind::Openwrt),
        Ok(pb::ComponentKind::Unspecified) => Err(Invalid::missing(field)),
        Err(_) => Err(Invalid::unknown(field, value)),
    }
}

impl From<PlacementRef> for pb::PlacementRef {
    fn from(target: PlacementRef) -> Self {
        Self {
            id: target.id.to_string(),
            kind: pb::PlacementKind::from(target.kind).into(),
            resource: target.resource.to_string(),
            network: target.network.map(|network| network.to_string()),
        }
    }
}

impl TryFrom<pb::PlacementRef> for PlacementRef {
    type Error = Invalid;

    fn try_from(target: pb::PlacementRef) -> Result<Self, Invalid> {
        Ok(Self {
            id: text("id", &target.id)?,
            kind: placement_kind("kind", target.kind)?,
            resource: text::<Uuid>("resource", &target.resource)?,
            network: target
                .network
                .map(|network| text("network", &network))
                .transpose()?,
        })
    }
}

impl From<Placement> for pb::Placement {
    fn from(placement: Placement) -> Self {
        let spec = match placement.spec {
            PlacementSpec::Network(network) => pb::placement::Spec::Network(network.into()),
            PlacementSpec::Segment(segment) => pb::placement::Spec::Segment(segment.into()),
            PlacementSpec::Vtep(vtep) => pb::placement::Spec::Vtep(vtep.into()),
            PlacementSpec::Lease(lease) => pb::placement::Spec::Lease(lease.into()),
            PlacementSpec::Peer(peer) => pb::placement::Spec::Peer(peer.into()),
            PlacementSpec::Instance(instance) => pb::placement::Spec::Instance((*instance).into()),
        };
        Self {
            id: placement.id.to_string(),
            generation: placement.generation,
            spec: Some(spec),
        }
    }
}

impl TryFrom<pb::Placement> for Placement {
    type Error = Invalid;

    fn try_from(placement: pb::Placement) -> Result<Self, Invalid> {
        let spec = placement.spec.ok_or_else(|| Invalid::missing("spec"))?;
        Ok(Self {
            id: text("id", &placement.id)?,
            generation: placement.generation,
            spec: spec.try_into()?,
        })
    }
}

impl TryFrom<pb::placement::Spec> for PlacementSpec {
    type Error = Invalid;

    fn try_from(spec: pb::placement::Spec) -> Result<Self, Invalid> {
        Ok(match spec {
            pb::placement::Spec::Network(network) => {
                Self::Network(inner("network", Some(network))?)
            }
            pb::placement::Spec::Segment(segment) => {
                Self::Segment(inner("segment", Some(segment))?)
            }
            pb::placement::Spec::Vtep(vtep) => Self::Vtep(inner("vtep", Some(vtep))?),
            pb::placement::Spec::Lease(lease) => Self::Lease(inner("lease", Some(lease))?),
            pb::placement::Spec::Peer(peer) => Self::Peer(inner("peer", Some(peer))?),
            pb::placement::Spec::Instance(instance) => {
                Self::Instance(Box::new(inner("instance", Some(instance))?))
            }
        })
    }
}
