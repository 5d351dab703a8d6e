//! One interface, and bringing it up and down.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::Instant;

use serde_json::{Value, json};

use super::super::config::{Options, Section};
use super::kernel::{exists, ip};
use super::{dhcp, vxlan, wireguard};

#[derive(Debug, Clone)]
pub struct Interface {
    pub section: Section,
    /// Sections that are about it: peers.
    pub peers: Vec<Section>,
    /// Whether it should be up.
    pub wanted: bool,
    pub phase: Phase,
    addresses: Vec<Address>,
}

#[derive(Debug, Clone)]
pub enum Phase {
    Down {
        error: Option<&'static str>,
    },
    /// It is tried again later, and nothing says why.
    Pending {
        since: Instant,
    },
    Up {
        device: String,
        since: Instant,
    },
}

/// An address of a prefix' length.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    pub ip: std::net::IpAddr,
    pub bits: u8,
}

impl Interface {
    pub fn new(section: Section, peers: Vec<Section>) -> Self {
        Self {
            wanted: section.flag("auto", true) && !section.flag("disabled", false),
            section,
            peers,
            phase: Phase::Down { error: None },
            addresses: Vec::new(),
        }
    }

    pub fn proto(&self) -> &str {
        self.section.one("proto").unwrap_or("none")
    }

    pub fn is_up(&self) -> bool {
        matches!(self.phase, Phase::Up { .. })
    }

    /// Its layer 3 device, which some protocols make.
    pub fn device(&self) -> &str {
        match self.proto() {
            "wireguard" | "vxlan" | "vxlan6" => &self.section.name,
            _ => self.section.one("device").unwrap_or_default(),
        }
    }

    pub fn up(&mut self) {
        let device = self.device().to_owned();
        if self.proto() == "dhcp" && exists(&device) {
            return self.up_by_dhcp(&device);
        }
        let made = match self.proto() {
            "wireguard" => wireguard::make(&mut self.section, &self.peers),
            "vxlan" | "vxlan6" => vxlan::make(&self.section, &self.peers),
            _ => exists(&device),
        };
        let error = match self.proto() {
            _ if made => None,
            // Only the log says why.
            "wireguard" => {
                self.phase = Phase::Pending {
                    since: Instant::now(),
                };
                return;
            }
            _ => Some("NO_DEVICE"),
        };
        let addresses = match (error, self.wanted_addresses()) {
            (None, Ok(addresses)) => addresses,
            (None, Err(error)) | (Some(error), _) => {
                self.phase = Phase::Down { error: Some(error) };
                return;
            }
        };
        let (device, since) = (device, Instant::now());
        if exists(&device) {
            ip(&format!("link set {device} up"));
        }
        for address in &addresses {
            self.add(address, &device);
        }
        self.addresses = addresses;
        self.add_routes(&device);
        self.phase = Phase::Up { device, since };
    }

    fn up_by_dhcp(&mut self, device: &str) {
        let since = Instant::now();
        let lease = dhcp::ask(device);
        let address = lease
            .as_ref()
            .and_then(|lease| Address::parse(&lease.address, lease.netmask.as_deref()));
        let Some(address) = address else {
            self.phase = Phase::Pending { since };
            return;
        };
        self.add(&address, device);
        self.addresses = vec![address];
        if let Some(gateway) = lease.and_then(|lease| lease.gateway) {
            ip(&format!("route replace default via {gateway} dev {device}"));
        }
        let device = device.to_owned();
        self.phase = Phase::Up { device, since };
    }

    fn add(&self, address: &Address, device: &str) {
        let Address { ip: host, bits } = address;
        let table = self.table(address.ip.is_ipv6());
        let apart = if table.is_some() {
            " noprefixroute"
        } else {
            ""
        };
        ip(&format!("addr replace {host}/{bits} dev {device}{apart}"));
        if let Some(table) = table {
            let prefix = address.prefix();
            ip(&format!(
                "route replace {prefix}/{bits} dev {device} table {table}"
            ));
        }
    }

    pub fn table(&self, is_ipv6: bool) -> Option<&str> {
        self.section
            .one(if is_ipv6 { "ip6table" } else { "ip4table" })
    }

    /// Routes to the peers that there are now.
    pub fn route(&self) {
        if let Phase::Up { device, .. } = &self.phase {
            self.add_routes(device);
        }
    }

    fn add_routes(&self, device: &str) {
        if self.section.flag("defaultroute", true) {
            for (option, family) in [("gateway", "-4"), ("ip6gw", "-6")] {
                if let Some(gateway) = self.section.one(option) {
                    ip(&format!(
                        "{family} route replace default via {gateway} dev {device}"
                    ));
                }
            }
        }
        if self.proto() == "wireguard" {
            for prefix in wireguard::routes(&self.peers) {
                let table = self.table(prefix.contains(':')).unwrap_or("main");
                ip(&format!(
                    "route replace {prefix} dev {device} table {table}"
                ));
            }
        }
    }

    /// # Errors
    /// An address that is none.
    fn wanted_addresses(&self) -> Result<Vec<Address>, &'static str> {
        let lists: &[&str] = match self.proto() {
            "static" => &["ipaddr", "ip6addr"],
            "wireguard" => &["addresses"],
            _ => &[],
        };
        let netmask = self.section.one("netmask");
        let texts = lists.iter().flat_map(|option| self.section.list(option));
        let addresses = texts.map(|text| Address::parse(text, netmask).ok_or("INVALID_ADDRESS"));
        addresses.collect()
    }

    pub fn down(&mut self) {
        if let Phase::Up { device, .. } = &self.phase {
            match self.proto() {
                "wireguard" | "vxlan" | "vxlan6" => super::kernel::delete(device),
                _ if exists(device) => {
                    for Address { ip: host, bits } in &self.addresses {
                        ip(&format!("addr del {host}/{bits} dev {device}"));
                    }
                }
                _ => {}
            }
        }
        self.addresses = Vec::new();
        self.phase = Phase::Down { error: None };
    }

    /// The answer to `status`.
    pub fn status(&self) -> Value {
        let device = self.device();
        let mut status = json!({
            "up": self.is_up(),
            "pending": matches!(self.phase, Phase::Pending { .. }),
            "available": self.is_up() || exists(device),
            "autostart": self.wanted,
            "dynamic": false,
            "proto": self.proto(),
            "errors": [],
        });
        if !device.is_empty() && (self.is_up() || self.section.one("device").is_some()) {
            status["device"] = json!(device);
        }
        match &self.phase {
            Phase::Up { device, since } => {
                status["uptime"] = json!(since.elapsed().as_secs());
                status["l3_device"] = json!(device);
                for (key, is_ipv6) in [("ipv4-address", false), ("ipv6-address", true)] {
                    let of_family = self
                        .addresses
                        .iter()
                        .filter(|one| one.ip.is_ipv6() == is_ipv6);
                    let said = of_family.map(|one| json!({"address": one.ip, "mask": one.bits}));
                    status[key] = said.collect();
                }
            }
            Phase::Down { error: Some(code) } => {
                status["errors"] = json!([{"subsystem": "interface", "code": code}]);
            }
            Phase::Down { error: None } | Phase::Pending { .. } => {}
        }
        status
    }
}

impl Address {
    /// With a prefix' length, a netmask, or neither: then it is one address.
    fn parse(text: &str, netmask: Option<&str>) -> Option<Self> {
        let (text, bits) = match text.split_once('/') {
            Some((text, bits)) => (text, Some(bits)),
            None => (text, None),
        };
        let ip: std::net::IpAddr = text.parse().ok()?;
        let longest = if ip.is_ipv6() { 128 } else { 32 };
        let bits = match (bits, netmask) {
            (Some(bits), _) => bits.parse().ok()?,
            (None, Some(mask)) if ip.is_ipv4() => {
                let mask: Ipv4Addr = mask.parse().ok()?;
                u8::try_from(u32::from(mask).count_ones()).ok()?
            }
            _ => longest,
        };
        (bits <= longest).then_some(Self { ip, bits })
    }

    fn prefix(&self) -> std::net::IpAddr {
        match self.ip {
            std::net::IpAddr::V4(ip) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(self.bits)).unwrap_or(0);
                Ipv4Addr::from(u32::from(ip) & mask).into()
            }
            std::net::IpAddr::V6(ip) => {
                let mask = u128::MAX
                    .checked_shl(128 - u32::from(self.bits))
                    .unwrap_or(0);
                Ipv6Addr::from(u128::from(ip) & mask).into()
            }
        }
    }
}
