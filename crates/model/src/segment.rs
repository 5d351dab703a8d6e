//! What carries a network between its hosts. A network's is of one kind on all of them, and its number is the core's
//! to give.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The number of an 802.1Q VLAN: 1 to 4094.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "u16", into = "u16")]
pub struct VlanId(u16);

/// A network's number on the wire (RFC 7348): 24 bits, and not 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub struct Vni(u32);

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidNumber {
    #[error("{0} is no VLAN: 1 to 4094 are")]
    Vlan(u16),
    #[error("{0} is no number of a network: 1 to 16777215 are")]
    Vni(u32),
}

/// How networks are carried between hosts, in the words of configurations.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    Hash,
    PartialOrd,
    Ord,
    Serialize,
    Deserialize,
    ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Segmentation {
    /// Each network is a VLAN (802.1Q) of a trunk that all hosts are on.
    Vlan,
    /// Each network has tunnels of its own between its hosts (RFC 7348).
    #[default]
    Vxlan,
    /// Each network is a network card of the router, which is a VM on the only hypervisor of the network.
    Port,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no segmentation: vlan, vxlan and port are")]
pub struct InvalidSegmentation(pub String);

/// One network's segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Segment {
    /// A VLAN on the trunk.
    Vlan(VlanId),
    /// A tunnel between each two hosts.
    Vxlan(Vni),
    /// A network card of the router.
    Port(Vni),
}

impl VlanId {
    pub fn get(self) -> u16 {
        self.0
    }
}

impl Vni {
    pub fn get(self) -> u32 {
        self.0
    }
}

impl TryFrom<u16> for VlanId {
    type Error = InvalidNumber;
    fn try_from(number: u16) -> Result<Self, InvalidNumber> {
        match number {
            1..=4094 => Ok(Self(number)),
            _ => Err(InvalidNumber::Vlan(number)),
        }
    }
}

impl From<VlanId> for u16 {
    fn from(vlan: VlanId) -> Self {
        vlan.0
    }
}

impl TryFrom<u32> for Vni {
    type Error = InvalidNumber;
    fn try_from(number: u32) -> Result<Self, InvalidNumber> {
        match number {
            1..=0x00ff_ffff => Ok(Self(number)),
            _ => Err(InvalidNumber::Vni(number)),
        }
    }
}

impl From<Vni> for u32 {
    fn from(vni: Vni) -> Self {
        vni.0
    }
}

impl Segmentation {
    pub const ALL: [Self; 3] = [Self::Vlan, Self::Vxlan, Self::Port];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Vlan => "vlan",
            Self::Vxlan => "vxlan",
            Self::Port => "port",
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
        Self::ALL
            .into_iter()
            .find(|one| one.as_str() == text)
            .ok_or_else(|| InvalidSegmentation(text.to_owned()))
    }
}

impl Segment {
    /// The VLAN, or the number on the wire.
    pub fn number(self) -> u32 {
        match self {
            Self::Vlan(vlan) => vlan.get().into(),
            Self::Vxlan(vni) | Self::Port(vni) => vni.get(),
        }
    }

    pub fn segmentation(self) -> Segmentation {
        match self {
            Self::Vlan(_) => Segmentation::Vlan,
            Self::Vxlan(_) => Segmentation::Vxlan,
            Self::Port(_) => Segmentation::Port,
        }
    }

    /// What was written down before segments were told: tunnels, whose number each of them says itself.
    pub(crate) fn untold() -> Self {
        Self::Vxlan(Vni(1))
    }
}

impl fmt::Display for Segment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self {
            Self::Vlan(_) => "VLAN",
            Self::Vxlan(_) => "VXLAN",
            Self::Port(_) => "port",
        };
        write!(f, "{kind} {}", self.number())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_of_its_range() {
        for wrong in [0, 4095, u16::MAX] {
            assert_eq!(VlanId::try_from(wrong), Err(InvalidNumber::Vlan(wrong)));
            assert!(serde_json::from_str::<Segment>(&format!(r#"{{"vlan":{wrong}}}"#)).is_err());
        }
        for wrong in [0, 1 << 24, u32::MAX] {
            assert_eq!(Vni::try_from(wrong), Err(InvalidNumber::Vni(wrong)));
        }
        assert!(VlanId::try_from(4094).is_ok() && Vni::try_from((1 << 24) - 1).is_ok());
    }

    #[test]
    fn a_segment_is_written_by_its_kind_and_number() {
        let vlan = Segment::Vlan(VlanId(100));
        assert_eq!(serde_json::to_string(&vlan).unwrap(), r#"{"vlan":100}"#);
        assert_eq!(vlan.to_string(), "VLAN 100");
    }

    #[test]
    fn every_segmentation_is_read_as_it_is_written() {
        for one in Segmentation::ALL {
            assert_eq!(one.as_str().parse(), Ok(one));
            assert_eq!(
                serde_json::to_string(&one).unwrap(),
                format!("{:?}", one.as_str())
            );
        }
        let wrong = "trunk".parse::<Segmentation>().unwrap_err();
        assert_eq!(
            wrong.to_string(),
            r#""trunk" is no segmentation: vlan, vxlan and port are"#
        );
    }
}
