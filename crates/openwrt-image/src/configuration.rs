//! The configuration that the router starts with: the component's, and the uplink's.

mod network;

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;
use rhyzome_uci::{Package, Section, Value};

use crate::card::{Card, Role};

pub(crate) use network::network;

/// What carries networks between the hypervisors and the router.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Segmentation {
    /// Tagged, on the trunk.
    Vlan,
    /// In tunnels over the uplink.
    Vxlan,
    /// A network card for each network.
    Port,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no segmentation; vlan, vxlan and port are")]
pub struct InvalidSegmentation(String);

impl Segmentation {
    const ALL: [Self; 3] = [Self::Vlan, Self::Vxlan, Self::Port];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Vlan => "vlan",
            Self::Vxlan => "vxlan",
            Self::Port => "port",
        }
    }

    /// The cards that a router has from the beginning.
    pub fn roles(self) -> &'static [Role] {
        match self {
            Self::Vlan => &[Role::Uplink, Role::Trunk],
            Self::Vxlan | Self::Port => &[Role::Uplink],
        }
    }
}

impl fmt::Display for Segmentation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Segmentation {
    type Err = InvalidSegmentation;
    fn from_str(text: &str) -> Result<Self, InvalidSegmentation> {
        let found = Self::ALL.into_iter().find(|one| one.as_str() == text);
        found.ok_or_else(|| InvalidSegmentation(text.to_owned()))
    }
}

/// How the uplink gets its addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Uplink {
    /// From whoever gives them out there: DHCP, and router advertisements.
    Automatic,
    Static {
        address: IpNet,
        gateway: IpAddr,
        dns: Vec<IpAddr>,
    },
}

/// How the component joins, and what it is then.
#[derive(Clone)]
pub struct Settings {
    /// `https://HOST:PORT`, where the core listens for components.
    pub core: String,
    /// Good for one component to join; it names the authority that is to be trusted.
    pub token: String,
    pub name: String,
    pub segmentation: Segmentation,
    pub cards: Vec<Card>,
    pub uplink: Uplink,
}

/// `/etc/config/rhyzome`.
pub(crate) fn component(settings: &Settings) -> Package {
    let mut package = Package::new("rhyzome".parse().expect("it is a package's name"));
    let main = [
        ("core", settings.core.as_str()),
        ("token", &settings.token),
        ("name", &settings.name),
        ("segmentation", settings.segmentation.as_str()),
    ];
    add(&mut package, section("component", "main", &main));
    for card in &settings.cards {
        let mut nic = section("nic", card.role.as_str(), &[("device", &card.device)]);
        if let Some(mac) = card.mac {
            set(&mut nic, "mac", &mac.to_string());
        }
        add(&mut package, nic);
    }
    package
}

/// A section with options. Whoever calls this has checked the values.
fn section(kind: &str, name: &str, options: &[(&str, &str)]) -> Section {
    let kind = kind.parse().expect("it is written here");
    let mut section = Section::named(kind, name.parse().expect("it is written here"));
    for (option, value) in options {
        set(&mut section, option, value);
    }
    section
}

fn set(section: &mut Section, option: &str, value: &str) {
    let option = option.parse().expect("it is written here");
    section.set(option, Value::one(value).expect("it is plain text"));
}

fn add(package: &mut Package, section: Section) {
    package.add(section).expect("its name is free");
}

#[cfg(test)]
mod tests;
