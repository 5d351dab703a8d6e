//! Networks as VLANs of a trunk, in a guest whose kernel has 802.1Q.

use rhyzome_component::{Differs, Driver, Progress};
use rhyzome_hostnet::link::Change;
use rhyzome_hostnet::{Carrying, Links};
use rhyzome_lab::Lab;
use rhyzome_linux::{LinuxDriver, Settings};
use rhyzome_model::job::FailureKind;
use rhyzome_model::network::{NetworkPlacement, bridge_name};
use rhyzome_model::placement::{Observed, Placement, PlacementSpec};
use rhyzome_model::segment::{Segment, Segmentation};

use crate::site::{Footprint, Site, network, on_a_site, placed, settings};
use crate::world::up;

static LAB: Lab = Lab::with_files(&["nft", "dnsmasq"], || {
    vec![env!("CARGO_BIN_EXE_rhyzome-linux").into()]
});

/// What is on the host, but for the folder of networks' folders, which stays.
async fn left(site: &Site) -> Footprint {
    let mut left = site.footprint().await;
    left.files.retain(|path| !path.ends_with("/networks"));
    left
}

fn tagged(vlan: u16) -> (Placement, NetworkPlacement) {
    let (_, spec) = network(1);
    let spec = NetworkPlacement {
        segment: Segment::Vlan(vlan.try_into().unwrap()),
        ..spec
    };
    (placed(PlacementSpec::Network(spec.clone())), spec)
}

#[test]
fn a_network_is_a_vlan_of_the_trunk_is_mended_and_leaves_nothing() {
    LAB.run(|| {
        on_a_site(|site| async move {
            let links = Links::open().unwrap();
            links.add_veth("eth1", "cable").await.unwrap();
            up("cable").await;
            up("eth1").await;
            let before = left(&site).await;
            let driver = LinuxDriver::new(Settings {
                carrying: Carrying {
                    segmentations: vec![Segmentation::Vlan, Segmentation::Vxlan],
                    trunk: Some("eth1".to_owned()),
                },
                ..settings(site.state.path())
            });
            let facts = driver.facts().await.unwrap();
            assert_eq!(facts.segmentations.first(), Some(&Segmentation::Vlan));
            assert_eq!(facts.trunk.map(|trunk| trunk.mtu), Some(1500));

            let (placement, spec) = tagged(100);
            let ensure = async || driver.ensure(&placement, &Progress::new().0).await;
            let observed = ensure().await.unwrap();
            assert!(matches!(observed, Observed::Network(_)));
            let vlan = links.find("eth1.100").await.unwrap().unwrap();
            let bridge = links.find(&bridge_name(spec.network)).await.unwrap();
            assert_eq!(vlan.controller, bridge.map(|bridge| bridge.index));

            let down = Change {
                up: Some(false),
                ..Change::default()
            };
            links.change(vlan.index, down).await.unwrap();
            let Err(Differs(what)) = driver.look(&placement).await.unwrap() else {
                panic!("it is down")
            };
            assert_ne!(what, "", "it is known what differs");
            ensure().await.unwrap();
            assert!(driver.look(&placement).await.unwrap().is_ok());

            driver
                .remove(&placement.reference(), &Progress::new().0)
                .await
                .unwrap();
            assert_eq!(left(&site).await, before);
        });
    });
}

#[test]
fn a_vlan_is_refused_where_there_is_no_trunk_and_nothing_stays() {
    on_a_site(|site| async move {
        let before = left(&site).await;
        let (placement, _) = tagged(100);
        let refused = site.ensure(&placement).await.unwrap_err();
        assert_eq!(refused.kind, FailureKind::Permanent);
        let source = std::error::Error::source(&refused).unwrap().to_string();
        assert!(source.contains("VLAN 100 cannot be here"), "{source}");
        site.remove(&placement).await;
        assert_eq!(left(&site).await, before);
    });
}
