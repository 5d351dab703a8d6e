//! Who reaches whom.

use std::net::SocketAddr;

use rhyzome_hostnet::Links;
use rhyzome_model::lease::LeasePlacement;
use rhyzome_model::network::NetworkPlacement;
use rhyzome_model::placement::{Placement, PlacementSpec};

use crate::client::{Server, comes_to_connect, configure, connects, connects_here};
use crate::neighbour::{address, neighbour, route};
use crate::site::{Site, instance, lease, network, on_a_site};
use crate::world::Place;

/// A network with one instance that greets on port 80.
pub struct Lan {
    pub placement: Placement,
    pub spec: NetworkPlacement,
    pub lease: LeasePlacement,
    pub instance: Place,
    _server: Server,
}

pub async fn lan(site: &Site, number: u8, egress: bool) -> Lan {
    lan_of("default", site, number, egress).await
}

/// The same of a project.
pub async fn lan_of(project: &str, site: &Site, number: u8, egress: bool) -> Lan {
    let (placement, mut spec) = network(number);
    spec.project = project.parse().unwrap();
    spec.domain = format!("{}.{project}.rhyzome.internal", spec.name);
    spec.egress = egress;
    let placement = Placement {
        spec: PlacementSpec::Network(spec.clone()),
        ..placement
    };
    site.ensure(&placement).await.unwrap();
    let (web, lease) = lease(&spec, 17, "web");
    site.ensure(&web).await.unwrap();
    let instance = instance(&spec, lease.mac).await;
    configure(&instance, &spec, &lease).await;
    let server = Server::in_place(&instance, 80).await;
    Lan {
        placement,
        spec,
        lease,
        instance,
        _server: server,
    }
}

/// A neighbour of the host's that greets on port 80, 192.0.2.2, and a service of the host's own.
pub async fn world() -> (Place, Server, Server) {
    let world = neighbour("world").await;
    world
        .run(|| async {
            // The way back, if anything came with its own address.
            route("eth0", "10.0.0.0/8", "192.0.2.1").await;
        })
        .await;
    let outside = Server::in_place(&world, 80).await;
    let own = Server::here(80).await;
    (world, outside, own)
}

/// Makes sure that an instance does not reach something, and that its packets are counted as dropped.
async fn is_dropped(site: &Site, lan: &Lan, (what, to): (&str, SocketAddr), counter: &str) {
    let before = site.counted().await;
    assert!(!connects(&lan.instance, to).await, "{what}: {to}");
    let what = format!("{what}: {to}");
    site.counted().await.rose(&before, counter, &what);
}

pub fn outside() -> SocketAddr {
    "192.0.2.2:80".parse().unwrap()
}

#[test]
fn a_closed_network_reaches_nothing_outside() {
    on_a_site(|site| async move {
        let _world = world().await;
        let one = lan(&site, 1, false).await;
        let two = lan(&site, 2, false).await;
        assert!(
            comes_to_connect(&one.instance, (one.lease.ipv4, 80).into()).await,
            "the test can see its own server"
        );
        let elsewhere: [(&str, SocketAddr); 8] = [
            ("the world", outside()),
            ("the host", "192.0.2.1:80".parse().unwrap()),
            ("the core", "192.0.2.2:9090".parse().unwrap()),
            ("the host's cloud", "169.254.169.254:80".parse().unwrap()),
            ("another network", (two.lease.ipv4, 80).into()),
            ("another network over IPv6", (two.lease.ipv6, 80).into()),
            (
                "another network's router",
                (two.spec.router_ipv4(), 53).into(),
            ),
            ("and over IPv6", (two.spec.router_ipv6(), 53).into()),
        ];
        for (what, to) in elsewhere {
            is_dropped(&site, &one, (what, to), "from_segment").await;
        }
        let own = [
            (one.spec.router_ipv4(), 80).into(),
            (one.spec.router_ipv6(), 51821).into(),
        ];
        for to in own {
            is_dropped(&site, &one, ("its router's other ports", to), "to_router").await;
        }
        assert_eq!(
            rhyzome_hostnet::sysctl::read("net/ipv4/ip_forward")
                .unwrap()
                .unwrap(),
            "0"
        );
    });
}

#[test]
fn instances_of_one_network_reach_each_other() {
    on_a_site(|site| async move {
        let one = lan(&site, 1, false).await;
        let (db, db_spec) = lease(&one.spec, 18, "db");
        site.ensure(&db).await.unwrap();
        let other = instance(&one.spec, db_spec.mac).await;
        configure(&other, &one.spec, &db_spec).await;
        assert!(comes_to_connect(&other, (one.lease.ipv4, 80).into()).await);
        assert!(comes_to_connect(&other, (one.lease.ipv6, 80).into()).await);
    });
}

#[test]
fn egress_leads_to_the_world_and_nowhere_else() {
    on_a_site(|site| async move {
        let _world = world().await;
        let one = lan(&site, 1, true).await;
        let two = lan(&site, 2, true).await;
        let out = async |to: SocketAddr| connects(&one.instance, to).await;
        assert!(
            comes_to_connect(&one.instance, outside()).await,
            "the world"
        );
        assert!(
            comes_to_connect(&two.instance, outside()).await,
            "for the other network too"
        );
        let host = (
            "the host's address outside",
            "192.0.2.1:80".parse().unwrap(),
        );
        is_dropped(&site, &one, host, "to_host").await;
        // The host knows no way there, as to any address of nobody.
        assert!(!out((two.lease.ipv4, 80).into()).await, "another network");
        for address in uplink_addresses().await {
            let whose = (
                "the host's or a router's end of a way out",
                (address, 80).into(),
            );
            is_dropped(&site, &one, whose, "to_host|to_networks|to_router").await;
            assert!(
                !out((address, 53).into()).await,
                "the name server at {address}"
            );
        }
        // Nothing comes in that was not asked for.
        assert!(!connects(&_world.0, (one.lease.ipv4, 80).into()).await);
        // Off again, the first one ends; the other one goes on.
        let closed = NetworkPlacement {
            egress: false,
            ..one.spec.clone()
        };
        let closed = Placement {
            generation: 2,
            spec: PlacementSpec::Network(closed),
            ..one.placement.clone()
        };
        site.ensure(&closed).await.unwrap();
        assert!(!out(outside()).await);
        assert!(comes_to_connect(&two.instance, outside()).await);
        site.remove(&two.placement).await;
        assert_eq!(
            rhyzome_hostnet::sysctl::read("net/ipv4/ip_forward")
                .unwrap()
                .unwrap(),
            "0",
            "put back"
        );
    });
}

#[test]
fn egress_does_not_lead_to_the_metadata_of_the_hosts_cloud() {
    on_a_site(|site| async move {
        let (world, _outside, _own) = world().await;
        // Where clouds have a host's metadata.
        world.run(|| address("lo", "169.254.169.254/32")).await;
        route("out0", "169.254.0.0/16", "192.0.2.2").await;
        let metadata = "169.254.169.254:80".parse().unwrap();
        assert!(connects_here(metadata).await, "the host reaches it");
        let one = lan(&site, 1, true).await;
        assert!(
            comes_to_connect(&one.instance, outside()).await,
            "the world"
        );
        is_dropped(&site, &one, ("the metadata", metadata), "to_host").await;
    });
}

/// Both ends of every way out.
async fn uplink_addresses() -> Vec<std::net::Ipv4Addr> {
    let links = Links::open().unwrap();
    let mut found = Vec::new();
    for (_, address) in links.all_addresses().await.unwrap() {
        if let std::net::IpAddr::V4(address) = address.addr()
            && address.octets()[0] == 100
        {
            found.push(address);
            found.push(std::net::Ipv4Addr::from(u32::from(address) + 1));
        }
    }
    assert_eq!(found.len(), 4);
    found
}
