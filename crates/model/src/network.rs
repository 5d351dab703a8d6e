//! Networks: what is asked for, and what a router and a hypervisor are told.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use ipnet::{Ipv4Net, Ipv6Net};
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::segment::Segment;
use crate::{ComponentId, InstanceId, MacAddr, Name, NetworkId, address};

/// What is asked of a network. What is left out is chosen by the core and returned.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct NetworkSpec {
    /// The IPv4 prefix, /16 to /29, from the private ranges (RFC 1918); by default a free /24 of the
    /// site's pool. Cannot be changed later.
    #[schema(value_type = Option<String>, example = "10.96.12.0/24")]
    #[serde(deserialize_with = "prefix")]
    pub ipv4: Option<Ipv4Net>,
    /// The IPv6 prefix, a /64 out of fc00::/7 (RFC 4193); by default one of the site's /48. Cannot be
    /// changed later.
    #[schema(value_type = Option<String>, example = "fd5a:1:2:3::/64")]
    #[serde(deserialize_with = "prefix")]
    pub ipv6: Option<Ipv6Net>,
    /// Whether instances may open connections to the world outside, behind the router's address.
    pub egress: bool,
    /// The component that is its router; by default one that the core chooses. Cannot be changed later.
    pub router: Option<Name>,
    /// Labels that its router has to have. Cannot be changed later.
    pub require: BTreeMap<String, String>,
}

/// A prefix; what is none is told with how one looks.
fn prefix<'de, D, P>(deserializer: D) -> Result<Option<P>, D::Error>
where
    D: Deserializer<'de>,
    P: FromStr,
{
    let none = |text: &str| {
        let message =
            format!("{text:?} is no prefix of this family: as 10.96.12.0/24 or fd5a:1:2:3::/64");
        serde::de::Error::custom(message)
    };
    let text = Option::<String>::deserialize(deserializer)?;
    text.map(|text| text.parse().map_err(|_| none(&text)))
        .transpose()
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidNetwork {
    #[error("{0} has bits set behind its prefix length; {1} was probably meant")]
    HostBits(String, String),
    #[error("{0} is too large or too small: /16 to /29 is possible")]
    Ipv4Length(Ipv4Net),
    #[error("{0} is not out of a private range: 10.0.0.0/8, 172.16.0.0/12 or 192.168.0.0/16")]
    Ipv4Range(Ipv4Net),
    #[error("{0} has to be a /64")]
    Ipv6Length(Ipv6Net),
    #[error("{0} is not out of the unique local range fc00::/7")]
    Ipv6Range(Ipv6Net),
}

impl InvalidNetwork {
    /// The field of [`NetworkSpec`] that is wrong.
    pub fn field(&self) -> &'static str {
        match self {
            Self::HostBits(text, _) if text.contains(':') => "ipv6",
            Self::HostBits(..) | Self::Ipv4Length(_) | Self::Ipv4Range(_) => "ipv4",
            Self::Ipv6Length(_) | Self::Ipv6Range(_) => "ipv6",
        }
    }
}

impl NetworkSpec {
    /// What can be said of a spec without knowing any other.
    pub fn validate(&self) -> Result<(), InvalidNetwork> {
        if let Some(prefix) = self.ipv4 {
            if prefix != prefix.trunc() {
                return Err(InvalidNetwork::HostBits(
                    prefix.to_string(),
                    prefix.trunc().to_string(),
                ));
            }
            if !(16..=29).contains(&prefix.prefix_len()) {
                return Err(InvalidNetwork::Ipv4Length(prefix));
            }
            if !prefix.addr().is_private() {
                return Err(InvalidNetwork::Ipv4Range(prefix));
            }
        }
        if let Some(prefix) = self.ipv6 {
            if prefix != prefix.trunc() {
                return Err(InvalidNetwork::HostBits(
                    prefix.to_string(),
                    prefix.trunc().to_string(),
                ));
            }
            if prefix.prefix_len() != 64 {
                return Err(InvalidNetwork::Ipv6Length(prefix));
            }
            if !prefix.addr().is_unique_local() {
                return Err(InvalidNetwork::Ipv6Range(prefix));
            }
        }
        Ok(())
    }
}

/// A network as its router is told to keep it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkPlacement {
    pub network: NetworkId,
    pub project: Name,
    pub name: Name,
    /// What carries it between its hosts.
    #[serde(default = "Segment::untold")]
    pub segment: Segment,
    pub ipv4: Ipv4Net,
    pub ipv6: Ipv6Net,
    /// The DNS domain of its instances: `<network>.<project>.<site domain>`.
    pub domain: String,
    /// The largest IP packet on the segment, in bytes.
    pub mtu: u16,
    pub egress: bool,
    /// The UDP port of its WireGuard endpoint, in the router's host's namespace.
    pub endpoint_port: u16,
    /// The site's prefixes that peers' addresses are out of; routed into the endpoint.
    pub peers_ipv4: Ipv4Net,
    pub peers_ipv6: Ipv6Net,
}

impl NetworkPlacement {
    /// The router's address in the network: the first one.
    pub fn router_ipv4(&self) -> Ipv4Addr {
        address::router_ipv4(self.ipv4)
    }

    pub fn router_ipv6(&self) -> Ipv6Addr {
        address::router_ipv6(self.ipv6)
    }
}

/// What a router reports of a network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkObserved {
    /// The endpoint's public key, in base64. Its private key never leaves the router.
    pub endpoint_key: String,
    /// Whether the kernel or a process of its own carries the tunnel: `kernel` or `userspace`.
    pub endpoint_kind: String,
}

/// A network's layer 2 as a hypervisor is told to keep it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SegmentPlacement {
    pub network: NetworkId,
    pub project: Name,
    pub name: Name,
    /// What carries it between its hosts.
    #[serde(default = "Segment::untold")]
    pub segment: Segment,
    /// The largest IP packet on the segment, in bytes.
    pub mtu: u16,
    /// The VM that is the network's router, where the segment is a network card of it.
    #[serde(default)]
    pub router: Option<InstanceId>,
}

/// The other end of a network's segment on another host (VXLAN, RFC 7348), as each host of the segment
/// is told to keep it. A new instance changes those about its own host, and no other; a host that joins
/// or leaves adds or removes one at each.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VtepPlacement {
    pub network: NetworkId,
    /// The component at the other end.
    pub host: ComponentId,
    /// Where its tunnel ends.
    pub address: IpAddr,
    /// The network's number on the wire, 24 bits.
    pub vni: u32,
    /// The UDP port of all tunnels of the site.
    pub port: u16,
    /// The MACs that are there, sorted: the router's or the instances'. Frames to them are sent there, and
    /// from there no others are taken.
    pub macs: Vec<MacAddr>,
}

/// The MAC of a network's router in its segment, locally administered (IEEE 802): the same on every router
/// and after each start, as instances and other hosts remember it.
pub fn router_mac(network: NetworkId) -> MacAddr {
    let id = network.0.as_bytes();
    MacAddr::local([id[11], id[12], id[13], id[14], id[15]])
}

/// The tunnel of a network's segment to other hosts, a port of its bridge: 13 bytes.
pub fn tunnel_name(network: NetworkId) -> String {
    format!("rzv{}", crate::id::short(network.0))
}

/// The tap of the network card that a network is of its router's VM, a port of its bridge: 13 bytes.
pub fn card_name(network: NetworkId) -> String {
    format!("rzc{}", crate::id::short(network.0))
}

/// The bridge of a network's segment on any host: 12 bytes, the same on every host.
pub fn bridge_name(network: NetworkId) -> String {
    format!("rz{}", crate::id::short(network.0))
}

/// The tap of an instance's interface number `index` on its hypervisor: at most 15 bytes.
pub fn tap_name(instance: Uuid, index: usize) -> String {
    format!("rt{}{index}", crate::id::short(instance))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(ipv4: Option<&str>, ipv6: Option<&str>, expect: Result<(), &str>) {
        let spec = NetworkSpec {
            ipv4: ipv4.map(|text| text.parse().expect("an IPv4 prefix")),
            ipv6: ipv6.map(|text| text.parse().expect("an IPv6 prefix")),
            ..NetworkSpec::default()
        };
        let got = spec.validate().map_err(|e| format!("{}: {e}", e.field()));
        assert_eq!(got, expect.map_err(str::to_owned));
    }

    #[test]
    fn a_prefix_is_private_aligned_and_of_a_usable_length() {
        check(None, None, Ok(()));
        check(Some("10.1.2.0/24"), Some("fd00:1:2:3::/64"), Ok(()));
        check(
            Some("10.1.2.3/24"),
            None,
            Err(
                "ipv4: 10.1.2.3/24 has bits set behind its prefix length; 10.1.2.0/24 was probably meant",
            ),
        );
        check(
            Some("10.0.0.0/8"),
            None,
            Err("ipv4: 10.0.0.0/8 is too large or too small: /16 to /29 is possible"),
        );
        check(
            Some("8.8.8.0/24"),
            None,
            Err(
                "ipv4: 8.8.8.0/24 is not out of a private range: 10.0.0.0/8, 172.16.0.0/12 or 192.168.0.0/16",
            ),
        );
        check(
            None,
            Some("fd00::/48"),
            Err("ipv6: fd00::/48 has to be a /64"),
        );
        check(
            None,
            Some("2001:db8::/64"),
            Err("ipv6: 2001:db8::/64 is not out of the unique local range fc00::/7"),
        );
    }

    #[test]
    fn names_of_links_fit_the_kernels_limit() {
        let id = Uuid::max();
        assert!(bridge_name(NetworkId(id)).len() <= 15);
        assert!(tunnel_name(NetworkId(id)).len() <= 15);
        assert!(tap_name(id, 99).len() <= 15);
    }
}
