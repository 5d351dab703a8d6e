//! Names of devices, zones, tables and sections: all follow from a network's segment.
//!
//! ```text
//!   rz_v100          device, interface, zone and section of VLAN 100
//!   rz_v100_wg       its WireGuard interface and that one's zone
//!   rz_v100_…        all other sections
//!   rz_x5, rz_p5     of VXLAN 5, of a port of its own
//! ```
//!
//! No two segments of a router are the same, so no two networks' names are; and they stay as long as the segment does.
//! A person finds the number again on the hypervisors and the switches.

use rhyzome_uci::Name;
use uuid::Uuid;

use rhyzome_model::segment::Segment;

/// What all names of ours begin with.
pub(crate) const PREFIX: &str = "rz_";

/// The first routing table of a kind of segments is the next multiple of this.
const TABLES: u32 = 100_000_000;

/// The names of one network on a router.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Names(Segment);

impl Names {
    pub fn new(segment: Segment) -> Self {
        Self(segment)
    }

    /// What the names begin with, and which block of routing tables is its kind's.
    fn kind(self) -> (char, u32) {
        match self.0 {
            Segment::Vlan(_) => ('v', 0),
            Segment::Vxlan(_) => ('x', 1),
            Segment::Port(_) => ('p', 2),
        }
    }

    /// The device, the interface on it, its zone: at most 12 bytes (`IFNAMSIZ` less the zero leaves 15).
    pub fn network(self) -> String {
        format!("{PREFIX}{}{}", self.kind().0, self.0.number())
    }

    /// The WireGuard interface, which is also its device, and its zone: at most 15 bytes.
    pub fn tunnel(self) -> String {
        format!("{}_wg", self.network())
    }

    /// The VXLAN interface, which is also its device: at most 15 bytes.
    pub fn vxlan(self) -> String {
        format!("{}_vx", self.network())
    }

    /// The routing table with the routes to the network's peers.
    pub fn table(self) -> u32 {
        (self.kind().1 + 1) * TABLES + self.0.number()
    }

    /// The section of a part of the network; of the network itself, where the part has no name.
    pub fn section(self, part: &str) -> Name {
        let underscore = if part.is_empty() { "" } else { "_" };
        let name = format!("{}{underscore}{part}", self.network());
        name.parse()
            .expect("parts are named by letters, digits and underscores")
    }

    /// The section of a member of the network, such as a peer.
    pub fn member(self, part: &str, id: Uuid) -> Name {
        self.section(&format!("{part}_{}", id.simple()))
    }
}

/// Which network a section of ours is of: what its name begins with.
pub(crate) fn network_of(section: &Name) -> Option<&str> {
    let rest = section.as_str().strip_prefix(PREFIX)?;
    let length = rest.find('_').unwrap_or(rest.len());
    Some(&section.as_str()[..PREFIX.len() + length])
}

/// Which part of its network a section of ours is, as in `peer_…`; empty of the network itself.
pub(crate) fn part_of(section: &Name) -> Option<&str> {
    let network = network_of(section)?;
    Some(section.as_str()[network.len()..].trim_start_matches('_'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn segment() -> impl Strategy<Value = Segment> {
        prop_oneof![
            (1..4095_u16).prop_map(|n| Segment::Vlan(n.try_into().unwrap())),
            (1..1_u32 << 24).prop_map(|n| Segment::Vxlan(n.try_into().unwrap())),
            (1..1_u32 << 24).prop_map(|n| Segment::Port(n.try_into().unwrap())),
        ]
    }

    fn of_links(segment: Segment) -> [String; 3] {
        let names = Names::new(segment);
        [names.network(), names.tunnel(), names.vxlan()]
    }

    proptest! {
        #[test]
        fn names_of_any_two_networks_differ_and_fit(one in segment(), other in segment()) {
            let all: BTreeSet<String> = of_links(one).into_iter().chain(of_links(other)).collect();
            prop_assert_eq!(all.len(), if one == other { 3 } else { 6 });
            prop_assert!(all.iter().all(|name| name.len() <= 15));
            let tables = Names::new(one).table() == Names::new(other).table();
            prop_assert_eq!(tables, one == other);
            let (one, other) = (Names::new(one), Names::new(other));
            let part = one.section("part");
            prop_assert_eq!(network_of(&part), Some(&*one.network()));
            prop_assert_eq!(part == other.section("part"), one == other);
        }
    }

    #[test]
    fn a_name_says_which_segment_it_is() {
        let names = Names::new(Segment::Vlan(100.try_into().unwrap()));
        assert_eq!(
            (names.network(), names.tunnel(), names.table()),
            ("rz_v100".into(), "rz_v100_wg".into(), 100_000_100)
        );
        let peer = names.member("peer", Uuid::nil());
        assert_eq!(
            peer.as_str(),
            "rz_v100_peer_00000000000000000000000000000000"
        );
    }
}
