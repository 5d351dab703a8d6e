//! What carries a network between the hypervisors and the router. The numbers are the core's to give.

use std::fmt;

/// The number of an 802.1Q VLAN: 1 to 4094.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct VlanId(u16);

/// A network's number on the wire (RFC 7348): 24 bits, and not 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Vni(u32);

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidNumber {
    #[error("{0} is no VLAN: 1 to 4094 are")]
    Vlan(u16),
    #[error("{0} is no number of a network: 1 to 16777215 are")]
    Vni(u32),
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

impl TryFrom<u32> for Vni {
    type Error = InvalidNumber;
    fn try_from(number: u32) -> Result<Self, InvalidNumber> {
        match number {
            1..=0x00ff_ffff => Ok(Self(number)),
            _ => Err(InvalidNumber::Vni(number)),
        }
    }
}

/// One network's segment at the router.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Segment {
    /// A VLAN on the router's trunk.
    Vlan(VlanId),
    /// A tunnel to each hypervisor.
    Vxlan(Vni),
    /// A network card of its own, which has the device's name of [`crate::Names`] before the router's networks start.
    Port(Vni),
}

impl Segment {
    /// What the names begin with, and which block of routing tables is its kind's.
    pub(crate) fn kind(self) -> (char, u32) {
        match self {
            Self::Vlan(_) => ('v', 0),
            Self::Vxlan(_) => ('x', 1),
            Self::Port(_) => ('p', 2),
        }
    }

    pub(crate) fn number(self) -> u32 {
        match self {
            Self::Vlan(vlan) => vlan.get().into(),
            Self::Vxlan(vni) | Self::Port(vni) => vni.get(),
        }
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
        }
        for wrong in [0, 1 << 24, u32::MAX] {
            assert_eq!(Vni::try_from(wrong), Err(InvalidNumber::Vni(wrong)));
        }
        assert!(VlanId::try_from(4094).is_ok() && Vni::try_from((1 << 24) - 1).is_ok());
    }
}
