//! The configuration that the router starts with: the component's, and the uplink's.

mod network;

use std::net::IpAddr;

use ipnet::IpNet;
use rhyzome_model::segment::Segmentation;
use rhyzome_uci::{Package, Section, Value};

use crate::card::Card;

pub(crate) use network::network;

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
