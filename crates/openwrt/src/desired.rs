//! The sections that make a router's networks, package by package.

mod dhcp;
mod firewall;
mod network;

use rhyzome_uci::{Name, Package};

pub(crate) use network::{PRIORITY, tunnel_mtu};

use crate::draft::Draft;
use crate::names::Names;
use crate::router::Network;
use crate::validate::Checked;

/// Our sections in the three packages. In the firewall, their order counts: what comes first is said first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sections {
    pub network: Package,
    pub dhcp: Package,
    pub firewall: Package,
}

/// What a router's files are to have of ours.
pub fn desired(checked: &Checked<'_>) -> Sections {
    let package = |name: &str| Package::new(name.parse().expect("packages are constants"));
    let mut sections = Sections {
        network: package("network"),
        dhcp: package("dhcp"),
        firewall: package("firewall"),
    };
    for network in checked.networks() {
        let part = Part {
            network,
            names: Names::new(network.spec.segment),
        };
        network::add(&mut sections.network, &part, checked.router());
        dhcp::add(&mut sections.dhcp, &part);
        firewall::add(&mut sections.firewall, &part, checked.router());
    }
    sections
}

/// A network while its sections are written.
struct Part<'a> {
    network: &'a Network,
    names: Names,
}

impl Part<'_> {
    /// A section with our mark, in a package where it is an option.
    fn marked(&self, kind: &str, name: Name) -> Draft {
        Draft::new(kind, name).one(crate::mark::OPTION, self.network.spec.network)
    }
}

#[cfg(test)]
mod tests;
