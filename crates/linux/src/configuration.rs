//! What an operator writes about a Linux router.

use std::net::IpAddr;
use std::path::PathBuf;

use ipnet::Ipv4Net;
use rhyzome_component::program::ComponentSettings;
use rhyzome_hostnet::Carrying;
use rhyzome_hostnet::underlay::{self, End};
use rhyzome_model::segment::Segmentation;
use rhyzome_settings::Complaint;
use rhyzome_wireguard::endpoint::Program;
use serde::{Deserialize, Serialize};

use crate::settings::{STATE_DIR_MAX, Settings};

/// The configuration of `rhyzome-linux`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Configuration {
    pub component: ComponentSettings,
    /// The address or name at which members reach this host: it stands in their configurations.
    pub public_address: Option<String>,
    /// The UDP ports for networks' WireGuard endpoints, first and last. They have to be open.
    pub endpoint_ports: (u16, u16),
    /// Where the addresses between networks with egress and this host are from, four for each network.
    /// They must mean nothing else on this host.
    pub egress_pool: Ipv4Net,
    /// The name servers that networks with egress ask for names outside; none means those of this
    /// host's `/etc/resolv.conf`.
    pub upstream_dns: Vec<IpAddr>,
    /// The largest IP packet that fits this host's segments, in bytes.
    pub mtu: u16,
    /// Where the tunnels of networks that span hosts end: an address of this host that the others reach.
    /// By default the one by which it reaches the core.
    pub tunnel_address: Option<IpAddr>,
    /// How networks are carried between this host and the others, the preferred way first: `vxlan`, and `vlan` where there
    /// is a trunk.
    pub segmentation: Vec<Segmentation>,
    /// The device of this host that VLANs are on (802.1Q), as `eth1`.
    pub trunk: Option<String>,
}

impl Default for Configuration {
    fn default() -> Self {
        Self {
            component: ComponentSettings::new("linux"),
            public_address: None,
            endpoint_ports: (51820, 52819),
            egress_pool: Settings::default_egress_pool(),
            upstream_dns: Vec::new(),
            mtu: 1500,
            tunnel_address: None,
            segmentation: Carrying::default().segmentations,
            trunk: None,
        }
    }
}

impl rhyzome_settings::Settings for Configuration {
    fn check(&self) -> Vec<Complaint> {
        let mut complaints = Vec::new();
        let mut complain = |key, reason: String| complaints.push(Complaint { key, reason });
        let (first, last) = self.endpoint_ports;
        if first == 0 || first > last {
            complain(
                "endpoint_ports",
                format!("{first} to {last} is no range of ports from 1 on"),
            );
        }
        if self.egress_pool != self.egress_pool.trunc() || self.egress_pool.prefix_len() > 30 {
            let reason = format!(
                "{} is no prefix of at most 30 bits; 100.64.0.0/16 is one",
                self.egress_pool
            );
            complain("egress_pool", reason);
        }
        if !(1360..=9000).contains(&self.mtu) {
            let reason = format!(
                "{} is not between 1360 (what WireGuard needs for IPv6) and 9000",
                self.mtu
            );
            complain("mtu", reason);
        }
        for (key, reason) in self.carrying().flaws() {
            complain(key, reason);
        }
        if let Some(why) = self.tunnel_address.and_then(underlay::unsuitable) {
            complain("tunnel_address", why);
        }
        if let Some(server) = self
            .upstream_dns
            .iter()
            .find(|server| !server.is_ipv4() || server.is_loopback())
        {
            complain(
                "upstream_dns",
                format!(
                    "{server} cannot be reached from a network: only other hosts' IPv4 addresses can"
                ),
            );
        }
        let state_dir = self.component.state_dir.as_os_str().len();
        if state_dir > STATE_DIR_MAX {
            let reason = format!(
                "its path has {state_dir} bytes; sockets below it leave room for {STATE_DIR_MAX}"
            );
            complain("component.state_dir", reason);
        }
        complaints
    }
}

impl Configuration {
    /// As the driver needs it, with the program that becomes the endpoints' processes.
    pub fn into_settings(self, endpoint_program: Program) -> Settings {
        Settings {
            carrying: self.carrying(),
            state_dir: self.state_dir(),
            public_address: self.public_address,
            endpoint_ports: self.endpoint_ports,
            egress_pool: self.egress_pool,
            upstream_dns: self.upstream_dns,
            mtu: self.mtu,
            tunnel: self.tunnel_address.map_or(End::Nowhere, End::Given),
            endpoint_program,
        }
    }

    fn carrying(&self) -> Carrying {
        Carrying {
            segmentations: self.segmentation.clone(),
            trunk: self.trunk.clone(),
        }
    }

    pub fn state_dir(&self) -> PathBuf {
        self.component.state_dir.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rhyzome_settings::{Loader, Settings as _};

    #[test]
    fn the_defaults_are_fine() {
        assert_eq!(Configuration::default().check(), []);
    }

    #[test]
    fn all_that_is_wrong_is_said_at_once() {
        let wrong = Configuration {
            component: ComponentSettings::new(&"x".repeat(100)),
            endpoint_ports: (9, 8),
            egress_pool: "100.64.0.1/16".parse().unwrap(),
            upstream_dns: vec!["127.0.0.53".parse().unwrap()],
            mtu: 500,
            tunnel_address: Some("::1".parse().unwrap()),
            segmentation: vec![Segmentation::Vlan],
            ..Configuration::default()
        };
        let keys: Vec<&str> = wrong
            .check()
            .iter()
            .map(|complaint| complaint.key)
            .collect();
        let expect = [
            "endpoint_ports",
            "egress_pool",
            "mtu",
            "trunk",
            "tunnel_address",
            "upstream_dns",
            "component.state_dir",
        ];
        assert_eq!(keys, expect);
    }

    #[test]
    fn an_operator_can_write_every_key() {
        let set = [
            "public_address=router.example.org",
            "endpoint_ports=[6000, 6100]",
            "egress_pool=100.65.0.0/16",
            "upstream_dns=[\"192.0.2.1\"]",
            "mtu=1400",
            "tunnel_address=192.0.2.7",
            "segmentation=[\"vlan\", \"vxlan\"]",
            "trunk=eth1",
            "component.state_dir=/var/lib/x",
        ];
        let loader = Loader::new("RHYZOME_LINUX").set(set.map(str::to_owned).to_vec());
        let loaded = loader.load::<Configuration>().unwrap().settings;
        assert_eq!((loaded.endpoint_ports, loaded.mtu), ((6000, 6100), 1400));
        assert_eq!(loaded.upstream_dns, [IpAddr::from([192, 0, 2, 1])]);
        assert_eq!(loaded.public_address.as_deref(), Some("router.example.org"));
        assert_eq!(
            loaded.segmentation,
            [Segmentation::Vlan, Segmentation::Vxlan]
        );
    }

    #[test]
    fn no_default_is_somebodys_server_and_no_two_keys_share_a_variable() {
        assert_eq!(rhyzome_settings::audit::<Configuration>(), []);
    }

    #[test]
    fn every_key_is_explained_with_its_default() {
        let page = include_str!("../../../docs/configuration.md");
        let findings = rhyzome_settings::audit_page::<Configuration>("rhyzome-linux", page);
        assert_eq!(findings, []);
    }
}
