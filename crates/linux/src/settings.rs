//! What the driver has to know of its host.

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;

use ipnet::Ipv4Net;
use rhyzome_hostnet::Carrying;
use rhyzome_hostnet::underlay::End;
use rhyzome_hostnet::{Mark, Vlan};
use rhyzome_model::segment::{Segment, VlanId};
use rhyzome_wireguard::endpoint::Program;

use crate::error::Error;

/// How long the path of the state directory may be, in bytes: endpoints' sockets are 23 bytes below it,
/// and an endpoint takes a folder of at most 94 (unix(7)).
pub const STATE_DIR_MAX: usize = 94 - 23;

/// How a [`crate::LinuxDriver`] is set up.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where its records, keys and leases are: at most [`STATE_DIR_MAX`] bytes.
    pub state_dir: PathBuf,
    /// The address or name that peers' configurations point at.
    pub public_address: Option<String>,
    /// The UDP ports of endpoints, first and last.
    pub endpoint_ports: (u16, u16),
    /// Where the addresses between networks with egress and the host are from, four for each network.
    /// They must mean nothing else on the host.
    pub egress_pool: Ipv4Net,
    /// Whom networks with egress ask for names outside; empty means whom the host asks.
    pub upstream_dns: Vec<IpAddr>,
    /// The largest IP packet that fits the host's segments, in bytes.
    pub mtu: u16,
    /// Where tunnels to other hosts end.
    pub tunnel: End,
    /// How networks are carried to and from other hosts.
    pub carrying: Carrying,
    /// What becomes an endpoint's process.
    pub endpoint_program: Program,
}

impl Settings {
    /// Addresses for carriers' networks (RFC 6598), which no site has inside.
    pub fn default_egress_pool() -> Ipv4Net {
        Ipv4Net::new(Ipv4Addr::new(100, 64, 0, 0), 16).expect("16 bits are a prefix length")
    }

    /// A VLAN of this host's trunk.
    pub(crate) fn vlan(&self, id: VlanId) -> Result<Vlan<'_>, Error> {
        let trunk = self.carrying.trunk.as_deref();
        let trunk = trunk.ok_or(Error::Segmentation(Segment::Vlan(id)))?;
        Ok(Vlan { trunk, id })
    }

    /// The mark of all that the driver makes.
    pub fn mark(&self) -> Mark {
        Mark::of_state_dir(&self.state_dir)
    }

    /// Whom a network with egress asks for names outside.
    pub(crate) fn upstream(&self) -> Vec<IpAddr> {
        if !self.upstream_dns.is_empty() {
            return self.upstream_dns.clone();
        }
        // Without the file there is nobody to ask, and names outside are refused.
        let text = std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
        nameservers(&text)
    }
}

/// The name servers of resolv.conf(5) that can be reached from another network namespace, over IPv4.
fn nameservers(text: &str) -> Vec<IpAddr> {
    text.lines()
        .filter_map(|line| line.trim().strip_prefix("nameserver"))
        .filter_map(|rest| rest.trim().parse().ok())
        .filter(|address: &IpAddr| address.is_ipv4() && !address.is_loopback())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hosts_own_resolver_cannot_be_asked_from_a_network() {
        let text = "# made by hand\nnameserver 127.0.0.53\nnameserver 192.0.2.1\nnameserver fe80::1%eth0\nsearch x\n";
        assert_eq!(nameservers(text), [IpAddr::from([192, 0, 2, 1])]);
    }
}
