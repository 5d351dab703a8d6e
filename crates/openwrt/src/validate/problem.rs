//! What is wrong, and where.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;
use rhyzome_model::lease::LeasePlacement;
use rhyzome_model::peer::PeerPlacement;
use rhyzome_model::{ComponentId, NetworkId, PeerId};
use rhyzome_wireguard::key::KeyError;

use crate::router::Network;

/// Something that may not be asked of a router.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {what}")]
pub struct Problem {
    pub place: Place,
    pub what: What,
}

/// Where something is. Networks are called by project and name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    Router,
    Network(String),
    Lease { network: String, hostname: String },
    Peer { network: String, peer: PeerId },
    Vtep { network: String, host: ComponentId },
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum What {
    #[error("{0:?} is no name of a device: 1 to 15 letters, digits and any of ._-@ are")]
    Device(String),
    #[error(
        "{0:?} is no name of a firewall zone: a letter, _ or . and then those, digits, / and -"
    )]
    Zone(String),
    #[error("{0} is one of the names that Rhyzome makes itself")]
    OurName(String),
    #[error("the bridge of the trunk has no ports")]
    NoPorts,
    #[error("its segment is a VLAN, and the router has no trunk")]
    NoTrunk,
    #[error("its segment is a VXLAN, and the router has no address where tunnels end")]
    NoTunnel,
    #[error("{0} is no address where a tunnel can end")]
    TunnelAddress(IpAddr),
    #[error("the address {0} is of another family than the router's tunnels")]
    Family(IpAddr),
    #[error("0 is no UDP port")]
    NoPort,
    #[error("{thing} is {other}'s already")]
    Twice { thing: String, other: Place },
    #[error("{0} is no prefix: it has bits set behind its length")]
    HostBits(IpNet),
    #[error("{prefix} is too large or too small: {possible} is possible")]
    Length {
        prefix: IpNet,
        possible: &'static str,
    },
    #[error(
        "{prefix} overlaps {other_prefix} of {other}: an OpenWrt router cannot keep them apart"
    )]
    Overlap {
        prefix: IpNet,
        other: Place,
        other_prefix: IpNet,
    },
    #[error("{0:?} is no DNS domain of at most 200 bytes in lower case")]
    Domain(String),
    #[error("an MTU of {0} is not between 1280, which IPv6 takes, and 9000")]
    Mtu(u16),
    #[error("it is of the network {0}")]
    Elsewhere(NetworkId),
    #[error("{address} is not in {prefix}")]
    Outside { address: IpAddr, prefix: IpNet },
    #[error("{0} is the router's address, or the first or last of the prefix")]
    Reserved(IpAddr),
    #[error("{0:?} is no WireGuard public key: {1}")]
    Key(String, KeyError),
    #[error("its key is the endpoint's own")]
    OwnKey,
}

impl Place {
    pub(crate) fn network(network: &Network) -> Self {
        Self::Network(network.title())
    }

    pub(crate) fn lease(network: &Network, lease: &LeasePlacement) -> Self {
        Self::Lease {
            network: network.title(),
            hostname: lease.hostname.to_string(),
        }
    }

    pub(crate) fn peer(network: &Network, peer: &PeerPlacement) -> Self {
        Self::Peer {
            network: network.title(),
            peer: peer.peer,
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Router => f.write_str("the router"),
            Self::Network(network) => write!(f, "the network {network}"),
            Self::Lease { network, hostname } => {
                write!(f, "the lease {hostname} of the network {network}")
            }
            Self::Peer { network, peer } => write!(f, "the peer {peer} of the network {network}"),
            Self::Vtep { network, host } => {
                write!(f, "the end at {host} of the network {network}")
            }
        }
    }
}

/// Gathers all that is wrong.
#[derive(Default)]
pub(super) struct Problems(Vec<Problem>);

impl Problems {
    pub fn add(&mut self, place: &Place, what: What) {
        self.0.push(Problem {
            place: place.clone(),
            what,
        });
    }

    pub fn add_if(&mut self, wrong: bool, place: &Place, what: impl FnOnce() -> What) {
        if wrong {
            self.add(place, what());
        }
    }

    /// Notes who has a thing, and that another has it already.
    pub fn once<T: Ord + fmt::Display>(
        &mut self,
        seen: &mut BTreeMap<T, Place>,
        thing: T,
        called: &str,
        place: &Place,
    ) {
        match seen.get(&thing) {
            None => {
                seen.insert(thing, place.clone());
            }
            Some(other) => {
                let thing = format!("{called} {thing}");
                let other = other.clone();
                self.add(place, What::Twice { thing, other });
            }
        }
    }

    pub fn found(self) -> Vec<Problem> {
        self.0
    }
}
