//! Devices: what is wanted of them, and making them so. What cannot be done is said in the log alone.

use std::collections::BTreeMap;

use super::super::config::{Options, Package, Section};
use super::super::shell;
use super::kernel::{self, exists, ip, is_name};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    pub kind: Kind,
    mac: Option<String>,
    mtu: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// One that is there already.
    Present,
    Bridge {
        ports: Vec<String>,
        vlans: Vec<Vlan>,
    },
    Vlan {
        base: String,
        number: String,
    },
}

/// A VLAN of a bridge, and its ports: `eth0:t`, `eth0:u*`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vlan {
    number: String,
    ports: Vec<String>,
}

/// The devices that a package speaks of, by name.
pub fn wanted(package: &Package) -> BTreeMap<String, Device> {
    let mut found = BTreeMap::new();
    for section in package
        .sections
        .iter()
        .filter(|section| section.kind == "device")
    {
        let Some(name) = section.one("name").filter(|name| is_name(name)) else {
            continue;
        };
        let kind = match section.one("type") {
            Some("bridge") => Kind::Bridge {
                ports: owned(&section.list("ports")),
                vlans: vlans_of(package, name),
            },
            Some("8021q") => Kind::Vlan {
                base: section.one("ifname").unwrap_or_default().to_owned(),
                number: section.one("vid").unwrap_or("1").to_owned(),
            },
            _ => Kind::Present,
        };
        found.insert(name.to_owned(), device(section, kind));
    }
    for section in package
        .sections
        .iter()
        .filter(|section| section.kind == "interface")
    {
        // `eth1.40` is made without being said.
        let name = section.one("device").unwrap_or_default();
        if let Some((base, number)) = name.rsplit_once('.')
            && number.parse::<u16>().is_ok()
            && !found.contains_key(name)
            && is_name(name)
        {
            let (base, number) = (base.to_owned(), number.to_owned());
            let (mac, mtu) = (None, None);
            let kind = Kind::Vlan { base, number };
            found.insert(name.to_owned(), Device { kind, mac, mtu });
        }
    }
    found
}

fn device(section: &Section, kind: Kind) -> Device {
    let text = |option: &str| section.one(option).map(str::to_owned);
    Device {
        kind,
        mac: text("macaddr"),
        mtu: text("mtu"),
    }
}

fn vlans_of(package: &Package, bridge: &str) -> Vec<Vlan> {
    let sections = package.sections.iter();
    let of_it = sections
        .filter(|section| section.kind == "bridge-vlan" && section.one("device") == Some(bridge));
    let vlans = of_it.filter_map(|section| {
        Some(Vlan {
            number: section.one("vlan")?.to_owned(),
            ports: owned(&section.list("ports")),
        })
    });
    vlans.collect()
}

fn owned(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

impl Device {
    /// Whether this is made out of the other one without making it anew.
    pub fn follows(&self, before: &Self) -> bool {
        match (&self.kind, &before.kind) {
            (Kind::Bridge { .. }, Kind::Bridge { .. }) | (Kind::Present, Kind::Present) => true,
            (now, before) => now == before,
        }
    }

    /// Whether taking it out of the configuration deletes it.
    pub fn is_made(&self) -> bool {
        self.kind != Kind::Present
    }

    /// Makes it, or makes it as it is wanted.
    pub fn ensure(&self, name: &str) {
        match &self.kind {
            Kind::Present => {}
            Kind::Bridge { ports, vlans } => ensure_bridge(name, ports, vlans),
            Kind::Vlan { base, number } => {
                if exists(base) {
                    // It is claimed with what is on it.
                    ip(&format!("link set {base} up"));
                }
                if !exists(name) && exists(base) {
                    ip(&format!(
                        "link add link {base} name {name} type vlan id {number}"
                    ));
                }
            }
        }
        if !exists(name) {
            return;
        }
        if let Some(mac) = &self.mac {
            ip(&format!("link set {name} address {mac}"));
        }
        if let Some(mtu) = &self.mtu {
            ip(&format!("link set {name} mtu {mtu}"));
        }
        if self.is_made() {
            ip(&format!("link set {name} up"));
        }
    }
}

impl Device {
    /// Takes what has appeared of what it is made of.
    pub fn adopt(&self, name: &str) {
        match &self.kind {
            Kind::Bridge { ports, .. } => {
                for port in ports.iter().filter(|port| exists(port)) {
                    if kernel::master(port).is_none() {
                        self.ensure(name);
                    }
                }
            }
            Kind::Vlan { base, .. } if exists(base) && !exists(name) => self.ensure(name),
            Kind::Vlan { .. } | Kind::Present => {}
        }
    }
}

fn ensure_bridge(name: &str, ports: &[String], vlans: &[Vlan]) {
    if !exists(name) {
        ip(&format!(
            "link add {name} type bridge forward_delay 0 mcast_snooping 0"
        ));
    }
    let of_vlans = vlans.iter().flat_map(|vlan| &vlan.ports);
    let of_vlans = of_vlans.map(|port| port.split(':').next().unwrap_or_default().to_owned());
    let mut wanted: Vec<String> = ports.iter().cloned().chain(of_vlans).collect();
    wanted.sort();
    wanted.dedup();
    for port in kernel::ports(name)
        .iter()
        .filter(|port| !wanted.contains(port))
    {
        ip(&format!("link set {port} nomaster"));
    }
    for port in wanted.iter().filter(|port| exists(port)) {
        if kernel::master(port).as_deref() != Some(name) {
            ip(&format!("link set {port} master {name} up"));
        }
    }
    if !vlans.is_empty() {
        set_vlans(name, vlans, &wanted);
    }
}

/// As the kernel has them after a bridge's VLANs were set: those that are said, and no others.
fn set_vlans(name: &str, vlans: &[Vlan], ports: &[String]) {
    ip(&format!("link set {name} type bridge vlan_filtering 1"));
    for port in ports.iter().map(String::as_str).chain([name]) {
        let own = if port == name { " self" } else { "" };
        shell::words(&format!("bridge vlan del dev {port} vid 1-4094{own}"));
    }
    for Vlan { number, ports } in vlans {
        shell::words(&format!("bridge vlan add dev {name} vid {number} self"));
        for port in ports {
            let (port, flags) = port.split_once(':').unwrap_or((port, ""));
            let primary = flags.contains('*') || flags.is_empty();
            let untagged = if flags.contains('t') { "" } else { " untagged" };
            let primary = if primary { " pvid" } else { "" };
            shell::words(&format!(
                "bridge vlan add dev {port} vid {number}{primary}{untagged}"
            ));
        }
    }
}
