//! The package `network`: devices, interfaces, WireGuard and its peers, VXLAN and its ends, routing.

use std::net::IpAddr;
use std::sync::Arc;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use rhyzome_model::network::{NetworkPlacement, router_mac};
use rhyzome_model::peer::PeerPlacement;
use rhyzome_uci::Package;

use super::Part;
use crate::router::{Router, Trunk};
use rhyzome_model::segment::{Segment, VlanId, Vni};

/// What WireGuard adds to a packet: 40 bytes of IPv6, 8 of UDP, 32 of its own.
const OVERHEAD: u16 = 80;
/// What IPv6 takes at least (RFC 8200), and what fits an ordinary way through the internet.
const TUNNEL_MTU: (u16, u16) = (1280, 1420);

/// Before the rule of the main table (32766).
pub(crate) const PRIORITY: u32 = 10_000;

pub(super) fn add(package: &mut Package, part: &Part<'_>, router: &Router) {
    let device = match part.network.spec.segment {
        Segment::Vlan(vlan) => add_vlan(package, part, vlan, router.trunk.as_ref()),
        Segment::Vxlan(vni) => add_vxlan(package, part, vni, router.tunnel),
        Segment::Port(_) => add_port(package, part),
    };
    add_interface(package, part, &device);
    add_tunnel(package, part);
    add_routing(package, part);
}

/// The device is made here and not by its dotted name, so that it has the router's address and our name.
fn add_vlan(package: &mut Package, part: &Part<'_>, vlan: VlanId, trunk: Option<&Trunk>) -> String {
    let (names, spec) = (part.names, &part.network.spec);
    let trunk = trunk.expect("a VLAN without a trunk is refused");
    if let Trunk::Bridge { device, ports } = trunk {
        part.marked("bridge-vlan", names.section("bridge"))
            .one("device", device)
            .one("vlan", vlan.get())
            .list("ports", ports.iter().map(|port| format!("{port}:t")))
            .add_to(package);
    }
    part.marked("device", names.section("dev"))
        .one("type", "8021q")
        .one("ifname", trunk.device())
        .one("vid", vlan.get())
        .one("name", names.network())
        .one("macaddr", router_mac(spec.network))
        .one("mtu", spec.mtu)
        .add_to(package);
    names.network()
}

/// Nothing is learned from packets: where a MAC is, and where to send what is for all, is said here.
fn add_vxlan(
    package: &mut Package,
    part: &Part<'_>,
    vni: Vni,
    tunnel: Option<(IpAddr, u16)>,
) -> String {
    let (names, spec) = (part.names, &part.network.spec);
    let (address, port) = tunnel.expect("a VXLAN without an end is refused");
    let (proto, option) = match address {
        IpAddr::V4(_) => ("vxlan", "ipaddr"),
        IpAddr::V6(_) => ("vxlan6", "ip6addr"),
    };
    part.marked("interface", names.section("vx"))
        .one("proto", proto)
        .one(option, address)
        .one("vid", vni.get())
        .one("port", port)
        .one("learning", 0)
        .one("macaddr", router_mac(spec.network))
        .one("mtu", spec.mtu)
        .add_to(package);
    for vtep in &part.network.vteps {
        let all = "00:00:00:00:00:00".to_owned();
        let macs = vtep.macs.iter().map(ToString::to_string);
        for mac in std::iter::once(all).chain(macs) {
            let end = format!("end_{}_{}", vtep.host.0.simple(), mac.replace(':', ""));
            part.marked("vxlan_peer", names.section(&end))
                .one("vxlan", names.vxlan())
                .one("lladdr", mac)
                .one("dst", vtep.address)
                .add_to(package);
        }
    }
    names.vxlan()
}

/// The MAC is what the card is found by: the init script `rhyzome-nics` reads both.
fn add_port(package: &mut Package, part: &Part<'_>) -> String {
    part.marked("device", part.names.section("dev"))
        .one("name", part.names.network())
        .one("macaddr", router_mac(part.network.spec.network))
        .one("mtu", part.network.spec.mtu)
        .add_to(package);
    part.names.network()
}

fn add_interface(package: &mut Package, part: &Part<'_>, device: &str) {
    let spec = &part.network.spec;
    part.marked("interface", part.names.section(""))
        .one("proto", "static")
        .one("device", device)
        .list(
            "ipaddr",
            [format!("{}/{}", spec.router_ipv4(), spec.ipv4.prefix_len())],
        )
        .list(
            "ip6addr",
            [format!("{}/{}", spec.router_ipv6(), spec.ipv6.prefix_len())],
        )
        .one("defaultroute", 0)
        .one("delegate", 0)
        .add_to(package);
}

/// Peers reach the router at its addresses in the network. The tunnel's own, the peers' prefix's own one, which no peer
/// has, is there for dnsmasq: as OpenWrt sets it up (`localservice`), it answers only who is in a prefix of one of the
/// router's addresses. The key is never left to be made by the router's own scripts, which commit whatever anybody has
/// not committed yet.
fn add_tunnel(package: &mut Package, part: &Part<'_>) {
    let (names, spec) = (part.names, &part.network.spec);
    part.marked("interface", names.section("wg"))
        .one("proto", "wireguard")
        .one("private_key", &*part.network.endpoint_key.to_base64())
        .one("listen_port", spec.endpoint_port)
        .one("mtu", tunnel_mtu(spec))
        .list(
            "addresses",
            [IpNet::from(spec.peers_ipv4), spec.peers_ipv6.into()],
        )
        .one("ip4table", names.table())
        .one("ip6table", names.table())
        .one("nohostroute", 1)
        .one("delegate", 0)
        .add_to(package);
    let mut peers: Vec<&PeerPlacement> = part.network.peers.iter().map(Arc::as_ref).collect();
    peers.sort_by_key(|peer| peer.peer);
    for peer in peers {
        let addresses = [
            IpNet::from(Ipv4Net::from(peer.ipv4)),
            Ipv6Net::from(peer.ipv6).into(),
        ];
        let kind = format!("wireguard_{}", names.tunnel());
        part.marked(&kind, names.member("peer", peer.peer.0))
            .one("description", format!("Rhyzome peer {}", peer.peer))
            .one("public_key", &peer.public_key)
            .list("allowed_ips", addresses)
            .one("route_allowed_ips", 1)
            .add_to(package);
    }
}

/// The largest IP packet in a network's tunnel, in bytes.
pub(crate) fn tunnel_mtu(spec: &NetworkPlacement) -> u16 {
    spec.mtu
        .saturating_sub(OVERHEAD)
        .clamp(TUNNEL_MTU.0, TUNNEL_MTU.1)
}

/// What comes from the network finds its peers in the network's own table, and all else in the main one.
fn add_routing(package: &mut Package, part: &Part<'_>) {
    let spec = &part.network.spec;
    let rules = [
        ("rule", "rule4", IpNet::from(spec.ipv4)),
        ("rule6", "rule6", spec.ipv6.into()),
    ];
    for (kind, name, source) in rules {
        part.marked(kind, part.names.section(name))
            .one("src", source)
            .one("lookup", part.names.table())
            .one("priority", PRIORITY)
            .add_to(package);
    }
}
