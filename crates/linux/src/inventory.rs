//! What is on the host: from its namespaces and bridges, the records, and a look at each network.

use std::collections::BTreeMap;

use rhyzome_component::Differs;
use rhyzome_hostnet::{Namespace, segment};
use rhyzome_model::peer::PeerPlacement;
use rhyzome_model::placement::{
    Found, Observed, Placement, PlacementKind, PlacementRef, PlacementSpec,
};
use rhyzome_model::{NetworkId, PlacementId};
use rhyzome_wireguard::peers::PeerSet;
use uuid::Uuid;

use crate::driver::LinuxDriver;
use crate::error::Error;
use crate::layout::{self, Layout};
use crate::record::{self, LeaseRecord, NetworkRecord, PeerRecord, Shelf};
use crate::{dnsmasq, endpoint, network, router};

type Looked = Result<Observed, Differs>;

/// A placement as accepted, or nothing where it was not.
type Accepted<'a> = BTreeMap<PlacementId, &'a Placement>;

/// All that carries the mark.
pub(crate) async fn all(driver: &LinuxDriver, accepted: &[Placement]) -> Result<Vec<Found>, Error> {
    let accepted: Accepted = accepted
        .iter()
        .map(|placement| (placement.id, placement))
        .collect();
    let mut found = Vec::new();
    for (network, placement) in networks(driver).await? {
        let _lock = driver.lock(network).await;
        match of_network(driver, network, placement, &accepted).await {
            Ok(all) => found.extend(all),
            // It is there all the same; the others are looked at.
            Err(error) => {
                tracing::error!(%network, error = &error as &dyn std::error::Error, "cannot look at a network");
                found.push(self::found(
                    reference(network, placement),
                    0,
                    Err(Differs::default()),
                ));
            }
        }
    }
    let tunnels = driver.tunnels().await;
    let placements: Vec<Placement> = accepted.values().map(|p| (*p).clone()).collect();
    found.extend(
        tunnels
            .inventory(&placements)
            .await
            .map_err(Error::Tunnel)?,
    );
    Ok(found)
}

/// The networks that have anything here, and the placement that each was made for.
async fn networks(driver: &LinuxDriver) -> Result<BTreeMap<NetworkId, PlacementId>, Error> {
    let mut networks = BTreeMap::new();
    for held in segment::list(layout::holder(driver.mark()))
        .await
        .map_err(Error::Segment)?
    {
        networks.insert(held.network, held.placement);
    }
    for namespace in Namespace::list().map_err(Error::Namespace)? {
        if layout::is_router(&namespace, driver.mark()) {
            let layout = Layout {
                namespace,
                ..driver.layout(NetworkId(Uuid::nil()))
            };
            if let Some(about) = router::about(&layout).await? {
                networks.insert(about.network, about.placement);
            }
        }
    }
    for folder in record::entries(&layout::networks_dir(&driver.settings().state_dir))? {
        if let Some(record) = record::read_network(&folder)? {
            networks.insert(record.spec.network, record.placement);
        }
    }
    Ok(networks)
}

fn reference(network: NetworkId, placement: PlacementId) -> PlacementRef {
    PlacementRef {
        id: placement,
        kind: PlacementKind::Network,
        resource: network.0,
        network: Some(network),
    }
}

async fn of_network(
    driver: &LinuxDriver,
    network: NetworkId,
    placement: PlacementId,
    accepted: &Accepted<'_>,
) -> Result<Vec<Found>, Error> {
    let layout = driver.layout(network);
    let generation = router::about(&layout)
        .await?
        .map_or(0, |about| about.generation);
    let reference = reference(network, placement);
    let record = record::read_network(&layout.folder)?;
    let looked = match record
        .as_ref()
        .filter(|record| generation != 0 && is_accepted(record, accepted))
    {
        Some(record) => look(driver, record).await?,
        None => Err(Differs::default()),
    };
    let mut found = vec![found(reference, generation, looked)];
    if let Some(record) = record {
        found.extend(leases(&layout, &record, accepted)?);
        found.extend(peers(&layout, &record, accepted).await?);
    }
    Ok(found)
}

fn found(placement: PlacementRef, generation: u64, looked: Looked) -> Found {
    let (observed, Differs(differs)) = match looked {
        Ok(observed) => (Some(observed), Differs::default()),
        Err(differs) => (None, differs),
    };
    Found {
        placement,
        generation,
        observed,
        differs,
    }
}

async fn look(driver: &LinuxDriver, record: &NetworkRecord) -> Result<Looked, Error> {
    match network::look(driver, record).await? {
        Ok(observed) => Ok(Ok(Observed::Network(observed))),
        Err(why) => {
            tracing::info!(network = %record.spec.network, why, "a network is not as it should be");
            Ok(Err(Differs(why)))
        }
    }
}

/// What was asked is found, or this differs.
fn checked(as_asked: bool, observed: Observed, difference: Option<&str>) -> Looked {
    match (as_asked, difference) {
        (true, None) => Ok(observed),
        (true, Some(difference)) => Err(Differs(difference.to_owned())),
        // Nobody changed it.
        (false, _) => Err(Differs::default()),
    }
}

fn is_accepted(record: &NetworkRecord, accepted: &Accepted) -> bool {
    accepted.get(&record.placement).is_some_and(|placement| {
        placement.generation == record.generation
            && placement.spec == PlacementSpec::Network(record.spec.clone())
    })
}

fn leases(
    layout: &Layout,
    network: &NetworkRecord,
    accepted: &Accepted,
) -> Result<Vec<Found>, Error> {
    let records: Vec<LeaseRecord> = record::list(&layout.folder, Shelf::Leases)?;
    let written = dnsmasq::files_match(&layout.folder, &network.spec)?;
    let difference = (!written).then_some("the files of the network's dnsmasq are not as written");
    let look = |record: &LeaseRecord| {
        let spec = PlacementSpec::Lease(record.spec.clone());
        let as_asked = accepted.get(&record.placement).is_some_and(|placement| {
            placement.generation == record.generation && placement.spec == spec
        });
        let placement = PlacementRef {
            id: record.placement,
            kind: PlacementKind::Lease,
            resource: record.spec.lease.0,
            network: Some(layout.network),
        };
        let looked = checked(as_asked, Observed::Lease, difference);
        found(placement, record.generation, looked)
    };
    Ok(records.iter().map(look).collect())
}

async fn peers(
    layout: &Layout,
    network: &NetworkRecord,
    accepted: &Accepted<'_>,
) -> Result<Vec<Found>, Error> {
    let records: Vec<PeerRecord> = record::list(&layout.folder, Shelf::Peers)?;
    let in_force = endpoint::peers(layout, &network.spec, None).await?;
    let look = |record: &PeerRecord| {
        let spec = PlacementSpec::Peer(record.spec.clone());
        let as_asked = accepted.get(&record.placement).is_some_and(|placement| {
            placement.generation == record.generation && placement.spec == spec
        });
        let placement = PlacementRef {
            id: record.placement,
            kind: PlacementKind::Peer,
            resource: record.spec.peer.0,
            network: Some(layout.network),
        };
        let difference = peer_difference(in_force.as_ref(), &record.spec);
        let looked = checked(as_asked, Observed::Peer, difference.as_deref());
        found(placement, record.generation, looked)
    };
    Ok(records.iter().map(look).collect())
}

/// Without an endpoint the network is not as it should be, and that says why.
fn peer_difference(in_force: Option<&PeerSet>, spec: &PeerPlacement) -> Option<String> {
    match in_force {
        None => Some(String::new()),
        Some(in_force) if endpoint::has(in_force, spec) => None,
        Some(_) => Some(format!(
            "the WireGuard endpoint does not have the peer {} with its addresses",
            spec.public_key
        )),
    }
}

/// What one accepted placement is now, or that it is not as its spec says.
pub(crate) async fn one(driver: &LinuxDriver, placement: &Placement) -> Result<Looked, Error> {
    let nothing = || Ok(Err(Differs::default()));
    if let PlacementSpec::Vtep(spec) = &placement.spec {
        let about = (placement.id, placement.generation);
        let difference = driver.tunnels().await.check(about, spec).await;
        let difference = difference.map_err(Error::Tunnel)?;
        return Ok(difference.map_or(Ok(Observed::Vtep), |why| Err(Differs(why))));
    }
    let Some(network) = placement.spec.network() else {
        return nothing();
    };
    let _lock = driver.lock(network).await;
    let layout = driver.layout(network);
    let Some(record) = record::read_network(&layout.folder)? else {
        return nothing();
    };
    if let PlacementSpec::Peer(spec) = &placement.spec {
        return one_peer(&layout, &record, placement, spec).await;
    }
    let accepted: Accepted = BTreeMap::from([(placement.id, placement)]);
    let all = of_network(driver, network, record.placement, &accepted).await?;
    let own = all
        .into_iter()
        .find(|found| found.placement.id == placement.id);
    match own {
        Some(found) => Ok(found.observed.ok_or(Differs(found.differs))),
        None => nothing(),
    }
}

/// Without a look at the others, of which there may be a thousand.
async fn one_peer(
    layout: &Layout,
    network: &NetworkRecord,
    placement: &Placement,
    spec: &PeerPlacement,
) -> Result<Looked, Error> {
    let record: Option<PeerRecord> = record::get(&layout.folder, Shelf::Peers, spec.peer.0)?;
    let as_asked = record.is_some_and(|record| {
        record.placement == placement.id
            && record.generation == placement.generation
            && record.spec == *spec
    });
    let Ok(key) = endpoint::key(spec) else {
        return Ok(Err(Differs::default()));
    };
    let in_force = endpoint::peers(layout, &network.spec, Some(&[key])).await?;
    let difference = peer_difference(in_force.as_ref(), spec);
    Ok(checked(as_asked, Observed::Peer, difference.as_deref()))
}
