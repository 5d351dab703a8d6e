use super::*;
use crate::desired::desired;
use crate::router::{Network, Router};
use crate::samples::{FILES, inhabited, network, present, router, vlan};
use crate::validate::validate;

fn networks() -> [Network; 2] {
    [
        inhabited(1, vlan(100), true, 2),
        network(2, vlan(101), false),
    ]
}

fn said(present: &Present, router: &Router) -> String {
    let networks = networks();
    let checked = validate(router, &networks).unwrap();
    present
        .obstacles(&checked)
        .iter()
        .map(|obstacle| format!("{obstacle}\n"))
        .collect()
}

/// What is said of a router that has something more.
fn check(package: &str, more: &str, expect: &str) {
    let mut there = present();
    let target = match package {
        "network" => &mut there.network,
        "dhcp" => &mut there.dhcp,
        _ => &mut there.firewall,
    };
    let text = target.text() + more;
    *target = Package::read(package.parse().unwrap(), &text).unwrap();
    assert_eq!(said(&there, &router()).trim_end(), expect);
}

fn unread(files: Files<'_>) -> String {
    let obstacles = Present::read(files).unwrap_err();
    obstacles
        .iter()
        .map(|obstacle| format!("{obstacle}\n"))
        .collect()
}

#[test]
fn an_ordinary_router_has_nothing_in_the_way_and_neither_has_one_with_ours() {
    assert_eq!(said(&present(), &router()), "");
    let networks = networks();
    let sections = desired(&validate(&router(), &networks).unwrap());
    let mut there = present();
    for (have, ours) in [
        (&mut there.network, &sections.network),
        (&mut there.dhcp, &sections.dhcp),
        (&mut there.firewall, &sections.firewall),
    ] {
        for section in ours.sections() {
            have.add(section.clone()).unwrap();
        }
    }
    assert_eq!(said(&there, &router()), "");
}

#[test]
fn nothing_is_added_to_a_file_that_cannot_be_read() {
    let files = Files {
        network: Some("config interface 'lan\n"),
        dhcp: None,
        firewall: Some("config \"it's\" 'x'\n"),
    };
    insta::assert_snapshot!(unread(files), @"
    /etc/config/network cannot be read, line 1: the ' that opens here is never closed; mend it first: the router's next start is without it
    there is no /etc/config/dhcp
    /etc/config/firewall would not be the same, or not readable, after any commit: a type of a section has a quote, #, ; or \\ in it
    ");
}

#[test]
fn a_firewall_without_zones_of_its_own_is_left_alone() {
    for text in [
        "",
        "config defaults\n",
        "config zone rz_v1_zone\n\toption name rz_v1\n",
    ] {
        let files = Files {
            firewall: Some(text),
            ..FILES
        };
        assert_eq!(
            unread(files),
            "the firewall has no zones of its own: with ours alone the router could not be reached any more\n"
        );
    }
}

#[test]
fn names_of_ours_that_are_somebody_elses_are_left_alone() {
    check(
        "network",
        "config interface rz_v100\n\toption proto none\n",
        "the interface rz_v100 in /etc/config/network has the name rz_v100, which is for Rhyzome's own",
    );
    check(
        "network",
        "config device\n\toption name rz_v7\n",
        "the device rz_v7 in /etc/config/network has the name rz_v7, which is for Rhyzome's own",
    );
    check(
        "dhcp",
        "config dhcp mine\n\toption interface rz_v100\n",
        "the dhcp mine in /etc/config/dhcp has the name rz_v100, which is for Rhyzome's own",
    );
    for (list, name) in [
        ("network rz_v100", "rz_v100"),
        ("device 'lo rz_+'", "rz_+"),
        ("device r+", "r+"),
    ] {
        check(
            "firewall",
            &format!("config zone\n\toption name guest\n\tlist {list}\n"),
            &format!("the zone guest in /etc/config/firewall takes {name}, which is Rhyzome's"),
        );
    }
}

#[test]
fn the_firewall_has_the_uplink_and_lets_through_and_in_what_its_zones_say() {
    let away = Router {
        uplink_zone: "dmz".to_owned(),
        ..router()
    };
    assert_eq!(
        said(&present(), &away),
        "the firewall has no zone dmz, which is to be the uplink\n"
    );
    check(
        "firewall",
        "config defaults\n\toption forward accept\n",
        "the firewall's default for forwarding is ACCEPT, so that networks are open to others: set it to REJECT",
    );
    check(
        "firewall",
        "config defaults\n\toption input ACCEPT\n",
        "the firewall's default for input is ACCEPT, so that a network is let into the router until fw4 has read that \
         its interface is up: set it to REJECT, and what is to be let in in your own zones",
    );
}

#[test]
fn addresses_of_other_interfaces_are_no_networks() {
    check(
        "network",
        "config interface guest\n\toption proto static\n\toption ipaddr 10.1.1.1\n\toption netmask 255.255.0.0\n",
        "the interface guest in /etc/config/network has 10.1.0.0/16, which overlaps 10.1.1.0/24 of the network \
         default/net-1\n\
         the interface guest in /etc/config/network has 10.1.0.0/16, which overlaps 10.1.2.0/24 of the network \
         default/net-2",
    );
    check(
        "network",
        "config wireguard_wg0\n\tlist allowed_ips 0.0.0.0/0\n\tlist allowed_ips fd00:1:2:2::7/128\n",
        "a wireguard_wg0 without a name in /etc/config/network has fd00:1:2:2::7/128, which overlaps fd00:1:2:2::/64 of \
         the network default/net-2",
    );
}

#[test]
fn vlans_ports_and_hosts_are_somebody_elses_or_ours() {
    check(
        "network",
        "config interface iptv\n\toption device eth2.100\n",
        "the interface iptv in /etc/config/network has VLAN 100 of eth2, which is a network's",
    );
    check(
        "network",
        "config interface wg0\n\toption proto wireguard\n\toption listen_port 51822\n",
        "the interface wg0 in /etc/config/network has the UDP port 51822 of the network default/net-2",
    );
    check(
        "dhcp",
        "config host\n\toption name tv\n\toption ip 10.1.1.2\n\toption mac '52:54:00:00:01:03'\n",
        "the host tv in /etc/config/dhcp has the address 10.1.1.2 of the lease web-2 of the network default/net-1: \
         dnsmasq would not start\n\
         the host tv in /etc/config/dhcp has the Ethernet address 52:54:00:00:01:03 of the lease web-3 of the network \
         default/net-1",
    );
    let mut without = present();
    without.dhcp = Package::new("dhcp".parse().unwrap());
    assert_eq!(
        said(&without, &router()),
        "/etc/config/dhcp has no dnsmasq: nobody would get an address\n"
    );
}

#[test]
fn a_bridge_gets_its_first_vlan_from_its_operator() {
    let bridge = Router {
        trunk: Some(Trunk::Bridge {
            device: "br-lan".to_owned(),
            ports: vec!["eth0".to_owned()],
        }),
        ..router()
    };
    assert_eq!(
        said(&present(), &bridge),
        "the bridge br-lan has no VLANs yet: the first one would cut off all that comes without a tag. Give it the \
         ones that it needs, or a trunk of its own\n"
    );
    let mut there = present();
    let vlans = "config bridge-vlan\n\toption device br-lan\n\toption vlan 1\n";
    there.network =
        Package::read("network".parse().unwrap(), &(there.network.text() + vlans)).unwrap();
    assert_eq!(said(&there, &bridge), "");
}
