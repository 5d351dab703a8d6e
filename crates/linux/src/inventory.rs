//! What is on the host: from its namespaces and bridges, the records, and a look at each network.

use std::collections::BTreeMap;

use rhyzome_hostnet::{Namespace, segment};
use rhyzome_model::peer::PeerPlacement;
use rhyzome_model::placement::{
    Found, Observed, Placement, PlacementKind, PlacementRef, PlacementSpec,
};
use rhyzome_model::{NetworkId, PlacementId};
use uuid::Uuid;

use crate::driver::LinuxDriver;
use crate::error::Error;
use crate::layout::{self, Layout};
use crate::record::{self, LeaseRecord, NetworkRecord, PeerRecord, Shelf};
use crate::{dnsmasq, endpoint, network, router};

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
                found.push(missing(
                    PlacementKind::Network,
                    placement,
                    network.0,
                    network,
                    0,
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
    let reference = PlacementRef {
        id: placement,
        kind: PlacementKind::Network,
        resource: network.0,
        network: Some(network),
    };
    let record = record::read_network(&layout.folder)?;
    let mut observed = None;
    if let Some(record) = record
        .as_ref()
        .filter(|record| generation != 0 && is_accepted(record, accepted))
    {
        observed = look(driver, record).await?;
    }
    let mut found = vec![Found {
        placement: reference,
        generation,
        observed,
    }];
    if let Some(record) = record {
        found.extend(leases(&layout, &record, accepted)?);
        found.extend(peers(&layout, &record, accepted).await?);
    }
    Ok(found)
}

async fn look(driver: &LinuxDriver, record: &NetworkRecord) -> Result<Option<Observed>, Error> {
    match network::look(driver, record).await? {
        Ok(observed) => Ok(Some(Observed::Network(observed))),
        Err(why) => {
            tracing::info!(network = %record.spec.network, why, "a network is not as it should be");
            Ok(None)
        }
    }
}

fn is_accepted(record: &NetworkRecord, accepted: &Accepted) -> bool {
    accepted.get(&record.placement).is_some_and(|placement| {
        placement.generation == record.generation
            && placement.spec == PlacementSpec::Network(record.spec.clone())
    })
}

/// What is there, and not known to be as it should be.
fn missing(
    kind: PlacementKind,
    id: PlacementId,
    resource: Uuid,
    network: NetworkId,
    generation: u64,
) -> Found {
    let placement = PlacementRef {
        id,
        kind,
        resource,
        network: Some(network),
    };
    Found {
        placement,
        generation,
        observed: None,
    }
}

fn leases(
    layout: &Layout,
    network: &NetworkRecord,
    accepted: &Accepted,
) -> Result<Vec<Found>, Error> {
    let records: Vec<LeaseRecord> = record::list(&layout.folder, Shelf::Leases)?;
    let written = dnsmasq::files_match(&layout.folder, &network.spec)?;
    let look = |record: &LeaseRecord| {
        let spec = PlacementSpec::Lease(record.spec.clone());
        let as_asked = accepted.get(&record.placement).is_some_and(|placement| {
            placement.generation == record.generation && placement.spec == spec
        });
        let lease = record.spec.lease.0;
        let found = missing(
            PlacementKind::Lease,
            record.placement,
            lease,
            layout.network,
            record.generation,
        );
        Found {
            observed: (as_asked && written).then_some(Observed::Lease),
            ..found
        }
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
        let in_force = in_force
            .as_ref()
            .is_some_and(|in_force| endpoint::has(in_force, &record.spec));
        let peer = record.spec.peer.0;
        let found = missing(
            PlacementKind::Peer,
            record.placement,
            peer,
            layout.network,
            record.generation,
        );
        Found {
            observed: (as_asked && in_force).then_some(Observed::Peer),
            ..found
        }
    };
    Ok(records.iter().map(look).collect())
}

/// What one accepted placement is now; none where it is not as its spec says.
pub(crate) async fn one(
    driver: &LinuxDriver,
    placement: &Placement,
) -> Result<Option<Observed>, Error> {
    if let PlacementSpec::Vtep(spec) = &placement.spec {
        let about = (placement.id, placement.generation);
        let difference = driver.tunnels().await.check(about, spec).await;
        let difference = difference.map_err(Error::Tunnel)?;
        return Ok(difference.is_none().then_some(Observed::Vtep));
    }
    let Some(network) = placement.spec.network() else {
        return Ok(None);
    };
    let _lock = driver.lock(network).await;
    let layout = driver.layout(network);
    let Some(record) = record::read_network(&layout.folder)? else {
        return Ok(None);
    };
    if let PlacementSpec::Peer(spec) = &placement.spec {
        return one_peer(&layout, &record, placement, spec).await;
    }
    let accepted: Accepted = BTreeMap::from([(placement.id, placement)]);
    let all = of_network(driver, network, record.placement, &accepted).await?;
    Ok(all
        .into_iter()
        .find(|found| found.placement.id == placement.id)
        .and_then(|found| found.observed))
}

/// Without a look at the others, of which there may be a thousand.
async fn one_peer(
    layout: &Layout,
    network: &NetworkRecord,
    placement: &Placement,
    spec: &PeerPlacement,
) -> Result<Option<Observed>, Error> {
    let record: Option<PeerRecord> = record::get(&layout.folder, Shelf::Peers, spec.peer.0)?;
    let as_asked = record.is_some_and(|record| {
        record.placement == placement.id
            && record.generation == placement.generation
            && record.spec == *spec
    });
    let Ok(key) = endpoint::key(spec) else {
        return Ok(None);
    };
    let in_force = endpoint::peers(layout, &network.spec, Some(&[key])).await?;
    let in_force = in_force.is_some_and(|in_force| endpoint::has(&in_force, spec));
    Ok((as_asked && in_force).then_some(Observed::Peer))
}
