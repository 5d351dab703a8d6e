//! Names of devices and zones, and what carries the networks.

use std::net::IpAddr;

use super::{Place, Problems, What};
use crate::names::PREFIX;
use crate::router::{Network, Router, Trunk};
use rhyzome_model::segment::Segment;

/// `IFNAMSIZ` less the zero (linux/if.h).
const LONGEST_DEVICE: usize = 15;

pub(super) fn router(router: &Router, problems: &mut Problems) {
    if let Some(trunk) = &router.trunk {
        device(trunk.device(), problems);
        if let Trunk::Bridge { ports, .. } = trunk {
            problems.add_if(ports.is_empty(), &Place::Router, || What::NoPorts);
            ports.iter().for_each(|port| device(port, problems));
        }
    }
    let zone = &router.uplink_zone;
    problems.add_if(!is_zone(zone), &Place::Router, || What::Zone(zone.clone()));
    ours(zone, problems);
    if let Some((address, port)) = router.tunnel {
        problems.add_if(!is_end(address), &Place::Router, || {
            What::TunnelAddress(address)
        });
        problems.add_if(port == 0, &Place::Router, || What::NoPort);
    }
}

pub(super) fn segment(router: &Router, network: &Network, problems: &mut Problems) {
    let place = Place::network(network);
    match (network.spec.segment, &router.trunk, router.tunnel) {
        (Segment::Vlan(_), None, _) => problems.add(&place, What::NoTrunk),
        (Segment::Vxlan(_), _, None) => problems.add(&place, What::NoTunnel),
        (Segment::Vxlan(_), _, Some((own, _))) => ends(network, own, problems),
        (Segment::Vlan(_) | Segment::Port(_), ..) => {}
    }
}

/// The other ends of a VXLAN.
fn ends(network: &Network, own: IpAddr, problems: &mut Problems) {
    let mut seen = std::collections::BTreeMap::new();
    for vtep in &network.vteps {
        let place = Place::Vtep {
            network: network.title(),
            host: vtep.host,
        };
        problems.once(&mut seen, vtep.host, "the host", &place);
        problems.add_if(vtep.network != network.spec.network, &place, || {
            What::Elsewhere(vtep.network)
        });
        let address = vtep.address;
        problems.add_if(!is_end(address) || address == own, &place, || {
            What::TunnelAddress(address)
        });
        problems.add_if(address.is_ipv4() != own.is_ipv4(), &place, || {
            What::Family(address)
        });
    }
}

fn is_end(address: IpAddr) -> bool {
    !(address.is_unspecified() || address.is_loopback() || address.is_multicast())
}

/// What netifd, its scripts and the shells between them take.
fn device(name: &str, problems: &mut Problems) {
    let good = (1..=LONGEST_DEVICE).contains(&name.len())
        && !name.starts_with(['.', '-', '@'])
        && name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "._-@".contains(c));
    problems.add_if(!good, &Place::Router, || What::Device(name.to_owned()));
    ours(name, problems);
}

fn ours(name: &str, problems: &mut Problems) {
    problems.add_if(name.starts_with(PREFIX), &Place::Router, || {
        What::OurName(name.to_owned())
    });
}

/// What fw4 takes for one (`fw4.uc`, `parse_identifier`).
fn is_zone(name: &str) -> bool {
    let first = |c: char| c.is_ascii_alphabetic() || "_.".contains(c);
    name.starts_with(first)
        && name
            .chars()
            .all(|c| first(c) || c.is_ascii_digit() || "/-".contains(c))
}
