use std::sync::Arc;

use super::*;
use crate::router::Trunk;
use crate::samples::{inhabited, network, router, vlan, vtep};
use rhyzome_model::segment::Segment;

/// All that is wrong, a line each.
fn said(router: &Router, networks: &[Network]) -> String {
    match validate(router, networks) {
        Ok(_) => String::new(),
        Err(problems) => problems
            .iter()
            .map(|problem| format!("{problem}\n"))
            .collect(),
    }
}

/// What is said of an ordinary network that something is done to.
fn check(change: impl FnOnce(&mut Network), expect: &str) {
    let mut net = inhabited(1, vlan(1), true, 2);
    change(&mut net);
    assert_eq!(said(&router(), &[net]).trim_end(), expect);
}

#[test]
fn ordinary_networks_are_fine() {
    let mut tunnelled = inhabited(2, Segment::Vxlan(5.try_into().unwrap()), false, 3);
    tunnelled.vteps = [7, 8].map(|host| vtep(&tunnelled, host).into()).into();
    let networks = [inhabited(1, vlan(1), true, 100), tunnelled];
    assert_eq!(said(&router(), &networks), "");
    assert_eq!(said(&router(), &[]), "");
}

#[test]
fn a_lease_is_in_its_network_once_and_is_not_the_routers() {
    check(
        |net| Arc::make_mut(&mut net.leases[1]).ipv4 = net.leases[0].ipv4,
        "the lease web-3 of the network default/net-1: the address 10.1.1.2 is the lease web-2 of the network \
         default/net-1's already",
    );
    check(
        |net| Arc::make_mut(&mut net.leases[1]).mac = net.leases[0].mac,
        "the lease web-3 of the network default/net-1: the Ethernet address 52:54:00:00:01:02 is the lease web-2 of the \
         network default/net-1's already",
    );
    check(
        |net| Arc::make_mut(&mut net.leases[1]).hostname = net.leases[0].hostname.clone(),
        "the lease web-2 of the network default/net-1: the name web-2 is the lease web-2 of the network default/net-1's \
         already",
    );
    check(
        |net| Arc::make_mut(&mut net.leases[0]).ipv4 = net.spec.router_ipv4(),
        "the lease web-2 of the network default/net-1: 10.1.1.1 is the router's address, or the first or last of the \
         prefix",
    );
    check(
        |net| Arc::make_mut(&mut net.leases[0]).ipv6 = "fd00:9::1".parse().unwrap(),
        "the lease web-2 of the network default/net-1: fd00:9::1 is not in fd00:1:2:1::/64",
    );
}

#[test]
fn a_peer_has_a_good_key_and_an_address_of_its_own() {
    let peer = "the peer 00000000-0000-0000-0000-000000000002 of the network default/net-1";
    check(
        |net| Arc::make_mut(&mut net.peers[0]).public_key = "not a key".to_owned(),
        &format!(
            "{peer}: \"not a key\" is no WireGuard public key: a key is 44 characters of base64 ending in '=', this is \
             9 characters long"
        ),
    );
    check(
        |net| {
            Arc::make_mut(&mut net.peers[0]).public_key = net.endpoint_key.public_key().to_string()
        },
        &format!("{peer}: its key is the endpoint's own"),
    );
    check(
        |net| Arc::make_mut(&mut net.peers[0]).ipv4 = "10.1.1.9".parse().unwrap(),
        &format!("{peer}: 10.1.1.9 is not in 10.200.0.0/16"),
    );
    check(
        |net| Arc::make_mut(&mut net.peers[0]).ipv4 = net.spec.peers_ipv4.network(),
        &format!("{peer}: 10.200.0.0 is the router's address, or the first or last of the prefix"),
    );
    check(
        |net| Arc::make_mut(&mut net.peers[1]).public_key = net.peers[0].public_key.clone(),
        &format!(
            "the peer 00000000-0000-0000-0000-000000000003 of the network default/net-1: the key \
             BwICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI= is {peer}'s already"
        ),
    );
    check(
        |net| Arc::make_mut(&mut net.peers[1]).ipv6 = net.peers[0].ipv6,
        &format!(
            "the peer 00000000-0000-0000-0000-000000000003 of the network default/net-1: the address fd00:1:3::2 is \
             {peer}'s already"
        ),
    );
}

#[test]
fn a_networks_figures_are_what_the_router_takes() {
    let net = "the network default/net-1";
    check(
        |net| net.spec.mtu = 1279,
        &format!("{net}: an MTU of 1279 is not between 1280, which IPv6 takes, and 9000"),
    );
    check(
        |net| net.spec.endpoint_port = 0,
        &format!("{net}: 0 is no UDP port"),
    );
    for domain in ["", "a..b", "a b", "a,b", "-a.b", "Ä"] {
        check(
            |net| net.spec.domain = domain.to_owned(),
            &format!("{net}: {domain:?} is no DNS domain of at most 200 bytes in lower case"),
        );
    }
    check(
        |net| net.spec.peers_ipv4 = "10.200.0.7/16".parse().unwrap(),
        &format!("{net}: 10.200.0.7/16 is no prefix: it has bits set behind its length"),
    );
    check(
        |net| {
            net.leases.clear();
            net.spec.ipv4 = "10.1.1.0/30".parse().unwrap();
        },
        &format!("{net}: 10.1.1.0/30 is too large or too small: /16 to /29 is possible"),
    );
}

#[test]
fn overlapping_prefixes_are_refused() {
    let (one, mut two) = (network(1, vlan(1), false), network(2, vlan(2), false));
    two.spec.ipv4 = "10.1.0.0/16".parse().unwrap();
    assert_eq!(
        said(&router(), &[one, two]),
        "the network default/net-2: 10.1.0.0/16 overlaps 10.1.1.0/24 of the network default/net-1: an OpenWrt router \
         cannot keep them apart\n"
    );
    let (one, mut two) = (network(1, vlan(1), false), network(2, vlan(2), false));
    two.spec.peers_ipv4 = "10.1.1.128/25".parse().unwrap();
    for networks in [[one.clone(), two.clone()], [two, one]] {
        let said = said(&router(), &networks);
        assert!(
            said.contains("overlaps") && said.lines().count() == 1,
            "{said}"
        );
    }
    check(
        |net| net.spec.peers_ipv6 = "fd00:1:2::/48".parse().unwrap(),
        "the peer 00000000-0000-0000-0000-000000000002 of the network default/net-1: fd00:1:3::2 is not in fd00:1:2::/48\n\
         the peer 00000000-0000-0000-0000-000000000003 of the network default/net-1: fd00:1:3::3 is not in fd00:1:2::/48\n\
         the network default/net-1: fd00:1:2:1::/64 overlaps fd00:1:2::/48 of the network default/net-1: an OpenWrt \
         router cannot keep them apart",
    );
}

#[test]
fn what_one_network_has_no_other_has() {
    let (one, mut two) = (network(1, vlan(1), false), network(2, vlan(1), false));
    two.spec.network = one.spec.network;
    two.spec.name = one.spec.name.clone();
    two.spec.endpoint_port = one.spec.endpoint_port;
    insta::assert_snapshot!(said(&router(), &[one, two]), @"
    the network default/net-1: the id 00000000-0000-0000-0000-000000000001 is the network default/net-1's already
    the network default/net-1: the name default/net-1 is the network default/net-1's already
    the network default/net-1: the segment VLAN 1 is the network default/net-1's already
    the network default/net-1: the UDP port 51821 is the network default/net-1's already
    ");
}

#[test]
fn a_routers_own_settings_are_looked_at() {
    let wrong = Router {
        trunk: Some(Trunk::Bridge {
            device: "a name that is too long".to_owned(),
            ports: Vec::new(),
        }),
        tunnel: Some(("0.0.0.0".parse().unwrap(), 0)),
        ports: false,
        uplink_zone: "9 wan".to_owned(),
    };
    insta::assert_snapshot!(said(&wrong, &[]), @r#"
    the router: "a name that is too long" is no name of a device: 1 to 15 letters, digits and any of ._-@ are
    the router: the bridge of the trunk has no ports
    the router: "9 wan" is no name of a firewall zone: a letter, _ or . and then those, digits, / and -
    the router: 0.0.0.0 is no address where a tunnel can end
    the router: 0 is no UDP port
    "#);
    let bare = Router {
        trunk: None,
        tunnel: None,
        ports: false,
        uplink_zone: "rz_v1".to_owned(),
    };
    let networks = [
        network(1, vlan(1), false),
        network(2, Segment::Vxlan(7.try_into().unwrap()), false),
    ];
    insta::assert_snapshot!(said(&bare, &networks), @"
    the router: rz_v1 is one of the names that Rhyzome makes itself
    the network default/net-1: its segment is a VLAN, and the router has no trunk
    the network default/net-2: its segment is a VXLAN, and the router has no address where tunnels end
    ");
}

#[test]
fn the_other_ends_of_a_tunnel_are_elsewhere_and_of_its_family() {
    let mut net = network(2, Segment::Vxlan(5.try_into().unwrap()), false);
    net.vteps = [1, 7, 7].map(|host| vtep(&net, host).into()).into();
    let wrong = Arc::make_mut(&mut net.vteps[1]);
    wrong.address = "fd00::1".parse().unwrap();
    wrong.network = rhyzome_model::NetworkId(uuid::Uuid::nil());
    insta::assert_snapshot!(said(&router(), &[net]), @"
    the end at 00000000-0000-0000-0000-000000000001 of the network default/net-2: 192.0.2.1 is no address where a tunnel can end
    the end at 00000000-0000-0000-0000-000000000007 of the network default/net-2: it is of the network 00000000-0000-0000-0000-000000000000
    the end at 00000000-0000-0000-0000-000000000007 of the network default/net-2: the address fd00::1 is of another family than the router's tunnels
    the end at 00000000-0000-0000-0000-000000000007 of the network default/net-2: the host 00000000-0000-0000-0000-000000000007 is the end at 00000000-0000-0000-0000-000000000007 of the network default/net-2's already
    ");
}
