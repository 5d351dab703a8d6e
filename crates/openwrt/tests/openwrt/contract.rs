//! What every driver has to keep, on the real thing.

use std::sync::Arc;

use rhyzome_component::Driver;
use rhyzome_component::contract::{self, Subject};
use rhyzome_model::network::SegmentPlacement;
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
    let segment = PlacementSpec::Segment(SegmentPlacement {
        network: one_spec.network,
        project: one_spec.project.clone(),
        name: one_spec.name.clone(),
        segment: one_spec.segment,
        mtu: one_spec.mtu,
        router: None,
    });
    let start = || -> Arc<dyn Driver> { Arc::new(site.driver()) };
    // The last one is a peer of the second network.
    let take_peer_away = |placement: &Placement| {
        let key = crate::site::key_of(placement);
        let device = format!("{}_wg", device(&two_spec));
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
    contract::all(&mut subject).await;
}
