//! What is on the router, as the core is told.

use rhyzome_model::network::NetworkObserved;
use rhyzome_model::placement::{Found, Observed, Placement, PlacementKind, PlacementRef};
use rhyzome_model::{NetworkId, PlacementId};
use uuid::Uuid;

use crate::names::Names;
use crate::record::{Kept, Record, Records, reference};
use crate::survey::Survey;
use crate::system::System;
use crate::verify::About;

/// Where userspace implementations of WireGuard have their sockets.
const SOCKETS: &str = "/var/run/wireguard";

/// What a network says of itself.
pub(crate) fn observed(system: &System, kept: &Kept) -> Observed {
    let device = Names::new(kept.network.spec.segment).tunnel();
    let socket = system.path(SOCKETS).join(format!("{device}.sock"));
    let kind = if socket.exists() {
        "userspace"
    } else {
        "kernel"
    };
    Observed::Network(NetworkObserved {
        endpoint_key: kept.key.public_key().to_string(),
        endpoint_kind: kind.to_owned(),
    })
}

/// All that is recorded, and what is marked and is not.
pub(crate) fn found(
    system: &System,
    records: &Records,
    survey: &Survey,
    accepted: &[Placement],
) -> Vec<Found> {
    let mut found = Vec::new();
    let is_asked = |reference: &PlacementRef| {
        accepted
            .iter()
            .any(|placement| placement.id == reference.id && records.has(placement))
    };
    let mut add = |network, (about, reference, generation, observed): Member| {
        let (is_good, is_asked) = (survey.is_good(network, about), is_asked(&reference));
        let differs = match is_asked {
            true => survey.told(network, about),
            false => String::new(),
        };
        found.push(Found {
            placement: reference,
            generation,
            observed: (is_good && is_asked).then_some(observed),
            differs,
        });
    };
    for (id, kept) in &records.networks {
        let (about, network) = (About::Network, observed(system, kept));
        let generation = kept.network.generation;
        add(*id, (about, kept.reference(), generation, network));
        members(*id, kept).into_iter().for_each(|one| add(*id, one));
    }
    found.extend(survey.strangers.iter().map(|id| Found {
        placement: PlacementRef {
            // Nobody knows its placement any more.
            id: PlacementId(id.0),
            kind: PlacementKind::Network,
            resource: id.0,
            network: Some(*id),
        },
        generation: 0,
        observed: None,
        differs: String::new(),
    }));
    found
}

type Member = (About, PlacementRef, u64, Observed);

/// What belongs to a network.
pub(crate) fn members(network: NetworkId, kept: &Kept) -> Vec<Member> {
    fn of<T>(
        network: NetworkId,
        (id, record): (&Uuid, &Record<T>),
        kind: PlacementKind,
        about: fn(Uuid) -> About,
        observed: Observed,
    ) -> Member {
        let reference = reference(record, kind, *id, network);
        (about(*id), reference, record.generation, observed)
    }
    let leases = kept.leases.iter().map(|lease| {
        let kind = PlacementKind::Lease;
        of(network, lease, kind, About::Lease, Observed::Lease)
    });
    let peers = kept.peers.iter().map(|peer| {
        let kind = PlacementKind::Peer;
        of(network, peer, kind, About::Peer, Observed::Peer)
    });
    let vteps = kept.vteps.iter().map(|vtep| {
        let kind = PlacementKind::Vtep;
        of(network, vtep, kind, About::Vtep, Observed::Vtep)
    });
    leases.chain(peers).chain(vteps).collect()
}
