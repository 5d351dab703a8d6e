//! A network's own figures, and that no two networks have addresses in common.

use ipnet::IpNet;
use rhyzome_model::network::NetworkPlacement;

use super::{Place, Problems, What};
use crate::router::Network;

/// With an instance's name before it, a domain still is one (RFC 1035: 253 bytes).
const LONGEST_DOMAIN: usize = 200;

pub(super) fn check(network: &Network, problems: &mut Problems) {
    let (spec, place) = (&network.spec, Place::network(network));
    problems.add_if(!is_domain(&spec.domain), &place, || {
        What::Domain(spec.domain.clone())
    });
    problems.add_if(!(1280..=9000).contains(&spec.mtu), &place, || {
        What::Mtu(spec.mtu)
    });
    problems.add_if(spec.endpoint_port == 0, &place, || What::NoPort);
    let lengths = [
        (spec.ipv4.into(), 16..=29, "/16 to /29"),
        (spec.ipv6.into(), 64..=64, "/64"),
        (spec.peers_ipv4.into(), 8..=31, "/8 to /31"),
        (spec.peers_ipv6.into(), 16..=127, "/16 to /127"),
    ];
    for (prefix, lengths, possible) in lengths {
        let prefix: IpNet = prefix;
        problems.add_if(prefix != prefix.trunc(), &place, || What::HostBits(prefix));
        problems.add_if(!lengths.contains(&prefix.prefix_len()), &place, || {
            What::Length { prefix, possible }
        });
    }
}

fn is_domain(domain: &str) -> bool {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label
                .chars()
                .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
    };
    domain.len() <= LONGEST_DOMAIN && domain.split('.').all(is_label)
}

/// All networks of a router share its routes: no prefix may have an address of another network's, or of any peers'.
pub(super) fn apart(networks: &[Network], problems: &mut Problems) {
    for (number, network) in networks.iter().enumerate() {
        let place = Place::network(network);
        for other in &networks[..number] {
            let theirs = own(&other.spec).into_iter().chain(peers(&other.spec));
            overlaps(&own(&network.spec), theirs, &place, other, problems);
            overlaps(
                &peers(&network.spec),
                own(&other.spec),
                &place,
                other,
                problems,
            );
        }
        overlaps(
            &own(&network.spec),
            peers(&network.spec),
            &place,
            network,
            problems,
        );
    }
}

fn overlaps(
    prefixes: &[IpNet],
    others: impl IntoIterator<Item = IpNet>,
    place: &Place,
    other: &Network,
    problems: &mut Problems,
) {
    for other_prefix in others {
        for prefix in prefixes {
            if overlap(*prefix, other_prefix) {
                let (prefix, other) = (*prefix, Place::network(other));
                let what = What::Overlap {
                    prefix,
                    other,
                    other_prefix,
                };
                problems.add(place, what);
            }
        }
    }
}

pub(crate) fn overlap(one: IpNet, other: IpNet) -> bool {
    one.contains(&other) || other.contains(&one)
}

fn own(spec: &NetworkPlacement) -> [IpNet; 2] {
    [spec.ipv4.into(), spec.ipv6.into()]
}

fn peers(spec: &NetworkPlacement) -> [IpNet; 2] {
    [spec.peers_ipv4.into(), spec.peers_ipv6.into()]
}
