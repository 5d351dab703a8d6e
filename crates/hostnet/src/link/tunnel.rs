//! VXLAN devices (RFC 7348) as ports of bridges.

use std::net::IpAddr;

use netlink_packet_route::link::{InfoBridgePort, InfoData, InfoPortData, InfoVxlan, LinkInfo};
use rtnetlink::{LinkBridgePort, LinkVxlan};

use super::{LinkError, Links, failed, or_there_already};

/// Hops that a tunnel's packets may take.
const TTL: u8 = 64;

/// What makes a VXLAN device the one that it should be; it cannot be changed afterwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Vxlan {
    pub vni: u32,
    pub port: u16,
    /// The address that its packets come from.
    pub local: IpAddr,
    /// Whether it believes what packets say about where MACs are.
    pub learning: bool,
}

/// What a bridge does at a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortFlags {
    /// Remembers there whose frames came.
    pub learning: bool,
    /// Sends there what is for nobody it knows.
    pub flood: bool,
}

impl Links {
    /// A VXLAN device, down, without any other end.
    pub async fn add_vxlan(&self, name: &str, what: Vxlan) -> Result<bool, LinkError> {
        let message = LinkVxlan::new(name, what.vni)
            .port(what.port)
            .learning(what.learning)
            .ttl(TTL);
        let message = match what.local {
            IpAddr::V4(local) => message.local(local),
            // UDP over IPv6 has a checksum, here too (RFC 8200, section 8.1).
            IpAddr::V6(local) => message.local6(local),
        };
        let result = self.handle.link().add(message.build()).execute().await;
        or_there_already(result.map_err(failed("add the tunnel", name)))
    }

    pub async fn set_port_flags(&self, index: u32, flags: PortFlags) -> Result<(), LinkError> {
        let message = LinkBridgePort::new(index)
            .learning(flags.learning)
            .flood(flags.flood)
            .build();
        let result = self.handle.link().change(message).execute().await;
        result.map_err(failed("set up the bridge's port, link number", index))
    }
}

/// What a message says of a VXLAN device; none where the link is no such.
pub(super) fn vxlan(infos: &[LinkInfo]) -> Option<Vxlan> {
    let data = infos.iter().find_map(|info| match info {
        LinkInfo::Data(InfoData::Vxlan(data)) => Some(data),
        _ => None,
    })?;
    let (mut vni, mut port, mut local, mut learning) = (None, None, None, false);
    for info in data {
        match info {
            InfoVxlan::Id(id) => vni = Some(*id),
            InfoVxlan::Port(number) => port = Some(*number),
            InfoVxlan::Local(address) => local = Some(IpAddr::V4(*address)),
            InfoVxlan::Local6(address) => local = Some(IpAddr::V6(*address)),
            InfoVxlan::Learning(on) => learning = *on,
            _ => {}
        }
    }
    Some(Vxlan {
        vni: vni?,
        port: port?,
        local: local?,
        learning,
    })
}

/// What a message says of a link as a bridge's port.
pub(super) fn port_flags(infos: &[LinkInfo]) -> Option<PortFlags> {
    let data = infos.iter().find_map(|info| match info {
        LinkInfo::PortData(InfoPortData::BridgePort(data)) => Some(data),
        _ => None,
    })?;
    let (mut learning, mut flood) = (None, None);
    for info in data {
        match info {
            InfoBridgePort::Learning(on) => learning = Some(*on),
            InfoBridgePort::UnicastFlood(on) => flood = Some(*on),
            _ => {}
        }
    }
    Some(PortFlags {
        learning: learning?,
        flood: flood?,
    })
}
