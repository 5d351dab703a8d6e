//! The package `dhcp`: who gets which addresses and names.
//!
//! dnsmasq answers DHCP and DNS, odhcpd DHCPv6 and router advertisements, as OpenWrt has it by default. Only those
//! with a lease get an address.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use rhyzome_model::address::usable_ipv4;
use rhyzome_model::lease::LeasePlacement;
use rhyzome_uci::Package;

use super::Part;

/// How long a client may use its address before it asks again.
const LEASE_TIME: &str = "1h";
/// Seconds between router advertisements, and how long one holds.
const ADVERTISEMENT: (u32, u32) = (60, 1800);
/// The metadata service, which is on the link: each instance's own hypervisor.
const METADATA: &str = "169.254.169.254/32";

pub(super) fn add(package: &mut Package, part: &Part<'_>) {
    add_server(package, part);
    let mut leases: Vec<&LeasePlacement> = part.network.leases.iter().map(Arc::as_ref).collect();
    leases.sort_by_key(|lease| lease.lease);
    for lease in leases {
        add_lease(package, part, lease);
    }
}

fn add_server(package: &mut Package, part: &Part<'_>) {
    let spec = &part.network.spec;
    let (router, domain) = (spec.router_ipv4(), &spec.domain);
    let way_out = match spec.egress {
        true => "0.0.0.0/0".to_owned(),
        false => spec.peers_ipv4.to_string(),
    };
    part.marked("dhcp", part.names.section(""))
        .one("interface", part.names.network())
        // Does not look for other servers first, which takes seconds.
        .one("force", 1)
        .one("dynamicdhcp", 0)
        .one("start", 2)
        .one("limit", usable_ipv4(spec.ipv4))
        .one("leasetime", LEASE_TIME)
        .one("dhcpv4", "server")
        .list(
            "dhcp_option",
            [
                format!("option:mtu,{}", spec.mtu),
                format!("option:router,{router}"),
                format!("option:dns-server,{router}"),
                format!("option:domain-search,{domain}"),
                // Who knows this option takes its routes alone, not the router's of above (RFC 3442).
                format!("option:classless-static-route,{way_out},{router},{METADATA},0.0.0.0"),
            ],
        )
        .one("dhcpv6", "server")
        .one("ra", "server")
        .one("ra_slaac", 0)
        .list("ra_flags", ["managed-config", "other-config"])
        // A default route, without which instances could not answer peers over IPv6, also where there is no way
        // outside. Low preference: any other router's goes first (RFC 4191).
        .one("ra_default", 2)
        .one("ra_preference", "low")
        .one("ra_maxinterval", ADVERTISEMENT.0)
        .one("ra_lifetime", ADVERTISEMENT.1)
        .one("ra_mtu", spec.mtu)
        .list("dns", [spec.router_ipv6()])
        .list("domain", [domain])
        .add_to(package);
}

fn add_lease(package: &mut Package, part: &Part<'_>, lease: &LeasePlacement) {
    let (names, id) = (part.names, lease.lease.0);
    part.marked("host", names.member("host", id))
        .one("name", &lease.hostname)
        .one("mac", lease.mac)
        .one("ip", lease.ipv4)
        .one("hostid", host_id(lease.ipv6))
        .one("leasetime", LEASE_TIME)
        .add_to(package);
    let addresses = [
        ("dns4", IpAddr::from(lease.ipv4)),
        ("dns6", lease.ipv6.into()),
    ];
    for (kind, address) in addresses {
        part.marked("domain", names.member(kind, id))
            .one(
                "name",
                format!("{}.{}", lease.hostname, part.network.spec.domain),
            )
            .one("ip", address)
            .add_to(package);
    }
}

/// The last 64 bits of an address, in hexadecimal digits.
fn host_id(address: Ipv6Addr) -> String {
    let [.., a, b, c, d] = address.segments();
    let bits = [a, b, c, d]
        .iter()
        .fold(0_u64, |bits, segment| bits << 16 | u64::from(*segment));
    format!("{bits:x}")
}
