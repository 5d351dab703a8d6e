//! Compares what runs with what is meant. Pure.

mod what;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use rhyzome_model::network::{VtepPlacement, router_mac};
use rhyzome_model::segment::{Segment, VlanId};
use rhyzome_wireguard::peers::{Peer, PeerSet};

use crate::desired::tunnel_mtu;
use crate::mark::FIREWALL_NAME;
use crate::names::Names;
use crate::router::{Network, Router, Trunk};
use crate::running::{ALL, End, Route, Rule, Rules, Running, Skipped, Tunnel};

pub(crate) use what::{About, Difference, Remedy, What};

/// What fw4 makes of the router's files.
#[derive(Clone, Debug, Default)]
pub(crate) struct Meant {
    pub rules: Rules,
    pub skipped: Vec<Skipped>,
}

/// What of a network's links and tunnels does not run as meant.
pub(crate) fn links(network: &Network, router: &Router, running: &Running) -> Vec<Difference> {
    let names = Names::new(network.spec.segment);
    let mut found = Found(Vec::new());
    interfaces(network, names, running, &mut found);
    segment(network, names, router, running, &mut found);
    tunnel(network, names, running, &mut found);
    routing(network, names, running, &mut found);
    if !running.server {
        found.network(What::NoServer);
    }
    found.0
}

struct Found(Vec<Difference>);

impl Found {
    fn network(&mut self, what: What) {
        self.add(About::Network, what);
    }

    fn add(&mut self, about: About, what: What) {
        self.0.push(Difference { about, what });
    }
}

fn interfaces(network: &Network, names: Names, running: &Running, found: &mut Found) {
    let mut wanted = vec![names.network(), names.tunnel()];
    if matches!(network.spec.segment, Segment::Vxlan(_)) {
        wanted.push(names.vxlan());
    }
    for name in wanted {
        match running.interfaces.get(&name) {
            None => found.network(What::NoInterface(name)),
            Some(interface) if !interface.up || !interface.errors.is_empty() => {
                found.network(What::InterfaceDown {
                    name,
                    errors: interface.errors.clone(),
                });
            }
            Some(_) => {}
        }
    }
}

/// The link that has the network's addresses.
fn device(network: &Network, names: Names) -> String {
    match network.spec.segment {
        Segment::Vxlan(_) => names.vxlan(),
        Segment::Vlan(_) | Segment::Port(_) => names.network(),
    }
}

fn segment(network: &Network, names: Names, router: &Router, running: &Running, found: &mut Found) {
    let (spec, name) = (&network.spec, device(network, names));
    let addresses = [
        IpNet::new(spec.router_ipv4().into(), spec.ipv4.prefix_len()),
        IpNet::new(spec.router_ipv6().into(), spec.ipv6.prefix_len()),
    ];
    let addresses: Vec<IpNet> = addresses.into_iter().flatten().collect();
    let want = router_mac(spec.network).to_string();
    let have = running.links.links.get(&name);
    if matches!(network.spec.segment, Segment::Port(_)) {
        let Some(card) = have else {
            found.network(What::NoCard { name, mac: want });
            return;
        };
        if let Some(bridge) = card.bridge.clone() {
            let name = name.clone();
            found.network(What::InBridge { name, bridge });
        }
    }
    link(&name, spec.mtu, &addresses, running, found);
    if have.is_some_and(|link| link.mac.as_ref() != Some(&want)) {
        found.network(What::Mac { name, want });
    }
    if let (Segment::Vlan(vlan), Some(trunk)) = (network.spec.segment, &router.trunk) {
        on_trunk(vlan, names, trunk, running, found);
    }
    if matches!(network.spec.segment, Segment::Vxlan(_)) {
        tunnel_ends(network, names, running, found);
    }
}

fn link(name: &str, mtu: u16, addresses: &[IpNet], running: &Running, found: &mut Found) {
    let name = name.to_owned();
    let Some(link) = running.links.links.get(&name) else {
        found.network(What::NoLink(name));
        return;
    };
    if !link.up {
        found.network(What::LinkDown(name.clone()));
    }
    if link.mtu != u32::from(mtu) {
        found.network(What::Mtu {
            name: name.clone(),
            have: link.mtu,
            want: mtu,
        });
    }
    for address in addresses {
        if !link.addresses.contains(address) {
            found.network(What::NoAddress {
                name: name.clone(),
                address: *address,
            });
        }
    }
}

fn on_trunk(vlan: VlanId, names: Names, trunk: &Trunk, running: &Running, found: &mut Found) {
    let (name, vlan) = (names.network(), vlan.get());
    let want = (vlan, trunk.device().to_owned());
    if running.links.links.contains_key(&name) && running.links.vlans.get(&name) != Some(&want) {
        found.network(What::NoVlan {
            name,
            vlan,
            trunk: want.1,
        });
    }
    if let Trunk::Bridge { device, ports } = trunk {
        // netifd may leave out how a port is in it.
        let carries = |have: &BTreeSet<String>, port: &String| {
            have.contains(port) || have.contains(&format!("{port}:t"))
        };
        let have = running.bridge.get(&vlan);
        if !have.is_some_and(|have| ports.iter().all(|port| carries(have, port))) {
            found.network(What::NoBridgeVlan {
                bridge: device.clone(),
                vlan,
            });
        }
    }
}

/// Where a network's VXLAN should send, and about which placement that is.
pub(crate) fn ends(network: &Network) -> BTreeMap<End, About> {
    let of = |vtep: &Arc<VtepPlacement>| {
        let (address, about) = (vtep.address, About::Vtep(vtep.host.0));
        let macs = vtep.macs.iter().map(ToString::to_string);
        let macs: Vec<String> = std::iter::once(ALL.to_owned()).chain(macs).collect();
        macs.into_iter().map(move |mac| ((mac, address), about))
    };
    network.vteps.iter().flat_map(of).collect()
}

fn tunnel_ends(network: &Network, names: Names, running: &Running, found: &mut Found) {
    let wanted = ends(network);
    let device = names.vxlan();
    let Some(have) = &running.ends else {
        if !wanted.is_empty() {
            found.network(What::NoBridge);
        }
        return;
    };
    let nothing = BTreeSet::new();
    let have = have.get(&device).unwrap_or(&nothing);
    for ((mac, address), about) in &wanted {
        if !have.contains(&(mac.clone(), *address)) {
            let (device, mac, address) = (device.clone(), mac.clone(), *address);
            let what = What::NoEnd {
                device,
                mac,
                address,
            };
            found.add(*about, what);
        }
    }
    for (mac, address) in have.iter().filter(|end| !wanted.contains_key(end)) {
        let (device, mac, address) = (device.clone(), mac.clone(), *address);
        found.network(What::StrangeEnd {
            device,
            mac,
            address,
        });
    }
}

/// The peers that a network's device should have.
pub(crate) fn peers(network: &Network) -> PeerSet {
    network
        .peers
        .iter()
        .filter_map(|peer| {
            let key = peer.public_key.parse().ok()?;
            let addresses = [
                IpNet::from(Ipv4Net::from(peer.ipv4)),
                Ipv6Net::from(peer.ipv6).into(),
            ];
            Some((key, Peer::new(key, addresses)))
        })
        .collect()
}

fn tunnel(network: &Network, names: Names, running: &Running, found: &mut Found) {
    let (spec, name) = (&network.spec, names.tunnel());
    let addresses = [IpNet::from(spec.peers_ipv4), spec.peers_ipv6.into()];
    link(&name, tunnel_mtu(spec), &addresses, running, found);
    let nothing = Tunnel::default();
    let device = running.tunnels.get(&name).unwrap_or(&nothing);
    if device.key != Some(network.endpoint_key.public_key()) {
        found.network(What::TunnelKey(name.clone()));
    }
    if device.port != spec.endpoint_port {
        found.network(What::TunnelPort {
            name: name.clone(),
            have: device.port,
            want: spec.endpoint_port,
        });
    }
    let wanted = peers(network);
    for peer in &network.peers {
        let Some(wanted) = peer
            .public_key
            .parse()
            .ok()
            .and_then(|key| wanted.get(&key))
        else {
            continue;
        };
        let (device_name, key) = (name.clone(), wanted.public_key);
        let what = match device.peers.get(&key) {
            Some(have) if have.allowed_ips == wanted.allowed_ips => continue,
            Some(_) => What::PeerAddresses {
                device: device_name,
                key,
            },
            None => What::NoPeer {
                device: device_name,
                key,
            },
        };
        found.add(About::Peer(peer.peer.0), what);
    }
    for key in device.peers.keys().filter(|key| !wanted.contains_key(key)) {
        found.network(What::Stranger {
            device: name.clone(),
            key: *key,
        });
    }
}

fn routing(network: &Network, names: Names, running: &Running, found: &mut Found) {
    let (spec, device, table) = (&network.spec, names.tunnel(), names.table());
    for to in [IpNet::from(spec.peers_ipv4), spec.peers_ipv6.into()] {
        let leads = |route: &&Route| {
            route.table == table && route.device == device && route.to.contains(&to)
        };
        if !running.links.routes.iter().any(|route| leads(&route)) {
            found.network(What::NoRoute {
                to,
                device: device.clone(),
                table,
            });
        }
    }
    for from in [IpNet::from(spec.ipv4), spec.ipv6.into()] {
        let wanted = Rule { from, table };
        if !running.links.rules.contains(&wanted) {
            found.network(What::NoRule { from, table });
        }
    }
}

/// Whether a text has a name of a network in it, as in `rz_v1`, or one that begins with it, as in `rz_v1_wg`.
pub(crate) fn names(name: &str, text: &str) -> bool {
    let goes_on = |rest: &str| rest.starts_with(|c: char| c.is_ascii_digit());
    text.match_indices(name)
        .any(|(at, _)| !goes_on(&text[at + name.len()..]))
}

/// What of a network's rules is not as fw4 makes them, or is left out by it.
pub(crate) fn rules(network: &Network, running: &Running, meant: &Meant) -> Vec<Difference> {
    let mut found = Found(Vec::new());
    let own = Names::new(network.spec.segment);
    let (name, title) = (
        own.network(),
        format!("{FIREWALL_NAME}{}:", network.title()),
    );
    let ours = |text: &str| names(&name, text) || text.contains(&title);
    for skipped in meant.skipped.iter().filter(|skipped| ours(&skipped.0)) {
        found.network(What::Skipped(skipped.0.clone()));
    }
    for zone in [&name, &own.tunnel()] {
        let chain = format!("input_{zone}");
        if !meant.rules.mention(|text| text == chain) {
            found.network(What::NoZone(zone.clone()));
        }
    }
    for rule in meant.rules.missing_in(&running.rules, ours) {
        found.network(What::RuleMissing(rule));
    }
    for rule in running.rules.missing_in(&meant.rules, ours) {
        found.network(What::RuleForeign(rule));
    }
    found.0
}

/// What is still there of a network that should be gone, by the name that all of its begins with. A network card stays,
/// with its name.
pub(crate) fn gone(name: &str, running: &Running) -> Vec<Difference> {
    let mut found = Found(Vec::new());
    let is_card = |link: &str| link == name && link.starts_with("rz_p");
    let interfaces = running.interfaces.keys().filter(|one| names(name, one));
    for interface in interfaces {
        found.network(What::Still(format!("the interface {interface}")));
    }
    for link in running.links.links.keys() {
        if names(name, link) && !is_card(link) {
            found.network(What::Still(format!("the link {link}")));
        }
    }
    // fw4 empties chains that it does not need any more, and keeps them.
    if running.rules.mention(|text| names(name, text)) {
        found.network(What::RuleForeign(format!("one of {name}")));
    }
    found.0
}

/// Rules of ours that fw4 would not make.
pub(crate) fn strangers(running: &Running, meant: &Meant) -> Vec<Difference> {
    let ours = |text: &str| text.starts_with(FIREWALL_NAME);
    let mut found = Found(Vec::new());
    for rule in running.rules.missing_in(&meant.rules, ours) {
        found.network(What::RuleForeign(rule));
    }
    found.0
}

/// What of the rest of the router ran before a change and does not any more.
pub(crate) fn harmed(
    before: &Running,
    now: &Running,
    ours: impl Fn(&str) -> bool,
) -> Vec<Difference> {
    let mut found = Found(Vec::new());
    for (name, _) in before
        .interfaces
        .iter()
        .filter(|(name, was)| was.up && !ours(name))
    {
        if !now.interfaces.get(name).is_some_and(|now| now.up) {
            let (name, errors) = (name.clone(), Vec::new());
            found.network(What::InterfaceDown { name, errors });
        }
    }
    let of_zones = |text: &str| text.starts_with("jump input_") && !ours(text);
    for rule in before.rules.missing_in(&now.rules, of_zones) {
        found.network(What::RuleMissing(rule));
    }
    if before.server && !now.server {
        found.network(What::NoServer);
    }
    found.0
}

#[cfg(test)]
mod tests;
