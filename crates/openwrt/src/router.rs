//! What a router is to have: its own settings, and its networks.

use std::net::IpAddr;
use std::sync::Arc;

use rhyzome_model::lease::LeasePlacement;
use rhyzome_model::network::{NetworkPlacement, VtepPlacement};
use rhyzome_model::peer::PeerPlacement;
use rhyzome_model::segment::Segmentation;
use rhyzome_wireguard::key::PrivateKey;

/// The router's own settings, as its operator gives them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Router {
    /// Where VLANs come in.
    pub trunk: Option<Trunk>,
    /// Where tunnels to hypervisors end, and the UDP port of them all.
    pub tunnel: Option<(IpAddr, u16)>,
    /// Whether each network is a network card of its own.
    pub ports: bool,
    /// The firewall zone that leads outside.
    pub uplink_zone: String,
}

impl Router {
    /// How it can carry networks, the preferred way first.
    pub fn segmentations(&self) -> Vec<Segmentation> {
        let ways = [
            (self.ports, Segmentation::Port),
            (self.trunk.is_some(), Segmentation::Vlan),
            (self.tunnel.is_some(), Segmentation::Vxlan),
        ];
        let can = ways.into_iter().filter(|(can, _)| *can);
        can.map(|(_, way)| way).collect()
    }
}

/// Where VLANs come in, tagged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trunk {
    /// A device that is nobody else's.
    Device(String),
    /// Ports of a bridge that has VLANs already.
    Bridge { device: String, ports: Vec<String> },
}

impl Trunk {
    pub fn device(&self) -> &str {
        match self {
            Self::Device(device) | Self::Bridge { device, .. } => device,
        }
    }
}

/// A network and all that belongs to it on the router.
#[derive(Clone, Debug)]
pub struct Network {
    pub spec: NetworkPlacement,
    /// Made on the router, which it never leaves.
    pub endpoint_key: PrivateKey,
    pub leases: Vec<Arc<LeasePlacement>>,
    pub peers: Vec<Arc<PeerPlacement>>,
    /// The other ends of the segment, where it is a VXLAN.
    pub vteps: Vec<Arc<VtepPlacement>>,
}

impl Network {
    /// As people call it: project and name.
    pub fn title(&self) -> String {
        format!("{}/{}", self.spec.project, self.spec.name)
    }
}
