//! What differs between what is meant and what runs, and what it is about.

use std::net::IpAddr;

use ipnet::IpNet;
use rhyzome_wireguard::key::PublicKey;
use uuid::Uuid;

/// Something that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what}")]
pub(crate) struct Difference {
    pub about: About,
    pub what: What,
}

/// Whose placement it is, of a network's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum About {
    Network,
    Lease(Uuid),
    Peer(Uuid),
    Vtep(Uuid),
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum What {
    #[error("somebody changed /etc/config/{package}: to mend it, {change}{}", instead(was.as_deref()))]
    Section {
        package: &'static str,
        change: String,
        was: Option<String>,
    },
    #[error("{0}")]
    Refused(String),
    #[error("netifd has no interface {0}")]
    NoInterface(String),
    #[error("the interface {name} is not up{}", codes(errors))]
    InterfaceDown { name: String, errors: Vec<String> },
    #[error("there is no link {0}")]
    NoLink(String),
    #[error("no network card with the MAC {mac} is called {name}")]
    NoCard { name: String, mac: String },
    #[error("the link {name} is a port of {bridge}")]
    InBridge { name: String, bridge: String },
    #[error("the link {0} is down")]
    LinkDown(String),
    #[error("the link {name} has an MTU of {have} and not of {want}")]
    Mtu { name: String, have: u32, want: u16 },
    #[error("the link {name} has not the Ethernet address {want}")]
    Mac { name: String, want: String },
    #[error("the link {name} has not the address {address}")]
    NoAddress { name: String, address: IpNet },
    #[error("the link {name} is not VLAN {vlan} of {trunk}")]
    NoVlan {
        name: String,
        vlan: u16,
        trunk: String,
    },
    #[error("the bridge {bridge} does not carry VLAN {vlan} to all its ports")]
    NoBridgeVlan { bridge: String, vlan: u16 },
    #[error("the WireGuard device {0} has another key")]
    TunnelKey(String),
    #[error("the WireGuard device {name} listens at the UDP port {have} and not at {want}")]
    TunnelPort { name: String, have: u16, want: u16 },
    #[error("the WireGuard device {device} has no such peer: {key}")]
    NoPeer { device: String, key: PublicKey },
    #[error("the WireGuard device {device} has the peer {key} with other addresses")]
    PeerAddresses { device: String, key: PublicKey },
    #[error("the WireGuard device {device} has a peer that nobody asked for: {key}")]
    Stranger { device: String, key: PublicKey },
    #[error("there is no way to {to} through {device} in the table {table}")]
    NoRoute {
        to: IpNet,
        device: String,
        table: u32,
    },
    #[error("what comes from {from} does not look in the table {table}")]
    NoRule { from: IpNet, table: u32 },
    #[error(
        "the program bridge is missing, without which nothing is sent through a VXLAN: install ip-bridge"
    )]
    NoBridge,
    #[error("the VXLAN {device} does not send what is for {mac} to {address}")]
    NoEnd {
        device: String,
        mac: String,
        address: IpAddr,
    },
    #[error("the VXLAN {device} sends what is for {mac} to {address}, where nobody is")]
    StrangeEnd {
        device: String,
        mac: String,
        address: IpAddr,
    },
    #[error("fw4 leaves something out: {0}")]
    Skipped(String),
    #[error("fw4 makes no zone {0}")]
    NoZone(String),
    #[error("the firewall's rule is missing: {0}")]
    RuleMissing(String),
    #[error("the firewall has a rule that fw4 did not make: {0}")]
    RuleForeign(String),
    #[error("dnsmasq does not run")]
    NoServer,
    #[error("dnsmasq does not answer at {0}")]
    Silent(std::net::Ipv4Addr),
    #[error("dnsmasq does not say that {name} is {address}")]
    Unnamed {
        name: String,
        address: std::net::Ipv4Addr,
    },
    #[error("{0} is still there")]
    Still(String),
}

fn instead(was: Option<&str>) -> String {
    was.map_or_else(String::new, |was| format!(" instead of '{was}'"))
}

fn codes(errors: &[String]) -> String {
    match errors.is_empty() {
        true => String::new(),
        false => format!(": netifd says {}", errors.join(", ")),
    }
}

/// What to do about something that runs and is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Remedy {
    /// Nothing but writing the files again, or another's doing, helps.
    None,
    /// Setting the device's key, port and peers: by its name.
    Tunnel(String),
    /// Setting where a VXLAN sends: by the device's name.
    Ends(String),
    /// Having fw4 make all of its rules anew.
    Firewall,
    /// Having network cards named that were plugged in.
    Cards,
    /// Having netifd compare what runs with its files.
    Network,
    /// Making a route, which netifd has made before and would not again.
    Route {
        to: IpNet,
        device: String,
        table: u32,
    },
    /// The same with a rule of routing.
    Rule { from: IpNet, table: u32 },
    /// Taking an interface down and up.
    Interface(String),
    /// Starting dnsmasq anew.
    Server,
}

impl What {
    pub fn remedy(&self) -> Remedy {
        match self {
            Self::Section { .. } | Self::Refused(_) | Self::Skipped(_) | Self::NoBridge => {
                Remedy::None
            }
            Self::NoEnd { device, .. } | Self::StrangeEnd { device, .. } => {
                Remedy::Ends(device.clone())
            }
            Self::TunnelKey(name) | Self::TunnelPort { name, .. } => Remedy::Tunnel(name.clone()),
            Self::NoPeer { device, .. }
            | Self::PeerAddresses { device, .. }
            | Self::Stranger { device, .. } => Remedy::Tunnel(device.clone()),
            Self::NoZone(_) | Self::RuleMissing(_) | Self::RuleForeign(_) => Remedy::Firewall,
            Self::NoCard { .. } | Self::InBridge { .. } => Remedy::Cards,
            Self::NoInterface(_) | Self::NoBridgeVlan { .. } | Self::Still(_) => Remedy::Network,
            Self::InterfaceDown { name, .. }
            | Self::NoLink(name)
            | Self::LinkDown(name)
            | Self::Mtu { name, .. }
            | Self::Mac { name, .. }
            | Self::NoVlan { name, .. }
            | Self::NoAddress { name, .. } => Remedy::Interface(name.clone()),
            Self::NoRoute { to, device, table } => Remedy::Route {
                to: *to,
                device: device.clone(),
                table: *table,
            },
            Self::NoRule { from, table } => Remedy::Rule {
                from: *from,
                table: *table,
            },
            Self::NoServer | Self::Silent(_) | Self::Unnamed { .. } => Remedy::Server,
        }
    }
}
