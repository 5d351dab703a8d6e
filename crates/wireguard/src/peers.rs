//! Who may reach a network: sets of peers, the difference between two of them, and what a request
//! for changes makes of a set. Pure: nothing here touches a device.
//!
//! A prefix belongs to one peer. WireGuard itself would move it silently to whoever asked last;
//! here the second one is refused and the first keeps it.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::SocketAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::key::{PresharedKey, PublicKey};

/// One device that may reach a network, as its endpoint sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Peer {
    /// The device's public key.
    pub public_key: PublicKey,
    /// The addresses it may send from and is sent what is for.
    pub allowed_ips: BTreeSet<IpNet>,
    /// A secret shared with the device, besides the keys.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preshared_key: Option<PresharedKey>,
    /// Where the device is, if it does not come by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<SocketAddr>,
    /// Seconds between keepalives to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keepalive: Option<u16>,
}

impl Peer {
    /// A device that comes by itself, with these addresses.
    pub fn new(public_key: PublicKey, allowed_ips: impl IntoIterator<Item = IpNet>) -> Self {
        Self {
            public_key,
            allowed_ips: allowed_ips.into_iter().map(|net| net.trunc()).collect(),
            preshared_key: None,
            endpoint: None,
            keepalive: None,
        }
    }
}

/// The peers of a network, by public key.
pub type PeerSet = BTreeMap<PublicKey, Peer>;

/// What makes one set of peers out of another. Removals come first.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Changes {
    /// Peers that are new.
    #[serde(default)]
    pub add: Vec<Peer>,
    /// Peers that go.
    #[serde(default)]
    pub remove: Vec<PublicKey>,
    /// Peers that stay, with their sessions, and differ.
    #[serde(default)]
    pub change: Vec<Peer>,
}

impl Changes {
    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.add.is_empty() && self.remove.is_empty() && self.change.is_empty()
    }
}

/// Why a peer was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The prefix is another peer's.
    #[error("{prefix} belongs to the peer {owner}")]
    Taken {
        /// The prefix that both want.
        prefix: IpNet,
        /// Who has it.
        owner: PublicKey,
    },
    /// The same key stands twice in one request.
    #[error("the peer stands twice in the request")]
    Repeated,
    /// The key is the endpoint's own.
    #[error("the key is the endpoint's own")]
    OwnKey,
}

/// What a request made of a set of peers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settled {
    /// The set afterwards. No prefix is in it twice.
    pub peers: PeerSet,
    /// The peers that were not taken; what they had before, they keep unless it was given away.
    pub refused: Vec<(PublicKey, Refusal)>,
}

/// The changes that make `wanted` out of `current`.
pub fn plan(current: &PeerSet, wanted: &PeerSet) -> Changes {
    let mut changes = Changes::default();
    for key in current.keys() {
        if !wanted.contains_key(key) {
            changes.remove.push(*key);
        }
    }
    for (key, peer) in wanted {
        match current.get(key) {
            None => changes.add.push(peer.clone()),
            Some(there) if there != peer => changes.change.push(peer.clone()),
            Some(_) => {}
        }
    }
    changes
}

/// The set that `current` becomes when `changes` are asked for at an endpoint with the key `own`.
///
/// Adding a peer that is there changes it, changing one that is not there adds it, and removing
/// one that is not there does nothing: a request that was made on an older view still converges.
pub fn settle(current: &PeerSet, changes: &Changes, own: &PublicKey) -> Settled {
    let mut peers = current.clone();
    for key in &changes.remove {
        peers.remove(key);
    }
    // Whoever is changed lets go of its prefixes first, so that two peers can swap theirs.
    let mut before = PeerSet::new();
    for peer in changes.change.iter().chain(&changes.add) {
        before.extend(peers.remove_entry(&peer.public_key));
    }
    let mut owners: HashMap<IpNet, PublicKey> = HashMap::new();
    for peer in peers.values() {
        owners.extend(peer.allowed_ips.iter().map(|net| (*net, peer.public_key)));
    }
    let mut refused = Vec::new();
    for peer in changes.change.iter().chain(&changes.add) {
        match refusal(peer, &peers, &owners, own) {
            Some(reason) => refused.push((peer.public_key, reason)),
            None => {
                owners.extend(peer.allowed_ips.iter().map(|net| (*net, peer.public_key)));
                peers.insert(peer.public_key, peer.clone());
            }
        }
    }
    for (key, mut peer) in before {
        if let Entry::Vacant(place) = peers.entry(key) {
            peer.allowed_ips.retain(|net| !owners.contains_key(net));
            place.insert(peer);
        }
    }
    Settled { peers, refused }
}

fn refusal(
    peer: &Peer,
    peers: &PeerSet,
    owners: &HashMap<IpNet, PublicKey>,
    own: &PublicKey,
) -> Option<Refusal> {
    if peer.public_key == *own {
        return Some(Refusal::OwnKey);
    }
    if peers.contains_key(&peer.public_key) {
        return Some(Refusal::Repeated);
    }
    peer.allowed_ips.iter().find_map(|prefix| {
        owners.get(prefix).map(|owner| Refusal::Taken {
            prefix: *prefix,
            owner: *owner,
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::PrivateKey;
    use proptest::prelude::*;
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    fn key(seed: u8) -> PublicKey {
        PrivateKey::generate(&mut StdRng::seed_from_u64(seed.into())).public_key()
    }

    fn net(host: u8) -> IpNet {
        format!("10.9.0.{host}/32").parse().unwrap()
    }

    fn set(peers: impl IntoIterator<Item = Peer>) -> PeerSet {
        peers.into_iter().map(|p| (p.public_key, p)).collect()
    }

    const OWN: u8 = 255;

    #[test]
    fn a_second_owner_of_a_prefix_is_refused_and_the_others_are_taken() {
        let current = set([Peer::new(key(1), [net(1)])]);
        let changes = Changes {
            add: vec![
                Peer::new(key(2), [net(1), net(2)]),
                Peer::new(key(3), [net(3)]),
                Peer::new(key(3), [net(4)]),
                Peer::new(key(OWN), [net(5)]),
            ],
            ..Changes::default()
        };
        let settled = settle(&current, &changes, &key(OWN));
        let expected = set([Peer::new(key(1), [net(1)]), Peer::new(key(3), [net(3)])]);
        assert_eq!(settled.peers, expected);
        let taken = Refusal::Taken {
            prefix: net(1),
            owner: key(1),
        };
        assert_eq!(
            settled.refused,
            [
                (key(2), taken),
                (key(3), Refusal::Repeated),
                (key(OWN), Refusal::OwnKey)
            ]
        );
    }

    #[test]
    fn two_peers_can_swap_their_addresses() {
        let current = set([Peer::new(key(1), [net(1)]), Peer::new(key(2), [net(2)])]);
        let wanted = set([Peer::new(key(1), [net(2)]), Peer::new(key(2), [net(1)])]);
        let settled = settle(&current, &plan(&current, &wanted), &key(OWN));
        assert_eq!(settled.peers, wanted);
        assert_eq!(settled.refused, []);
    }

    #[test]
    fn a_refused_change_leaves_the_peer_as_it_was() {
        let current = set([Peer::new(key(1), [net(1)]), Peer::new(key(2), [net(2)])]);
        let changes = Changes {
            change: vec![Peer::new(key(1), [net(2)])],
            ..Changes::default()
        };
        let settled = settle(&current, &changes, &key(OWN));
        assert_eq!(settled.peers, current);
        assert_eq!(settled.refused.len(), 1);
    }

    /// Sets in which each peer has prefixes of its own, or a shared few, by `disjoint`.
    fn any_set(disjoint: bool) -> impl Strategy<Value = PeerSet> {
        let nets = proptest::collection::vec(0..4u8, 0..3);
        let peer = (0..12u8, nets, proptest::option::of(1..60u16));
        proptest::collection::vec(peer, 0..12).prop_map(move |peers| {
            let peers = peers.into_iter().map(|(seed, hosts, keepalive)| {
                let base = if disjoint { seed * 4 } else { 0 };
                let nets = hosts.into_iter().map(|host| net(base + host));
                let mut peer = Peer::new(key(seed), nets);
                peer.keepalive = keepalive;
                peer
            });
            set(peers)
        })
    }

    fn prefixes(peers: &PeerSet) -> Vec<IpNet> {
        let nets = peers.values().flat_map(|p| p.allowed_ips.iter().copied());
        nets.collect()
    }

    proptest! {
        #[test]
        fn planning_against_what_is_there_is_empty(peers in any_set(false)) {
            prop_assert!(plan(&peers, &peers).is_empty());
        }

        #[test]
        fn applying_a_plan_converges(current in any_set(true), wanted in any_set(true)) {
            let changes = plan(&current, &wanted);
            let settled = settle(&current, &changes, &key(OWN));
            prop_assert_eq!(&settled.peers, &wanted);
            prop_assert!(settled.refused.is_empty());
            // A repeated request finds everything done.
            let again = settle(&settled.peers, &changes, &key(OWN));
            prop_assert_eq!(&again.peers, &wanted);
        }

        #[test]
        fn no_request_gives_a_prefix_to_two_peers(wanted in any_set(false), next in any_set(false)) {
            let first = settle(&PeerSet::new(), &plan(&PeerSet::new(), &wanted), &key(OWN));
            let second = settle(&first.peers, &plan(&first.peers, &next), &key(OWN));
            for settled in [&first, &second] {
                let all = prefixes(&settled.peers);
                let distinct: BTreeSet<IpNet> = all.iter().copied().collect();
                prop_assert_eq!(distinct.len(), all.len());
            }
        }

        #[test]
        fn peers_survive_their_own_json(peers in any_set(false)) {
            let text = serde_json::to_string(&plan(&PeerSet::new(), &peers)).unwrap();
            let again: Changes = serde_json::from_str(&text).unwrap();
            prop_assert_eq!(set(again.add), peers);
        }
    }
}
