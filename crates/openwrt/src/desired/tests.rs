use super::*;
use crate::samples::{inhabited, network, router, vlan, vtep};
use crate::validate::validate;
use rhyzome_model::segment::Segment;

fn sections(networks: &[Network]) -> Sections {
    desired(&validate(&router(), networks).unwrap())
}

fn texts(networks: &[Network]) -> String {
    let sections = sections(networks);
    let text = [sections.network, sections.dhcp, sections.firewall]
        .iter()
        .map(Package::export)
        .collect::<String>();
    // One's own key is nothing to look at.
    let lines = text
        .lines()
        .map(|line| match line.split_once("private_key") {
            Some((before, _)) => format!("{before}private_key …"),
            None => line.to_owned(),
        });
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn a_vlan_with_a_lease_a_peer_and_a_way_out() {
    insta::assert_snapshot!(texts(&[inhabited(1, vlan(100), true, 1)]));
}

#[test]
fn a_closed_vxlan_with_one_other_end() {
    let mut net = network(2, Segment::Vxlan(5000.try_into().unwrap()), false);
    net.vteps = vec![vtep(&net, 7).into()];
    insta::assert_snapshot!(texts(&[net]));
}

#[test]
fn a_port_and_a_bridge_differ_from_a_vlan_in_the_device_alone() {
    let port = network(1, Segment::Port(7.try_into().unwrap()), false);
    let bridge = crate::router::Router {
        trunk: Some(crate::router::Trunk::Bridge {
            device: "br-lan".to_owned(),
            ports: vec!["eth0".to_owned(), "eth3".to_owned()],
        }),
        ..router()
    };
    let tagged = [network(2, vlan(40), false)];
    let mut devices = sections(&[port]).network.export();
    devices += &desired(&validate(&bridge, &tagged).unwrap())
        .network
        .export();
    let kept: Vec<&str> = devices
        .split("\n\n")
        .filter(|text| text.starts_with("config device") || text.starts_with("config bridge"))
        .collect();
    insta::assert_snapshot!(kept.join("\n\n"), @"
    config device 'rz_p7_dev'
    	option rhyzome '00000000-0000-0000-0000-000000000001'
    	option name 'rz_p7'
    	option macaddr '02:00:00:00:00:01'
    	option mtu '1500'

    config bridge-vlan 'rz_v40_bridge'
    	option rhyzome '00000000-0000-0000-0000-000000000002'
    	option device 'br-lan'
    	option vlan '40'
    	list ports 'eth0:t'
    	list ports 'eth3:t'

    config device 'rz_v40_dev'
    	option rhyzome '00000000-0000-0000-0000-000000000002'
    	option type '8021q'
    	option ifname 'br-lan'
    	option vid '40'
    	option name 'rz_v40'
    	option macaddr '02:00:00:00:00:02'
    	option mtu '1500'
    ");
}

#[test]
fn every_section_has_our_mark() {
    let networks = [
        inhabited(1, vlan(1), true, 3),
        inhabited(2, Segment::Vxlan(9.try_into().unwrap()), false, 0),
    ];
    let sections = sections(&networks);
    for package in [&sections.network, &sections.dhcp, &sections.firewall] {
        for section in package.sections() {
            let ours = crate::mark::is_ours(package.name().as_str(), section);
            assert!(ours, "{section:?}");
        }
    }
}

/// The rules of a zone in their order: where to, from which sources to which destinations, and what becomes of it.
fn passes(sections: &Sections, zone: &str) -> Vec<(String, bool, String)> {
    let rules = sections.firewall.of_type("rule");
    let of_zone = rules.filter(|rule| rule.text_of("src") == Some(zone));
    of_zone
        .map(|rule| {
            let text = |option| rule.text_of(option).unwrap_or_default().to_owned();
            let limited = rule.items_of("src_ip").next().is_some();
            (text("dest"), limited, text("target"))
        })
        .collect()
}

#[test]
fn nothing_passes_but_to_its_own_peers_and_outside_from_its_own_addresses() {
    for egress in [true, false] {
        let networks = [network(1, vlan(1), egress), network(2, vlan(2), true)];
        let sections = sections(&networks);
        let forwards = |zone: &str| {
            let all = passes(&sections, zone).into_iter();
            all.filter(|(dest, ..)| !dest.is_empty())
                .collect::<Vec<_>>()
        };
        let own = |dest: &str, limited, target: &str| (dest.to_owned(), limited, target.to_owned());
        let out = if egress { "ACCEPT" } else { "REJECT" };
        assert_eq!(
            forwards("rz_v1"),
            [
                own("rz_v1_wg", true, "ACCEPT"),
                own("*", false, "REJECT"),
                own("wan", true, out),
                own("*", false, "REJECT"),
            ]
        );
        assert_eq!(
            forwards("rz_v1_wg"),
            [own("rz_v1", true, "ACCEPT"), own("*", false, "DROP")]
        );
        // From elsewhere into a network there is nothing.
        for rule in sections.firewall.of_type("rule") {
            let from_outside = rule.text_of("src") == Some("wan");
            assert!(!from_outside || rule.text_of("dest").is_none(), "{rule:?}");
        }
        assert_eq!(sections.firewall.of_type("forwarding").count(), 0);
    }
}

#[test]
fn the_longest_name_of_a_rule_fits_a_comment_of_nftables() {
    let mut longest = network(1, vlan(1), true);
    longest.spec.project = "p".repeat(40).parse().unwrap();
    longest.spec.name = "n".repeat(40).parse().unwrap();
    for rule in sections(&[longest]).firewall.sections() {
        let name = rule.text_of("name").unwrap();
        assert!(format!("!fw4: {name}").len() <= 127, "{name}");
    }
}
