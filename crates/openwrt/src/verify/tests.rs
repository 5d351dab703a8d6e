use super::*;
use crate::running::{Interface, Link};
use crate::samples::{self, inhabited, vlan};

/// A network, and a router on which all of it runs.
fn good() -> (Network, Running) {
    good_on(vlan(100))
}

fn good_on(segment: Segment) -> (Network, Running) {
    let network = inhabited(1, segment, false, 2);
    let spec = &network.spec;
    let names = Names::new(spec.segment);
    let up = || Interface {
        up: true,
        ..Interface::default()
    };
    let link = |mtu: u16, mac: Option<String>, addresses: [IpNet; 2]| Link {
        up: true,
        mtu: mtu.into(),
        mac,
        bridge: None,
        addresses: addresses.into(),
    };
    let mut running = Running {
        server: true,
        ..Running::default()
    };
    for name in [names.network(), names.tunnel(), "lan".to_owned()] {
        running.interfaces.insert(name, up());
    }
    let mac = Some(router_mac(spec.network).to_string());
    let own = [
        "10.1.1.1/24".parse().unwrap(),
        "fd00:1:2:1::1/64".parse().unwrap(),
    ];
    let peers_own = [IpNet::from(spec.peers_ipv4), spec.peers_ipv6.into()];
    let links = &mut running.links;
    links
        .links
        .insert(names.network(), link(spec.mtu, mac, own));
    links
        .links
        .insert(names.tunnel(), link(tunnel_mtu(spec), None, peers_own));
    links
        .vlans
        .insert(names.network(), (100, "eth2".to_owned()));
    for to in peers_own {
        let (device, table) = (names.tunnel(), names.table());
        links.routes.push(Route { to, device, table });
    }
    for from in [IpNet::from(spec.ipv4), spec.ipv6.into()] {
        let table = names.table();
        links.rules.push(Rule { from, table });
    }
    let tunnel = Tunnel {
        key: Some(network.endpoint_key.public_key()),
        port: spec.endpoint_port,
        peers: peers(&network),
    };
    running.tunnels.insert(names.tunnel(), tunnel);
    (network, running)
}

/// What differs after a change of what runs.
fn check(change: impl FnOnce(&mut Running), expect: &[&str]) {
    let (network, mut running) = good();
    change(&mut running);
    let found = links(&network, &samples::router(), &running);
    let said: Vec<String> = found.iter().map(ToString::to_string).collect();
    assert_eq!(said, expect);
}

#[test]
fn where_all_runs_nothing_differs() {
    check(|_| {}, &[]);
}

#[test]
fn each_difference_is_said_for_itself() {
    let links = |running: &mut Running| running.links.links.get_mut("rz_v100").unwrap().clone();
    check(
        |now| {
            let _ = now.interfaces.remove("rz_v100_wg");
        },
        &["netifd has no interface rz_v100_wg"],
    );
    check(
        |now| now.interfaces.get_mut("rz_v100").unwrap().errors = vec!["NO_DEVICE".to_owned()],
        &["the interface rz_v100 is not up: netifd says NO_DEVICE"],
    );
    check(
        |now| {
            let link = links(now);
            let other = Link {
                up: false,
                mtu: 1400,
                mac: None,
                bridge: None,
                addresses: link.addresses[1..].into(),
            };
            now.links.links.insert("rz_v100".to_owned(), other);
        },
        &[
            "the link rz_v100 is down",
            "the link rz_v100 has an MTU of 1400 and not of 1500",
            "the link rz_v100 has not the address 10.1.1.1/24",
            "the link rz_v100 has not the Ethernet address 02:00:00:00:00:01",
        ],
    );
    check(
        |now| {
            drop(
                now.links
                    .vlans
                    .insert("rz_v100".to_owned(), (101, "eth2".to_owned())),
            )
        },
        &["the link rz_v100 is not VLAN 100 of eth2"],
    );
    check(
        |now| now.tunnels.get_mut("rz_v100_wg").unwrap().port = 1,
        &["the WireGuard device rz_v100_wg listens at the UDP port 1 and not at 51821"],
    );
    check(
        |now| {
            let _ = now.links.rules.pop();
        },
        &["what comes from fd00:1:2:1::/64 does not look in the table 100000100"],
    );
    check(
        |now| {
            let _ = now.links.routes.remove(0);
        },
        &["there is no way to 10.200.0.0/16 through rz_v100_wg in the table 100000100"],
    );
    check(|now| now.server = false, &["dnsmasq does not run"]);
}

#[test]
fn a_peer_that_differs_is_about_the_peer_and_a_stranger_about_the_network() {
    let (network, mut running) = good();
    let tunnel = running.tunnels.get_mut("rz_v100_wg").unwrap();
    let (first, mut gone) = tunnel.peers.pop_first().unwrap();
    let stranger: rhyzome_wireguard::key::PublicKey =
        samples::peer(&network, 99).public_key.parse().unwrap();
    gone.public_key = stranger;
    tunnel.peers.insert(stranger, gone);
    let found = links(&network, &samples::router(), &running);
    assert_eq!(found.len(), 2);
    let of = |about: About| found.iter().find(|one| one.about == about).unwrap();
    let peer = network
        .peers
        .iter()
        .find(|peer| peer.public_key == first.to_string());
    let missing = of(About::Peer(peer.unwrap().peer.0));
    assert!(matches!(missing.what, What::NoPeer { key, .. } if key == first));
    assert!(matches!(of(About::Network).what, What::Stranger { key, .. } if key == stranger));
    let device = Remedy::Tunnel("rz_v100_wg".to_owned());
    assert!(found.iter().all(|one| one.what.remedy() == device));
}

#[test]
fn a_network_card_is_there_by_its_name_and_in_nobodys_bridge() {
    let (network, good) = good_on(Segment::Port(5.try_into().unwrap()));
    let check = |change: &dyn Fn(&mut Running), expect: &str| {
        let mut running = good.clone();
        change(&mut running);
        let found = links(&network, &samples::router(), &running);
        let said: Vec<String> = found.iter().map(ToString::to_string).collect();
        assert_eq!(said, [expect]);
        assert_eq!(found[0].what.remedy(), Remedy::Cards);
    };
    assert_eq!(links(&network, &samples::router(), &good), []);
    check(
        &|now| drop(now.links.links.remove("rz_p5")),
        "no network card with the MAC 02:00:00:00:00:01 is called rz_p5",
    );
    let enslave = |now: &mut Running| {
        let link = now.links.links.get_mut("rz_p5").unwrap();
        link.bridge = Some("br-lan".to_owned());
    };
    check(&enslave, "the link rz_p5 is a port of br-lan");
}

#[test]
fn a_trunk_that_is_a_bridge_carries_the_vlan_to_its_ports() {
    let (network, mut running) = good();
    running
        .links
        .vlans
        .insert("rz_v100".to_owned(), (100, "br0".to_owned()));
    let router = Router {
        trunk: Some(Trunk::Bridge {
            device: "br0".to_owned(),
            ports: vec!["eth2".to_owned()],
        }),
        ..samples::router()
    };
    let what = What::NoBridgeVlan {
        bridge: "br0".to_owned(),
        vlan: 100,
    };
    let about = About::Network;
    assert_eq!(
        links(&network, &router, &running),
        [Difference { about, what }]
    );
    // With how it is in it, or as netifd says it.
    for port in ["eth2:t", "eth2"] {
        let ports = ["eth1", port].map(str::to_owned);
        running.bridge.insert(100, ports.into());
        assert_eq!(links(&network, &router, &running), []);
    }
    let untagged = BTreeSet::from(["eth2:*".to_owned()]);
    running.bridge.insert(100, untagged);
    assert_eq!(links(&network, &router, &running).len(), 1);
}

#[test]
fn what_is_left_of_a_network_is_told_and_another_with_a_longer_number_is_not() {
    let (_, running) = good();
    assert_eq!(
        gone("rz_v100", &running).len(),
        4,
        "two interfaces and their links"
    );
    assert_eq!(gone("rz_v1", &running), []);
    assert!(names("rz_v1", "jump input_rz_v1_wg") && !names("rz_v1", "input_rz_v10"));
}

#[test]
fn what_ran_before_and_is_nobody_of_ours_is_missed() {
    let (_, before) = good();
    let mut now = before.clone();
    now.interfaces.get_mut("lan").unwrap().up = false;
    now.interfaces.remove("rz_v100");
    now.server = false;
    let ours = |text: &str| names("rz_v100", text);
    let found = harmed(&before, &now, ours);
    let said: Vec<String> = found.iter().map(ToString::to_string).collect();
    assert_eq!(
        said,
        ["the interface lan is not up", "dnsmasq does not run"]
    );
}
