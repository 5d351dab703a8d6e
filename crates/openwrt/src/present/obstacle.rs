//! What stands in the way, for the operator to do something about.

use std::net::IpAddr;

use ipnet::IpNet;
use rhyzome_uci::{ReadError, Section};

use crate::validate::Place;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Obstacle {
    #[error("there is no /etc/config/{0}")]
    Missing(&'static str),
    #[error(
        "/etc/config/{0} cannot be read, {1}; mend it first: the router's next start is without it"
    )]
    Unreadable(&'static str, #[source] ReadError),
    #[error(
        "/etc/config/{0} would not be the same, or not readable, after any commit: a type of a section has a quote, \
         #, ; or \\ in it"
    )]
    Fragile(&'static str),
    #[error(
        "the firewall has no zones of its own: with ours alone the router could not be reached any more"
    )]
    NoZones,
    #[error("the firewall has no zone {0}, which is to be the uplink")]
    NoUplink(String),
    #[error(
        "the firewall's default for forwarding is ACCEPT, so that networks are open to others: set it to REJECT"
    )]
    ForwardsAll,
    #[error(
        "the firewall's default for input is ACCEPT, so that a network is let into the router until fw4 has read that its \
         interface is up: set it to REJECT, and what is to be let in in your own zones"
    )]
    LetsAllIn,
    #[error("{section} in /etc/config/{package} has the name {name}, which is for Rhyzome's own")]
    Name {
        package: String,
        section: String,
        name: String,
    },
    #[error("{zone} in /etc/config/firewall takes {name}, which is Rhyzome's")]
    Zone { zone: String, name: String },
    #[error("{section} in /etc/config/network has VLAN {vlan} of {trunk}, which is a network's")]
    Vlan {
        section: String,
        trunk: String,
        vlan: u16,
    },
    #[error(
        "the bridge {0} has no VLANs yet: the first one would cut off all that comes without a tag. Give it the ones \
         that it needs, or a trunk of its own"
    )]
    NoFilter(String),
    #[error("{section} in /etc/config/network has {theirs}, which overlaps {ours} of {place}")]
    Overlap {
        section: String,
        theirs: IpNet,
        ours: IpNet,
        place: Place,
    },
    #[error("{section} in /etc/config/network has the UDP port {port} of {place}")]
    Port {
        section: String,
        port: u16,
        place: Place,
    },
    #[error(
        "{section} in /etc/config/dhcp has the address {address} of {place}: dnsmasq would not start"
    )]
    HostAddress {
        section: String,
        address: IpAddr,
        place: Place,
    },
    #[error("{section} in /etc/config/dhcp has the Ethernet address {mac} of {place}")]
    HostMac {
        section: String,
        mac: String,
        place: Place,
    },
    #[error("/etc/config/dhcp has no dnsmasq: nobody would get an address")]
    NoServer,
}

/// How a section is called: its type and its name, or what it says its name is.
pub(super) fn title(section: &Section) -> String {
    let name = section.name().map(ToString::to_string);
    let name = name.or_else(|| section.text_of("name").map(str::to_owned));
    match name {
        Some(name) => format!("the {} {name}", section.kind()),
        None => format!("a {} without a name", section.kind()),
    }
}
