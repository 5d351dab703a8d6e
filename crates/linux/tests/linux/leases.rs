//! DHCP, DHCPv6 and DNS as an instance sees them.

use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use ipnet::IpNet;
use rhyzome_hostnet::{Links, sysctl};
use rhyzome_model::MacAddr;
use rhyzome_model::placement::{Observed, Placement, PlacementSpec};

use crate::client::{A, AAAA, Answer, PTR, configure, dhcp, dhcp_as, dhcp6, resolve};
use crate::site::{instance, lease, network, on_a_site};

#[test]
fn an_instance_gets_exactly_the_addresses_of_its_lease() {
    on_a_site(|site| async move {
        let (network, spec) = network(1);
        let (web, web_spec) = lease(&spec, 17, "web");
        assert!(matches!(
            site.ensure(&network).await.unwrap(),
            Observed::Network(_)
        ));
        assert_eq!(site.ensure(&web).await.unwrap(), Observed::Lease);
        let instance = instance(&spec, web_spec.mac).await;
        let bound = dhcp(&instance, web_spec.mac)
            .await
            .expect("an IPv4 address");
        assert_eq!(bound.address, web_spec.ipv4);
        let router = spec.router_ipv4().octets().to_vec();
        assert_eq!(bound.options[&3], router, "the router");
        assert_eq!(bound.options[&6], router, "the name server");
        assert_eq!(bound.options[&26], 1450_u16.to_be_bytes(), "the MTU");
        let to_peers = [&[16, 10, 200][..], &router].concat();
        let to_metadata = [32, 169, 254, 169, 254, 0, 0, 0, 0];
        assert_eq!(
            bound.options[&121],
            [&to_peers[..], &to_metadata].concat(),
            "the way to the peers, the metadata service on the link, and no other"
        );
        assert_eq!(dhcp6(&instance, web_spec.mac).await, Some(web_spec.ipv6));
    });
}

#[test]
fn the_router_advertises_itself_and_lets_nobody_make_up_an_address() {
    on_a_site(|site| async move {
        let (network, spec) = network(1);
        site.ensure(&network).await.unwrap();
        let instance = instance(&spec, MacAddr::qemu([9, 9, 9])).await;
        // The kernel of this machine is the client.
        let gateway = instance
            .run(|| async {
                let links = Links::open().unwrap();
                let eth0 = links.find("eth0").await.unwrap().unwrap();
                for _ in 0..500 {
                    let routes = links.routes().await.unwrap();
                    let default = routes.iter().find(|route| route.to.to_string() == "::/0");
                    if let Some(IpAddr::V6(via)) = default.and_then(|route| route.via) {
                        assert_eq!(
                            sysctl::read("net/ipv6/conf/eth0/mtu").unwrap().unwrap(),
                            "1450"
                        );
                        let addresses = links.addresses(eth0.index).await.unwrap();
                        let own = |net: &IpNet| !net.addr().to_string().starts_with("fe80");
                        assert!(!addresses.iter().any(own), "{addresses:?}");
                        return Some(via);
                    }
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
                None
            })
            .await;
        let gateway = gateway.expect("an advertisement within 5 s");
        let [a, b, c, d, e] = spec.network.0.as_bytes()[11..].try_into().unwrap();
        let expect = Ipv6Addr::from([0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, a, b, 0xff, 0xfe, c, d, e]);
        assert_eq!(gateway, expect, "the same router after each start");
    });
}

#[test]
fn nobody_without_a_lease_gets_an_address() {
    on_a_site(|site| async move {
        let (network, spec) = network(1);
        let (web, web_spec) = lease(&spec, 17, "web");
        site.ensure(&network).await.unwrap();
        site.ensure(&web).await.unwrap();
        let stranger = MacAddr::qemu([9, 9, 9]);
        let instance = instance(&spec, stranger).await;
        assert!(dhcp(&instance, stranger).await.is_none());
        assert!(dhcp6(&instance, stranger).await.is_none());
        site.remove(&web).await;
        let late = crate::site::instance(&spec, web_spec.mac).await;
        assert!(
            dhcp(&late, web_spec.mac).await.is_none(),
            "a removed lease is gone at once"
        );
    });
}

#[test]
fn names_of_instances_resolve_inside_and_no_others_do() {
    on_a_site(|site| async move {
        let (network, spec) = network(1);
        let (web, web_spec) = lease(&spec, 17, "web");
        site.ensure(&network).await.unwrap();
        site.ensure(&web).await.unwrap();
        let instance = instance(&spec, web_spec.mac).await;
        configure(&instance, &spec, &web_spec).await;
        let name = format!("web.{}", spec.domain);
        for server in [IpAddr::from(spec.router_ipv4()), spec.router_ipv6().into()] {
            let ask =
                async |name: &str, kind| resolve(&instance, server, name, kind).await.unwrap();
            let found = |data: Vec<u8>| Answer {
                code: 0,
                data: vec![data],
            };
            assert_eq!(ask(&name, A).await, found(web_spec.ipv4.octets().to_vec()));
            assert_eq!(
                ask(&name, AAAA).await,
                found(web_spec.ipv6.octets().to_vec())
            );
            let reverse = ask("17.1.1.10.in-addr.arpa", PTR).await;
            assert_eq!(reverse.code, 0);
            assert!(reverse.data[0].starts_with(b"\x03web\x04lan1"));
            assert_eq!(
                ask(&format!("other.{}", spec.domain), A).await.code,
                3,
                "no such name"
            );
            assert_eq!(
                ask("debian.org", A).await.code,
                5,
                "refused: there is nobody to ask"
            );
        }
        site.remove(&web).await;
        let gone = resolve(&instance, spec.router_ipv4().into(), &name, A)
            .await
            .unwrap();
        assert_eq!(gone.code, 3);
    });
}

#[test]
fn an_address_that_moves_is_free_for_its_new_owner_at_once() {
    on_a_site(|site| async move {
        let (network, spec) = network(1);
        let (old, old_spec) = lease(&spec, 17, "web");
        site.ensure(&network).await.unwrap();
        site.ensure(&old).await.unwrap();
        let first = instance(&spec, old_spec.mac).await;
        assert_eq!(
            dhcp(&first, old_spec.mac).await.unwrap().address,
            old_spec.ipv4
        );
        assert_eq!(dhcp6(&first, old_spec.mac).await, Some(old_spec.ipv6));
        // Removed, and the address given to another interface under the same name.
        site.remove(&old).await;
        let (new, mut new_spec) = lease(&spec, 17, "web");
        new_spec.mac = MacAddr::qemu([7, 7, 7]);
        let new = Placement {
            spec: PlacementSpec::Lease(new_spec.clone()),
            ..new
        };
        site.ensure(&new).await.unwrap();
        let second = instance(&spec, new_spec.mac).await;
        assert_eq!(
            dhcp(&second, new_spec.mac).await.unwrap().address,
            new_spec.ipv4
        );
        assert_eq!(dhcp6(&second, new_spec.mac).await, Some(new_spec.ipv6));
        assert!(dhcp(&first, old_spec.mac).await.is_none());
        // Moved in place: the same lease with another interface.
        let mut moved_spec = new_spec.clone();
        moved_spec.mac = MacAddr::qemu([8, 8, 8]);
        let moved = Placement {
            spec: PlacementSpec::Lease(moved_spec.clone()),
            generation: 2,
            ..new
        };
        site.ensure(&moved).await.unwrap();
        let third = instance(&spec, moved_spec.mac).await;
        assert_eq!(
            dhcp(&third, moved_spec.mac).await.unwrap().address,
            new_spec.ipv4
        );
        assert_eq!(dhcp6(&third, moved_spec.mac).await, Some(new_spec.ipv6));
    });
}

#[test]
fn another_system_on_the_same_interface_gets_the_same_ipv4_address() {
    on_a_site(|site| async move {
        let (network, spec) = network(1);
        let (web, web_spec) = lease(&spec, 17, "web");
        site.ensure(&network).await.unwrap();
        site.ensure(&web).await.unwrap();
        let instance = instance(&spec, web_spec.mac).await;
        for system in 1..=3 {
            let bound = dhcp_as(&instance, web_spec.mac, system).await;
            assert_eq!(bound.expect("an address").address, web_spec.ipv4);
        }
    });
}

#[test]
fn a_lease_outside_its_network_is_refused_for_good() {
    on_a_site(|site| async move {
        let (network, spec) = network(1);
        site.ensure(&network).await.unwrap();
        let (lease, mut wrong) = lease(&spec, 17, "web");
        wrong.ipv4 = [192, 168, 0, 1].into();
        let lease = Placement {
            spec: PlacementSpec::Lease(wrong),
            ..lease
        };
        let error = site.ensure(&lease).await.unwrap_err();
        assert_eq!(
            error.kind,
            rhyzome_model::job::FailureKind::Permanent,
            "{}",
            error.chain()
        );
    });
}

#[test]
fn a_lease_waits_for_its_network() {
    on_a_site(|site| async move {
        let (_, spec) = network(1);
        let error = site.ensure(&lease(&spec, 17, "web").0).await.unwrap_err();
        assert_eq!(
            error.kind,
            rhyzome_model::job::FailureKind::Transient,
            "{}",
            error.chain()
        );
    });
}
