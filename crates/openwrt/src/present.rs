//! What is on the router already, and what of it stands in the way.
//!
//! A file that cannot be read keeps what runs, and is no network, or a closed firewall, after the next start: nothing is
//! added to one. Neither is anything added beside what somebody else has for the same purpose, or with a name of ours.

mod obstacle;
mod overlap;

pub use obstacle::Obstacle;

use std::collections::BTreeSet;

use rhyzome_model::NetworkId;
use rhyzome_model::segment::Segment;
use rhyzome_uci::{Package, Section};

use crate::mark::{OPTION, is_ours};
use crate::names::{PREFIX, network_of};
use crate::router::Trunk;
use crate::validate::Checked;

/// The texts of the router's files, of `/etc/config` or as `uci export` writes them; none where there is no file.
#[derive(Clone, Copy, Debug, Default)]
pub struct Files<'a> {
    pub network: Option<&'a str>,
    pub dhcp: Option<&'a str>,
    pub firewall: Option<&'a str>,
}

/// What the router's files say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Present {
    pub network: Package,
    pub dhcp: Package,
    pub firewall: Package,
}

impl Present {
    /// Reads the router's files.
    ///
    /// # Errors
    /// A file is missing or cannot be read, or would not be readable after any commit; the firewall has no zones.
    pub fn read(files: Files<'_>) -> Result<Self, Vec<Obstacle>> {
        Self::of([
            read("network", files.network),
            read("dhcp", files.dhcp),
            read("firewall", files.firewall),
        ])
    }

    /// The same, where they have been read, in that order.
    pub(crate) fn of(parts: [Result<Package, Obstacle>; 3]) -> Result<Self, Vec<Obstacle>> {
        let [Ok(network), Ok(dhcp), Ok(firewall)] = parts else {
            return Err(parts.into_iter().filter_map(Result::err).collect());
        };
        let foreign_zone = |zone: &Section| !is_ours("firewall", zone);
        if !firewall.of_type("zone").any(foreign_zone) {
            return Err(vec![Obstacle::NoZones]);
        }
        Ok(Self {
            network,
            dhcp,
            firewall,
        })
    }

    /// The networks that carry our mark: the name that all of theirs begin with, and the id.
    pub(crate) fn marked(&self) -> BTreeSet<(String, NetworkId)> {
        let mut marked = BTreeSet::new();
        for package in [&self.network, &self.dhcp] {
            let ours = |section: &&Section| is_ours(package.name().as_str(), section);
            for section in package.sections().iter().filter(ours) {
                let name = section.name().and_then(network_of);
                let id = section.text_of(OPTION).and_then(|id| id.parse().ok());
                marked.extend(name.map(str::to_owned).zip(id));
            }
        }
        marked
    }

    /// The package of a name.
    pub(crate) fn package(&self, name: &str) -> &Package {
        match name {
            "network" => &self.network,
            "dhcp" => &self.dhcp,
            _ => &self.firewall,
        }
    }

    /// All that stands in the way of what a router is to have.
    pub fn obstacles(&self, checked: &Checked<'_>) -> Vec<Obstacle> {
        let mut found = self.names();
        found.extend(self.zones(checked));
        found.extend(self.trunk(checked));
        found.extend(overlap::addresses(self, checked));
        found.extend(overlap::ports_and_hosts(self, checked));
        if checked.networks().is_empty() {
            return found;
        }
        if self.dhcp.of_type("dnsmasq").next().is_none() {
            found.push(Obstacle::NoServer);
        }
        found
    }

    /// Those that are somebody else's, of a package.
    fn foreign<'a>(&'a self, package: &'a Package) -> impl Iterator<Item = &'a Section> {
        let name = package.name().as_str();
        package
            .sections()
            .iter()
            .filter(move |section| !is_ours(name, section))
    }

    /// Sections of somebody else's with names of ours, and devices and zones that are called as ours.
    fn names(&self) -> Vec<Obstacle> {
        let mut found = Vec::new();
        for package in [&self.network, &self.dhcp, &self.firewall] {
            for section in self.foreign(package) {
                let called = section.name().map(ToString::to_string);
                let option = match section.kind().as_str() {
                    "device" | "zone" => "name",
                    "interface" => "device",
                    "dhcp" => "interface",
                    _ => "",
                };
                let says = section.text_of(option).map(str::to_owned);
                let taken = called.into_iter().chain(says);
                found.extend(taken.filter(|name| name.starts_with(PREFIX)).map(|name| {
                    Obstacle::Name {
                        package: package.name().to_string(),
                        section: obstacle::title(section),
                        name,
                    }
                }));
            }
        }
        found
    }

    fn zones(&self, checked: &Checked<'_>) -> Vec<Obstacle> {
        let mut found = Vec::new();
        let (mut uplink, needed) = (false, !checked.networks().is_empty());
        for section in self.foreign(&self.firewall) {
            match section.kind().as_str() {
                "defaults" if needed => {
                    if accepts(section.text_of("forward")) {
                        found.push(Obstacle::ForwardsAll);
                    }
                    if accepts(section.text_of("input")) {
                        found.push(Obstacle::LetsAllIn);
                    }
                }
                "zone" => {
                    let enabled = section.text_of("enabled") != Some("0");
                    uplink |=
                        enabled && section.text_of("name") == Some(&checked.router().uplink_zone);
                    found.extend(takes_ours(section).map(|name| Obstacle::Zone {
                        zone: obstacle::title(section),
                        name,
                    }));
                }
                _ => {}
            }
        }
        if needed && !uplink {
            found.push(Obstacle::NoUplink(checked.router().uplink_zone.clone()));
        }
        found
    }

    /// The first VLAN of a bridge turns its filter on, which cuts off all that has no tag.
    fn trunk(&self, checked: &Checked<'_>) -> Vec<Obstacle> {
        let vlans: Vec<u16> = checked
            .networks()
            .iter()
            .filter_map(|network| match network.spec.segment {
                Segment::Vlan(vlan) => Some(vlan.get()),
                Segment::Vxlan(_) | Segment::Port(_) => None,
            })
            .collect();
        let Some(trunk) = checked
            .router()
            .trunk
            .as_ref()
            .filter(|_| !vlans.is_empty())
        else {
            return Vec::new();
        };
        let mut found: Vec<Obstacle> = vlans
            .iter()
            .flat_map(|vlan| self.uses_vlan(trunk.device(), *vlan))
            .collect();
        let device = trunk.device();
        let filters = self
            .foreign(&self.network)
            .any(|section| is_bridge_vlan(section) && section.text_of("device") == Some(device));
        if matches!(trunk, Trunk::Bridge { .. }) && !filters {
            found.push(Obstacle::NoFilter(device.to_owned()));
        }
        found
    }

    fn uses_vlan(&self, trunk: &str, vlan: u16) -> Vec<Obstacle> {
        let (dotted, number) = (format!("{trunk}.{vlan}"), vlan.to_string());
        let uses = |section: &&Section| {
            let says = |option: &str, text: &str| section.text_of(option) == Some(text);
            match section.kind().as_str() {
                "bridge-vlan" => says("device", trunk) && says("vlan", &number),
                "device" => {
                    says("name", &dotted)
                        || says("ifname", trunk) && says("vid", &number)
                        || section.items_of("ports").any(|port| port == dotted)
                }
                _ => says("device", &dotted) || says("ifname", &dotted),
            }
        };
        self.foreign(&self.network)
            .filter(uses)
            .map(|section| Obstacle::Vlan {
                section: obstacle::title(section),
                trunk: trunk.to_owned(),
                vlan,
            })
            .collect()
    }
}

pub(crate) fn read(name: &'static str, text: Option<&str>) -> Result<Package, Obstacle> {
    let Some(text) = text else {
        return Err(Obstacle::Missing(name));
    };
    let called = name.parse().expect("packages are constants");
    let package = Package::read(called, text).map_err(|error| Obstacle::Unreadable(name, error))?;
    match package.survives_a_commit() {
        true => Ok(package),
        false => Err(Obstacle::Fragile(name)),
    }
}

fn is_bridge_vlan(section: &Section) -> bool {
    section.kind().as_str() == "bridge-vlan"
}

fn accepts(policy: Option<&str>) -> bool {
    policy.is_some_and(|policy| policy.eq_ignore_ascii_case("accept"))
}

/// The interfaces and devices of ours that a zone has; a `+` at the end of a device stands for anything. Lists may be
/// one text with spaces.
fn takes_ours(zone: &Section) -> impl Iterator<Item = String> {
    let words = |option: &str| {
        let items = zone.items_of(option);
        items
            .flat_map(|item| item.split_whitespace().map(str::to_owned))
            .collect::<Vec<_>>()
    };
    let is_ours = |name: &String| match name.strip_suffix('+') {
        Some(start) => start.starts_with(PREFIX) || PREFIX.starts_with(start),
        None => name.starts_with(PREFIX) || name == "*",
    };
    let mut names = words("network");
    names.extend(words("device"));
    names.into_iter().filter(is_ours)
}

#[cfg(test)]
mod tests;
