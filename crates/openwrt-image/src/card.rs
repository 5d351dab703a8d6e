//! The router's network cards, known by their MACs: the numbers that a kernel gives them change.

use std::fmt;

use rhyzome_model::mac::MacAddr;
use rhyzome_model::segment::Segmentation;
use sha2::{Digest as _, Sha256};

/// What a network card is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Leads to the core, and outside.
    Uplink,
    /// Carries the networks' VLANs, tagged.
    Trunk,
}

/// A network card.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Card {
    pub role: Role,
    /// What it is called on the router.
    pub device: String,
    /// By which it gets that name before the networks start; none where it is left alone.
    pub mac: Option<MacAddr>,
}

impl Card {
    /// One that is called as its role.
    pub fn named(role: Role, mac: MacAddr) -> Self {
        Self {
            role,
            device: role.as_str().to_owned(),
            mac: Some(mac),
        }
    }
}

impl Role {
    /// The cards that a router has from the beginning.
    pub fn of(segmentation: Segmentation) -> &'static [Self] {
        match segmentation {
            Segmentation::Vlan => &[Self::Uplink, Self::Trunk],
            Segmentation::Vxlan | Segmentation::Port => &[Self::Uplink],
        }
    }

    /// The device's name, and its section's.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Uplink => "uplink",
            Self::Trunk => "trunk",
        }
    }

    /// The MAC that a virtual machine's card of this role gets. It follows from the site (anything that tells sites
    /// apart) and the router's name, so that whoever makes the machine finds it again.
    pub fn mac(self, site: &str, router: &str) -> MacAddr {
        let text = format!("rhyzome-openwrt/{site}/{router}/{self}");
        let hash = Sha256::digest(text);
        MacAddr::local([hash[0], hash[1], hash[2], hash[3], hash[4]])
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cards_of_two_roles_routers_and_sites_differ() {
        let all = [
            Role::Uplink.mac("site", "gw"),
            Role::Trunk.mac("site", "gw"),
            Role::Uplink.mac("site", "gw2"),
            Role::Uplink.mac("other", "gw"),
        ];
        for (at, mac) in all.iter().enumerate() {
            assert!(!all[at + 1..].contains(mac), "{all:?}");
        }
        assert_eq!(Role::Uplink.mac("site", "gw"), all[0]);
    }
}
