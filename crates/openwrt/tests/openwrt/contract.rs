//! What every driver has to keep, on the real thing.

use std::sync::Arc;

use rhyzome_component::Driver;
use rhyzome_component::contract::{self, Subject};
use rhyzome_model::network::{NetworkPlacement, SegmentPlacement};
use rhyzome_model::placement::{Placement, PlacementSpec};

use crate::site::{Site, device, lease, network, peer, placed, vtep};

#[tokio::test(flavor = "multi_thread")]
async fn the_driver_keeps_its_contract() {
    let site = Site::new();
    let ((one, one_spec), (two, two_spec)) = (network(1), network(2));
    let placements = vec![
        one,
        two,
        vtep(&one_spec, 9),
        lease(&one_spec, 17, "web"),
        lease(&one_spec, 18, "db"),
        lease(&two_spec, 17, "web"),
        peer(&one_spec, 2),
        peer(&one_spec, 3),
        peer(&two_spec, 2),
    ];
    try_on(&site, &two_spec, placements, async |subject| {
        contract::all(subject).await;
    })
    .await;
}

/// Tries something of the contract on a router. The last of the placements is a peer of the network.
pub async fn try_on(
    site: &Site,
    network: &NetworkPlacement,
    placements: Vec<Placement>,
    what: impl AsyncFnOnce(&mut Subject<'_>),
) {
    let segment = PlacementSpec::Segment(SegmentPlacement {
        network: network.network,
        project: network.project.clone(),
        name: network.name.clone(),
        segment: network.segment,
        mtu: network.mtu,
        router: None,
    });
    let start = || -> Arc<dyn Driver> { Arc::new(site.driver()) };
    let take_peer_away = |placement: &Placement| {
        let key = crate::site::key_of(placement);
        let device = format!("{}_wg", device(network));
        let words = ["wg", "set", &device, "peer", key, "remove"];
        site.machine.output(words);
    };
    let mut subject = Subject {
        driver: start(),
        placements,
        unsupported: placed(segment),
        restart: &start,
        break_one: &take_peer_away,
    };
    what(&mut subject).await;
}
