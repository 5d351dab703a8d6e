//! Addresses, ports and hosts that somebody else on the router has.

use std::net::{IpAddr, Ipv4Addr};

use ipnet::{IpNet, Ipv4Net};
use rhyzome_uci::Section;

use super::Present;
use super::obstacle::{Obstacle, title};
use crate::router::Network;
use crate::validate::{Checked, Place, overlap};

/// Prefixes of other interfaces and routes that have an address of a network's, or of its peers'.
pub(super) fn addresses(present: &Present, checked: &Checked<'_>) -> Vec<Obstacle> {
    let mut found = Vec::new();
    for section in present.foreign(&present.network) {
        for theirs in prefixes(section) {
            for network in checked.networks() {
                let hits = ours(network)
                    .into_iter()
                    .filter(|ours| overlap(*ours, theirs));
                found.extend(hits.map(|ours| Obstacle::Overlap {
                    section: title(section),
                    theirs,
                    ours,
                    place: Place::network(network),
                }));
            }
        }
    }
    found
}

fn ours(network: &Network) -> [IpNet; 4] {
    let spec = &network.spec;
    [
        spec.ipv4.into(),
        spec.ipv6.into(),
        spec.peers_ipv4.into(),
        spec.peers_ipv6.into(),
    ]
}

/// What a section gives addresses or routes to. Routes to everywhere are nobody's in particular.
fn prefixes(section: &Section) -> Vec<IpNet> {
    let options: &[&str] = match section.kind().as_str() {
        "interface" => &["ipaddr", "ip6addr", "addresses", "ip6prefix"],
        "route" | "route6" => &["target"],
        kind if kind.starts_with("wireguard_") => &["allowed_ips"],
        _ => &[],
    };
    let netmask = section.text_of("netmask");
    let words = options
        .iter()
        .flat_map(|option| section.items_of(option))
        .flat_map(|item| item.split_whitespace());
    words
        .filter_map(|word| prefix(word, netmask))
        .filter(|prefix| prefix.prefix_len() > 0)
        .collect()
}

fn prefix(text: &str, netmask: Option<&str>) -> Option<IpNet> {
    if let Ok(net) = text.parse::<IpNet>() {
        return Some(net.trunc());
    }
    let address: IpAddr = text.parse().ok()?;
    let masked = netmask
        .and_then(|mask| mask.parse::<Ipv4Addr>().ok())
        .zip(match address {
            IpAddr::V4(address) => Some(address),
            IpAddr::V6(_) => None,
        })
        .and_then(|(mask, address)| Ipv4Net::with_netmask(address, mask).ok());
    Some(masked.map_or_else(|| address.into(), |net| net.trunc().into()))
}

/// Ports of other tunnels, and other hosts with an address of a lease's.
pub(super) fn ports_and_hosts(present: &Present, checked: &Checked<'_>) -> Vec<Obstacle> {
    let mut found = Vec::new();
    for section in present.foreign(&present.network) {
        let is_port = |port: u16| section.text_of("listen_port") == Some(&*port.to_string());
        let hit = checked
            .networks()
            .iter()
            .find(|network| is_port(network.spec.endpoint_port));
        found.extend(hit.map(|network| Obstacle::Port {
            section: title(section),
            port: network.spec.endpoint_port,
            place: Place::network(network),
        }));
    }
    let hosts = present.foreign(&present.dhcp);
    for section in hosts.filter(|section| section.kind().as_str() == "host") {
        found.extend(host(section, checked));
    }
    found
}

fn host(section: &Section, checked: &Checked<'_>) -> Vec<Obstacle> {
    let address: Option<IpAddr> = section.text_of("ip").and_then(|ip| ip.parse().ok());
    let macs: Vec<String> = section
        .items_of("mac")
        .flat_map(|item| item.split_whitespace().map(str::to_ascii_lowercase))
        .collect();
    let mut found = Vec::new();
    for network in checked.networks() {
        for lease in &network.leases {
            let place = Place::lease(network, lease);
            if address == Some(lease.ipv4.into()) {
                found.push(Obstacle::HostAddress {
                    section: title(section),
                    address: lease.ipv4.into(),
                    place: place.clone(),
                });
            }
            let mac = lease.mac.to_string();
            if macs.contains(&mac) {
                let section = title(section);
                found.push(Obstacle::HostMac {
                    section,
                    mac,
                    place,
                });
            }
        }
    }
    found
}
