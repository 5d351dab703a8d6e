//! Segments: who holds them, and what of the host can be reached through them.

use rhyzome_hostnet::segment::{self, Held};
use rhyzome_hostnet::{Holder, Links, Role, SegmentError, nft, sysctl};
use rhyzome_model::network::bridge_name;
use rhyzome_model::{NetworkId, PlacementId};
use uuid::Uuid;

use crate::mark;
use crate::world::{Place, on_a_host, plug};

fn held() -> Held {
    Held {
        network: NetworkId(Uuid::new_v4()),
        placement: PlacementId(Uuid::new_v4()),
    }
}

#[test]
fn a_segment_goes_with_its_last_holder() {
    on_a_host(|| async {
        let Held { network, placement } = held();
        let router = Holder {
            role: Role::Router,
            mark: mark(),
        };
        let hypervisor = Holder {
            role: Role::Hypervisor,
            mark: mark(),
        };
        let bridge = segment::ensure(network, placement, 1400, router)
            .await
            .unwrap();
        assert_eq!(bridge, bridge_name(network));
        let before = Links::open().unwrap().list().await.unwrap();
        segment::ensure(network, placement, 1400, router)
            .await
            .unwrap();
        assert_eq!(
            Links::open().unwrap().list().await.unwrap(),
            before,
            "twice changes nothing"
        );
        let other = PlacementId(Uuid::new_v4());
        segment::ensure(network, other, 1400, hypervisor)
            .await
            .unwrap();
        assert_eq!(
            segment::list(hypervisor).await.unwrap(),
            [Held {
                network,
                placement: other
            }]
        );
        segment::remove(network, router).await.unwrap();
        assert_eq!(
            segment::check(network, 1400, hypervisor).await.unwrap(),
            None
        );
        assert!(
            segment::check(network, 1400, router)
                .await
                .unwrap()
                .is_some()
        );
        segment::remove_all(hypervisor).await.unwrap();
        assert!(
            Links::open()
                .unwrap()
                .find(&bridge)
                .await
                .unwrap()
                .is_none()
        );
        assert!(nft::tables().await.unwrap().is_empty());
    });
}

/// Debian 12's kernel gives a link that is up no other name, and a segment's bridge gets its own last.
#[test]
fn a_new_bridge_is_down() {
    on_a_host(|| async {
        let links = Links::open().unwrap();
        links.add_bridge("new").await.unwrap();
        assert!(!links.find("new").await.unwrap().unwrap().up);
    });
}

#[test]
fn many_at_once_agree_on_one_bridge() {
    on_a_host(|| async {
        let network = held().network;
        let holders: Vec<Holder> = (0..6)
            .map(|_| Holder {
                role: Role::Router,
                mark: mark(),
            })
            .collect();
        let all = holders
            .iter()
            .map(|holder| segment::ensure(network, held().placement, 1500, *holder));
        assert!(
            futures::future::join_all(all)
                .await
                .iter()
                .all(Result::is_ok)
        );
        let links = Links::open().unwrap().list().await.unwrap();
        let bridges: Vec<_> = links
            .iter()
            .filter(|link| link.kind.as_deref() == Some("bridge"))
            .collect();
        assert_eq!(bridges.len(), 1);
        assert_eq!(bridges[0].altnames.len(), 6);
        let all = holders
            .iter()
            .map(|holder| segment::remove(network, *holder));
        assert!(
            futures::future::join_all(all)
                .await
                .iter()
                .all(Result::is_ok)
        );
        assert!(
            Links::open()
                .unwrap()
                .find(&bridge_name(network))
                .await
                .unwrap()
                .is_none()
        );
    });
}

#[test]
fn a_strangers_bridge_is_left_alone() {
    on_a_host(|| async {
        let Held { network, placement } = held();
        let holder = Holder {
            role: Role::Router,
            mark: mark(),
        };
        let links = Links::open().unwrap();
        links.add_bridge(&bridge_name(network)).await.unwrap();
        let before = links.list().await.unwrap();
        let error = segment::ensure(network, placement, 1500, holder)
            .await
            .unwrap_err();
        assert!(matches!(error, SegmentError::Foreign(_)) && error.is_permanent());
        segment::remove(network, holder).await.unwrap();
        segment::remove_all(holder).await.unwrap();
        assert_eq!(links.list().await.unwrap(), before);
    });
}

#[test]
fn what_somebody_changed_is_noticed_and_put_right() {
    on_a_host(|| async {
        let Held { network, placement } = held();
        let holder = Holder {
            role: Role::Router,
            mark: mark(),
        };
        let bridge = segment::ensure(network, placement, 1500, holder)
            .await
            .unwrap();
        let links = Links::open().unwrap();
        let index = links.find(&bridge).await.unwrap().unwrap().index;
        assert_eq!(segment::check(network, 1500, holder).await.unwrap(), None);
        nft::delete("netdev", &bridge).await.unwrap();
        assert!(
            segment::check(network, 1500, holder)
                .await
                .unwrap()
                .unwrap()
                .contains("missing")
        );
        segment::ensure(network, placement, 1500, holder)
            .await
            .unwrap();
        links.delete(index).await.unwrap();
        assert_eq!(
            segment::check(network, 1500, holder)
                .await
                .unwrap()
                .unwrap(),
            "it is missing"
        );
        segment::ensure(network, placement, 1500, holder)
            .await
            .unwrap();
        assert_eq!(segment::check(network, 1500, holder).await.unwrap(), None);
    });
}

#[test]
fn an_instance_cannot_reach_the_host_through_its_segment() {
    on_a_host(|| async {
        let Held { network, placement } = held();
        let holder = Holder {
            role: Role::Router,
            mark: mark(),
        };
        let links = Links::open().unwrap();
        // The host has an address elsewhere, and answers there.
        links.add_veth("up0", "up1").await.unwrap();
        let up0 = links.find("up0").await.unwrap().unwrap();
        links
            .ensure_addresses(up0.index, &["10.7.0.1/24".parse().unwrap()])
            .await
            .unwrap();
        let bridge = segment::ensure(network, placement, 1500, holder)
            .await
            .unwrap();
        let instance = Place::new("instance").await;
        let mac = [0x52, 0x54, 0, 0, 0, 1];
        plug(
            &instance,
            &bridge,
            "tap0",
            mac,
            vec!["10.7.0.2/24".parse().unwrap()],
        )
        .await;
        let answers =
            async || crate::frame::answers_arp(&instance, mac, "10.7.0.2", "10.7.0.1").await;
        // A bridge without its shield would answer: the test can fail, and the link is plugged in.
        nft::delete("netdev", &bridge).await.unwrap();
        let parameter = format!("net/ipv4/conf/{bridge}/arp_ignore");
        sysctl::ensure(&parameter, "0").unwrap();
        let mut tries = 0;
        while !answers().await {
            tries += 1;
            assert!(tries < 20, "it never answers");
        }
        segment::ensure(network, placement, 1500, holder)
            .await
            .unwrap();
        assert!(!answers().await);
        // The rules alone are enough.
        sysctl::ensure(&parameter, "0").unwrap();
        assert!(!answers().await);
    });
}
