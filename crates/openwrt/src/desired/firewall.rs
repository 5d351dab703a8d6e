//! The package `firewall`: what passes.
//!
//! Rules are taken in the order of their sections, and fw4 takes what its own default says where none matches; so the
//! last rules of a network refuse all the rest. There is always the same number of them, so that none has to be put
//! between others; a closed network's rule for the world outside refuses instead of accepting. Forwardings are not
//! used: they would let through what does not come from the network's own prefix.

use std::fmt::Display;
use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net};
use rhyzome_model::network::NetworkPlacement;
use rhyzome_uci::Package;

use super::Part;
use crate::draft::Draft;
use crate::mark::FIREWALL_NAME;
use crate::router::Router;

/// Solicitations and advertisements of routers and neighbours (RFC 4861), and reports of listeners
/// (RFC 2710, RFC 3810).
const NEIGHBOUR_DISCOVERY: [&str; 6] = ["131/0", "132/0", "133/0", "135/0", "136/0", "143/0"];

/// Addresses on the link alone (RFC 4291).
const LINK_LOCAL: &str = "fe80::/10";

/// Never forwarded (RFC 3927, section 2.7); clouds have a host's metadata and credentials there.
const LINK_LOCAL_IPV4: &str = "169.254.0.0/16";

pub(super) fn add(package: &mut Package, part: &Part<'_>, router: &Router) {
    let names = part.names;
    add_zone(package, part, "zone", &names.network());
    add_zone(package, part, "wg_zone", &names.tunnel());
    add_input(package, part);
    add_peers(package, part);
    add_outside(package, part, router);
    // The endpoint's own port.
    rule(part, "wg_port", "WireGuard endpoint", "ACCEPT")
        .one("src", &router.uplink_zone)
        .list("proto", ["udp"])
        .one("dest_port", part.network.spec.endpoint_port)
        .add_to(package);
}

/// What is said of no zone: nothing goes in, and nothing through.
fn add_zone(package: &mut Package, part: &Part<'_>, section: &str, name: &str) {
    Draft::new("zone", part.names.section(section))
        .one("name", name)
        .list("network", [name])
        .one("input", "DROP")
        .one("output", "ACCEPT")
        .one("forward", "DROP")
        .one("mtu_fix", 1)
        .add_to(package);
}

/// A rule, whose name is its mark and what LuCI shows: at most 121 bytes. nftables takes 128 of a comment, of which
/// fw4 uses 6.
fn rule(part: &Part<'_>, section: &str, text: &str, target: &str) -> Draft {
    named(part, "rule", section, text).one("target", target)
}

fn named(part: &Part<'_>, kind: &str, section: &str, text: &str) -> Draft {
    let name = format!("{FIREWALL_NAME}{}: {text}", part.network.title());
    Draft::new(kind, part.names.section(section)).one("name", name)
}

/// What the router itself answers instances: at its addresses in the network, and not in another.
fn add_input(package: &mut Package, part: &Part<'_>) {
    let (zone, spec) = (part.names.network(), &part.network.spec);
    rule(part, "dhcp", "DHCP", "ACCEPT")
        .one("src", &zone)
        .one("family", "ipv4")
        .list("proto", ["udp"])
        .one("dest_port", 67)
        .add_to(package);
    rule(part, "dhcpv6", "DHCPv6", "ACCEPT")
        .one("src", &zone)
        .one("family", "ipv6")
        .list("proto", ["udp"])
        .one("dest_port", 547)
        .add_to(package);
    rule(part, "nd", "neighbours", "ACCEPT")
        .one("src", &zone)
        .one("family", "ipv6")
        .list("proto", ["icmp"])
        .list("icmp_type", NEIGHBOUR_DISCOVERY)
        .add_to(package);
    let mut sources = texts(&prefixes(spec));
    sources.push(LINK_LOCAL.to_owned());
    add_services(package, part, ["dns", "ping"], &zone, &sources);
    let sources = texts(&peers(spec));
    let zone = part.names.tunnel();
    add_services(package, part, ["wg_dns", "wg_ping"], &zone, &sources);
}

fn add_services(
    package: &mut Package,
    part: &Part<'_>,
    [dns, ping]: [&str; 2],
    zone: &str,
    sources: &[String],
) {
    let spec = &part.network.spec;
    let router = [IpAddr::from(spec.router_ipv4()), spec.router_ipv6().into()];
    rule(part, dns, "DNS", "ACCEPT")
        .one("src", zone)
        .list("proto", ["tcp", "udp"])
        .list("src_ip", sources)
        .list("dest_ip", router)
        .one("dest_port", 53)
        .add_to(package);
    rule(part, ping, "ping", "ACCEPT")
        .one("src", zone)
        .list("proto", ["icmp"])
        .list("icmp_type", ["echo-request"])
        .list("src_ip", sources)
        .list("dest_ip", router)
        .add_to(package);
}

/// Between instances and peers.
fn add_peers(package: &mut Package, part: &Part<'_>) {
    let (network, tunnel, spec) = (
        part.names.network(),
        part.names.tunnel(),
        &part.network.spec,
    );
    rule(part, "wg_in", "peers to instances", "ACCEPT")
        .one("src", &tunnel)
        .one("dest", &network)
        .list("proto", ["all"])
        .list("src_ip", peers(spec))
        .list("dest_ip", prefixes(spec))
        .add_to(package);
    rule(part, "wg_out", "instances to peers", "ACCEPT")
        .one("src", &network)
        .one("dest", &tunnel)
        .list("proto", ["all"])
        .list("src_ip", prefixes(spec))
        .list("dest_ip", peers(spec))
        .add_to(package);
}

/// From the network to the world outside, and nowhere else; from peers to nowhere else.
fn add_outside(package: &mut Package, part: &Part<'_>, router: &Router) {
    let (network, spec) = (part.names.network(), &part.network.spec);
    let mut never = texts(&peers(spec));
    never.push(LINK_LOCAL_IPV4.to_owned());
    rule(part, "never", "never outside", "REJECT")
        .one("src", &network)
        .one("dest", "*")
        .list("proto", ["all"])
        .list("dest_ip", never)
        .add_to(package);
    let target = if spec.egress { "ACCEPT" } else { "REJECT" };
    rule(part, "out", "egress", target)
        .one("src", &network)
        .one("dest", &router.uplink_zone)
        .one("family", "ipv4")
        .list("proto", ["all"])
        .list("src_ip", [spec.ipv4])
        .add_to(package);
    // Refused and not dropped, so that an instance need not wait.
    for (section, zone, target) in [
        ("rest", network, "REJECT"),
        ("wg_rest", part.names.tunnel(), "DROP"),
    ] {
        rule(part, section, "nothing else", target)
            .one("src", zone)
            .one("dest", "*")
            .list("proto", ["all"])
            .add_to(package);
    }
    if spec.egress {
        add_nat(package, part, router, spec.ipv4);
    }
}

/// The operator's zone may translate addresses itself, or not.
fn add_nat(package: &mut Package, part: &Part<'_>, router: &Router, source: Ipv4Net) {
    named(part, "nat", "nat", "egress")
        .one("family", "ipv4")
        .one("src", &router.uplink_zone)
        .list("proto", ["all"])
        .one("src_ip", source)
        .one("target", "MASQUERADE")
        .add_to(package);
}

fn prefixes(spec: &NetworkPlacement) -> [IpNet; 2] {
    [spec.ipv4.into(), spec.ipv6.into()]
}

fn peers(spec: &NetworkPlacement) -> [IpNet; 2] {
    [spec.peers_ipv4.into(), spec.peers_ipv6.into()]
}

fn texts(items: &[impl Display]) -> Vec<String> {
    items.iter().map(ToString::to_string).collect()
}
