//! VLANs of a trunk, in a guest whose kernel has 802.1Q, as the machine at hand may not.

use std::time::Duration;

use rhyzome_hostnet::segment::{self, Held};
use rhyzome_hostnet::{Carrying, Holder, Link, Links, Role, Vlan, VlanError, nft, vlan};
use rhyzome_model::component::HostFacts;
use rhyzome_model::network::bridge_name;
use rhyzome_model::segment::Segmentation;
use rhyzome_model::{NetworkId, PlacementId};
use uuid::Uuid;

use crate::frame;
use crate::world::{Place, on_a_host, plug, up};
use crate::{LAB, mark};

fn held() -> Held {
    Held {
        network: NetworkId(Uuid::new_v4()),
        placement: PlacementId(Uuid::new_v4()),
    }
}

fn holder(role: Role) -> Holder {
    Holder { role, mark: mark() }
}

fn on(trunk: &str, id: u16) -> Vlan<'_> {
    let id = id.try_into().unwrap();
    Vlan { trunk, id }
}

/// A trunk of the calling thread's namespace; its other end is `cable` there.
async fn trunk() -> Links {
    Links::open()
        .unwrap()
        .add_veth("eth1", "cable")
        .await
        .unwrap();
    up("cable").await;
    up("eth1").await.0
}

async fn all() -> Vec<Link> {
    Links::open().unwrap().list().await.unwrap()
}

async fn named(name: &str) -> Option<Link> {
    Links::open().unwrap().find(name).await.unwrap()
}

/// A network's segment as a VLAN.
async fn make(held: Held, id: u16, holder: Holder) -> Result<(), VlanError> {
    segment::ensure(held.network, held.placement, 1400, holder)
        .await
        .unwrap();
    vlan::ensure(held.network, on("eth1", id), 1400, holder).await
}

#[test]
fn what_the_kernel_can_is_found_out_without_a_trace() {
    on_a_host(|| async {
        trunk().await;
        let before = all().await;
        let can = Links::open().unwrap().can_vlans().await.unwrap();
        let found = vlan::trunk("eth1").await;
        assert_eq!(all().await, before);
        match found {
            Ok(found) => assert!(can && found.device == "eth1" && found.mtu == 1500),
            Err(error) => assert!(!can && matches!(error, VlanError::Unsupported), "{error}"),
        }
    });
}

#[test]
fn a_trunk_where_vlans_can_be_is_found() {
    LAB.run(|| {
        on_a_host(|| async {
            let links = trunk().await;
            let before = all().await;
            assert!(links.can_vlans().await.unwrap());
            let found = vlan::trunk("eth1").await.unwrap();
            assert_eq!((found.device.as_str(), found.mtu), ("eth1", 1500));
            assert_eq!(all().await, before);
        });
    });
}

#[test]
fn a_trunk_that_is_not_there_is_not_offered_and_the_facts_say_why() {
    on_a_host(|| async {
        let carrying = |others: &[Segmentation]| Carrying {
            segmentations: [&[Segmentation::Vlan], others].concat(),
            trunk: Some("eth7".to_owned()),
        };
        let mut facts = HostFacts::default();
        carrying(&[Segmentation::Vxlan])
            .tell(&mut facts, 1500)
            .await;
        assert_eq!(facts.segmentations, [Segmentation::Vxlan]);
        assert_eq!(facts.trunk, None);
        assert!(facts.details["vlan"].starts_with("none: "), "{facts:?}");
        assert_eq!(facts.details.get("segmentation"), None);

        carrying(&[]).tell(&mut facts, 1500).await;
        assert_eq!(facts.segmentations, []);
        assert!(facts.details.contains_key("segmentation"), "{facts:?}");
    });
}

#[test]
fn a_host_without_802_1q_says_so_and_makes_nothing() {
    on_a_host(|| async {
        if Links::open().unwrap().can_vlans().await.unwrap() {
            return;
        }
        trunk().await;
        let (held, holder) = (held(), holder(Role::Hypervisor));
        let refused = make(held, 100, holder).await.unwrap_err();
        assert!(
            refused.is_permanent() && refused.to_string().contains("8021q"),
            "{refused}"
        );
        assert_eq!(named("eth1.100").await, None);
        segment::remove(held.network, holder).await.unwrap();
        assert_eq!(all().await.len(), 3, "lo and the trunk's two ends");
    });
}

#[test]
fn a_vlan_is_made_once_mended_and_removed_with_its_segment() {
    LAB.run(|| {
        on_a_host(|| async {
            let links = trunk().await;
            let before = all().await;
            let (held, router, hypervisor) =
                (held(), holder(Role::Router), holder(Role::Hypervisor));
            make(held, 100, router).await.unwrap();
            let made = all().await;
            make(held, 100, router).await.unwrap();
            assert_eq!(all().await, made, "twice changes nothing");
            make(held, 100, hypervisor).await.unwrap();
            let check = async || {
                vlan::check(held.network, on("eth1", 100), 1400)
                    .await
                    .unwrap()
            };
            assert_eq!(check().await, None);

            let link = named("eth1.100").await.unwrap();
            let bridge = named(&bridge_name(held.network)).await.unwrap();
            assert_eq!((link.controller, link.mtu), (Some(bridge.index), 1400));
            links.delete(link.index).await.unwrap();
            assert!(check().await.unwrap().contains("is missing"));
            make(held, 100, router).await.unwrap();
            assert_eq!(check().await, None);

            // With the bridge, all that were its ports lose it.
            links.delete(bridge.index).await.unwrap();
            assert!(check().await.unwrap().contains("no port"));
            for holder in [router, hypervisor] {
                make(held, 100, holder).await.unwrap();
            }
            assert_eq!(check().await, None);

            segment::remove(held.network, router).await.unwrap();
            assert_eq!(check().await, None, "the other one holds it");
            segment::remove(held.network, hypervisor).await.unwrap();
            assert_eq!(all().await, before);
            assert!(nft::tables().await.unwrap().is_empty());
        });
    });
}

#[test]
fn what_a_kill_or_a_hand_left_goes_with_the_next_change() {
    LAB.run(|| {
        on_a_host(|| async {
            let links = trunk().await;
            let before = all().await;
            let trunk = named("eth1").await.unwrap().index;
            // As a kill does between two steps.
            links.add_vlan("rztvlan", trunk, 100).await.unwrap();
            let (first, second, holder) = (held(), held(), holder(Role::Hypervisor));
            make(first, 100, holder).await.unwrap();
            make(second, 200, holder).await.unwrap();
            let bridge = named(&bridge_name(first.network)).await.unwrap();
            links.delete(bridge.index).await.unwrap();
            segment::remove(second.network, holder).await.unwrap();
            assert_eq!(all().await, before);
        });
    });
}

#[test]
fn somebodys_vlan_is_left_alone_and_named() {
    LAB.run(|| {
        on_a_host(|| async {
            let links = trunk().await;
            let trunk = named("eth1").await.unwrap().index;
            links.add_vlan("printers", trunk, 100).await.unwrap();
            let before = all().await;
            let (first, holder) = (held(), holder(Role::Router));
            let refused = make(first, 100, holder).await.unwrap_err();
            assert!(refused.is_permanent(), "{refused}");
            assert!(
                refused
                    .to_string()
                    .contains("as printers, which is not Rhyzome's"),
                "{refused}"
            );
            segment::remove(first.network, holder).await.unwrap();
            segment::remove_all(holder).await.unwrap();
            assert_eq!(all().await, before);

            // Nor may two of ours be one.
            make(first, 101, holder).await.unwrap();
            let refused = make(held(), 101, holder).await.unwrap_err();
            assert!(matches!(refused, VlanError::Foreign { .. }), "{refused}");
            segment::remove_all(holder).await.unwrap();
            assert_eq!(all().await, before);
        });
    });
}

#[test]
fn a_trunk_that_cannot_carry_it_is_told_of() {
    LAB.run(|| {
        on_a_host(|| async {
            let (held, holder) = (held(), holder(Role::Hypervisor));
            let refused = make(held, 100, holder).await.unwrap_err();
            assert!(matches!(refused, VlanError::NoTrunk(_)) && !refused.is_permanent());
            let links = Links::open().unwrap();
            links.add_veth("eth1", "cable").await.unwrap();
            let refused = make(held, 100, holder).await.unwrap_err();
            assert!(matches!(refused, VlanError::Down(_)) && !refused.is_permanent());
            up("cable").await;
            up("eth1").await;
            let wide = vlan::ensure(held.network, on("eth1", 100), 1600, holder).await;
            let refused = wide.unwrap_err().to_string();
            assert!(
                refused.contains("the MTU of the trunk eth1 is 1500"),
                "{refused}"
            );
            make(held, 100, holder).await.unwrap();
            segment::remove(held.network, holder).await.unwrap();
        });
    });
}

/// Two hosts with one cable between them, two networks on it, an instance of each network on each host.
#[test]
fn networks_on_one_trunk_reach_themselves_on_other_hosts_and_not_each_other() {
    LAB.run(|| {
        on_a_host(|| async {
            let there = Place::new("there").await;
            let links = Links::open().unwrap();
            links.add_veth("eth1", "eth9").await.unwrap();
            let cable = links.find("eth9").await.unwrap().unwrap();
            let namespace = std::fs::File::open(there.0.path()).unwrap();
            let change = rhyzome_hostnet::link::Change {
                name: Some("eth1"),
                namespace: Some(&namespace),
                ..Default::default()
            };
            links.change(cable.index, change).await.unwrap();
            up("eth1").await;
            let (one, two) = (held(), held());
            let places = [
                Place::new("a1").await,
                Place::new("a2").await,
                Place::new("b1").await,
                Place::new("b2").await,
            ];
            let [a1, a2, b1, b2] = &places;
            let here = async |held: Held, id: u16, instance: &Place, number: u8| {
                make(held, id, holder(Role::Hypervisor)).await.unwrap();
                let address = format!("10.7.0.{number}/24").parse().unwrap();
                let mac = [0x52, 0x54, 0, 0, 0, number];
                let tap = format!("tap{number}");
                plug(
                    instance,
                    &bridge_name(held.network),
                    &tap,
                    mac,
                    vec![address],
                )
                .await;
            };
            here(one, 100, a1, 1).await;
            here(two, 200, b1, 2).await;
            let (far_a, far_b) = (a2.0.clone(), b2.0.clone());
            there
                .run(move || async move {
                    up("eth1").await;
                    for (held, id, instance, number) in
                        [(one, 100, far_a, 3_u8), (two, 200, far_b, 4)]
                    {
                        make(held, id, holder(Role::Hypervisor)).await.unwrap();
                        let tap = format!("tap{number}");
                        let bridge = bridge_name(held.network);
                        crate::world::plug_into(
                            &instance,
                            &bridge,
                            &tap,
                            [0x52, 0x54, 0, 0, 0, number],
                            vec![format!("10.7.0.{number}/24").parse().unwrap()],
                        )
                        .await;
                    }
                })
                .await;
            let answers = async |from: &Place, number: u8, whom: &str| {
                let mac = [0x52, 0x54, 0, 0, 0, number];
                frame::answers_arp(from, mac, &format!("10.7.0.{number}"), whom).await
            };
            for (from, number, whom) in [(a1, 1, "10.7.0.3"), (b1, 2, "10.7.0.4")] {
                let mut tries = 0;
                while !answers(from, number, whom).await {
                    tries += 1;
                    assert!(tries < 20, "{whom} never answers over the trunk");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
            assert!(
                !answers(a1, 1, "10.7.0.4").await,
                "another network, another host"
            );
            assert!(
                !answers(a1, 1, "10.7.0.2").await,
                "another network, this host"
            );
            assert!(
                !answers(b1, 2, "10.7.0.3").await,
                "another network, another host"
            );
        });
    });
}
