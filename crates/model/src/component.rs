//! Components: the programs that make things real on hosts, each with an identity of its own.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::instance::Firmware;
use crate::placement::PlacementKind;
use crate::segment::Segmentation;
use crate::{Name, Size};

/// What a component is, which says what may be placed on it.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum ComponentKind {
    /// Makes instances and segments on a hypervisor.
    Libvirt,
    /// Makes networks, leases and peers on a Linux host.
    Linux,
    /// Makes networks, leases and peers on OpenWrt.
    Openwrt,
}

impl ComponentKind {
    pub const ALL: [Self; 3] = [Self::Libvirt, Self::Linux, Self::Openwrt];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Libvirt => "libvirt",
            Self::Linux => "linux",
            Self::Openwrt => "openwrt",
        }
    }

    /// Whether placements of a kind may be on such a component.
    pub fn takes(self, kind: PlacementKind) -> bool {
        match kind {
            PlacementKind::Instance | PlacementKind::Segment => self == Self::Libvirt,
            PlacementKind::Vtep => true,
            PlacementKind::Network | PlacementKind::Lease | PlacementKind::Peer => {
                matches!(self, Self::Linux | Self::Openwrt)
            }
        }
    }
}

impl fmt::Display for ComponentKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no kind of component; libvirt, linux and openwrt are")]
pub struct InvalidKind(pub String);

impl FromStr for ComponentKind {
    type Err = InvalidKind;
    fn from_str(text: &str) -> Result<Self, InvalidKind> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.as_str() == text)
            .ok_or_else(|| InvalidKind(text.to_owned()))
    }
}

/// What can be changed of a component.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ComponentSpec {
    /// Words for placing and for people.
    pub labels: BTreeMap<String, String>,
    /// Set: nothing new is placed on it. What is there stays.
    pub cordon: Option<Cordon>,
}

/// That nothing new is to be placed on a component.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Cordon {
    /// Why, for people.
    pub reason: Option<String>,
}

/// What a component says of its host when it connects.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct HostFacts {
    /// The host's name.
    pub hostname: String,
    /// Names the running kernel and the network namespace: components that say the same share their links.
    pub host: String,
    /// What may be given to instances in sum; 0 on a router.
    pub cpus: u32,
    pub memory: Size,
    /// A router's public address or name, which peers' configurations point at.
    pub public_address: Option<String>,
    /// The UDP ports that a router may use for endpoints, first and last.
    pub endpoint_ports: Option<(u16, u16)>,
    /// The largest IP packet that fits the host's segments, in bytes.
    pub mtu: Option<u16>,
    /// Where tunnels to the host's segments end (VXLAN); none where they cannot span hosts.
    #[schema(value_type = Option<String>, example = "192.0.2.7")]
    pub tunnel_address: Option<IpAddr>,
    /// Whether that is a guess: the address by which the host reaches its core.
    pub tunnel_address_guessed: bool,
    /// How it can carry networks; a router's first is what its new networks get.
    pub segmentations: Vec<Segmentation>,
    /// Where VLANs come in and go out; none where they cannot.
    pub trunk: Option<Trunk>,
    /// The VM that it runs in, as its firmware says (SMBIOS): the instance's id, where that is one of ours.
    #[schema(value_type = Option<String>, format = "uuid")]
    pub machine: Option<Uuid>,
    /// Whether the prefixes of a router's networks may overlap: each has a routing domain of its own.
    pub overlapping_prefixes: bool,
    /// What a hypervisor can boot disks with; where UEFI is missing, `details` say why under `uefi`.
    pub firmware: Vec<Firmware>,
    /// What a hypervisor calls the bridges of its own that instances can have interfaces on.
    pub bridges: Vec<Name>,
    /// What is good to know, for people: versions, the accelerator and why it was chosen.
    pub details: BTreeMap<String, String>,
}

/// A network device that VLANs are on (802.1Q).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Trunk {
    pub device: String,
    /// The largest IP packet that fits a VLAN there, in bytes.
    pub mtu: u16,
}

impl HostFacts {
    /// What is taken for so before a component has said anything.
    pub fn assumed(kind: ComponentKind) -> Self {
        Self {
            overlapping_prefixes: kind != ComponentKind::Openwrt,
            ..Self::default()
        }
    }
}

impl Default for HostFacts {
    fn default() -> Self {
        Self {
            hostname: String::new(),
            host: String::new(),
            cpus: 0,
            memory: Size::default(),
            public_address: None,
            endpoint_ports: None,
            mtu: None,
            tunnel_address: None,
            tunnel_address_guessed: false,
            // Components did nothing else before they said it.
            segmentations: vec![Segmentation::Vxlan],
            trunk: None,
            machine: None,
            overlapping_prefixes: true,
            firmware: Vec::new(),
            bridges: Vec::new(),
            details: BTreeMap::new(),
        }
    }
}

impl Default for Size {
    fn default() -> Self {
        Self::bytes(0)
    }
}
