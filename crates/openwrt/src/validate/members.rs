//! Leases and peers of a network.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;
use rhyzome_wireguard::key::PublicKey;

use super::{Place, Problems, What};
use crate::router::Network;

pub(super) fn check(network: &Network, problems: &mut Problems) {
    leases(network, problems);
    peers(network, problems);
}

fn leases(network: &Network, problems: &mut Problems) {
    let spec = &network.spec;
    let (mut ids, mut names, mut addresses) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
    for lease in &network.leases {
        let place = Place::lease(network, lease);
        problems.once(&mut ids, lease.lease, "the id", &place);
        problems.once(&mut names, lease.hostname.clone(), "the name", &place);
        problems.add_if(lease.network != spec.network, &place, || {
            What::Elsewhere(lease.network)
        });
        let pairs: [(IpAddr, IpNet); 2] = [
            (lease.ipv4.into(), spec.ipv4.into()),
            (lease.ipv6.into(), spec.ipv6.into()),
        ];
        for (address, prefix) in pairs {
            problems.once(&mut addresses, address, "the address", &place);
            within(address, prefix, &place, problems);
        }
        let router = [IpAddr::from(spec.router_ipv4()), spec.router_ipv6().into()];
        let ends = [
            IpAddr::from(spec.ipv4.network()),
            spec.ipv4.broadcast().into(),
            spec.ipv6.network().into(),
        ];
        for address in [IpAddr::from(lease.ipv4), lease.ipv6.into()] {
            let reserved = router.contains(&address) || ends.contains(&address);
            problems.add_if(reserved, &place, || What::Reserved(address));
        }
    }
}

fn within(address: IpAddr, prefix: IpNet, place: &Place, problems: &mut Problems) {
    problems.add_if(!prefix.contains(&address), place, || What::Outside {
        address,
        prefix,
    });
}

fn peers(network: &Network, problems: &mut Problems) {
    let spec = &network.spec;
    let own = network.endpoint_key.public_key();
    let (mut ids, mut keys, mut addresses) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
    for peer in &network.peers {
        let place = Place::peer(network, peer);
        problems.once(&mut ids, peer.peer, "the id", &place);
        problems.add_if(peer.network != spec.network, &place, || {
            What::Elsewhere(peer.network)
        });
        match peer.public_key.parse::<PublicKey>() {
            Err(error) => problems.add(&place, What::Key(peer.public_key.clone(), error)),
            Ok(key) => {
                problems.add_if(key == own, &place, || What::OwnKey);
                problems.once(&mut keys, key, "the key", &place);
            }
        }
        let pairs: [(IpAddr, IpNet); 2] = [
            (peer.ipv4.into(), spec.peers_ipv4.into()),
            (peer.ipv6.into(), spec.peers_ipv6.into()),
        ];
        for (address, prefix) in pairs {
            problems.once(&mut addresses, address, "the address", &place);
            within(address, prefix, &place, problems);
            problems.add_if(address == prefix.network(), &place, || {
                What::Reserved(address)
            });
        }
    }
}
