//! The rules of the tunnels: which packets reach a VXLAN device, and which frames leave it and enter it.
//!
//! ```text
//!   inet rhyzome_tunnel    input ──(port, number)──► seg_<network> ──(other end, MAC)──► accept
//!                            └──► count                 └──► drop
//!   bridge rhyzome_tunnel  what comes out of a tunnel and goes into one
//! ```
//!
//! A rule of `seg_<network>` is also the record of what is kept: its comment says for whom, as
//! `<mark> <placement> <network> <host> <generation>`, ids in 32 digits.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};

use rhyzome_model::network::{router_mac, tunnel_name};
use rhyzome_model::{ComponentId, NetworkId, PlacementId};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::Mark;
use crate::link::{EVERYBODY, Forwarding};
use crate::nft::{
    Listing, Ruleset, accept, concat, counted, discard, is, is_one_of, jump, meta, payload,
};

pub(super) const TABLE: &str = "rhyzome_tunnel";
pub(super) const INPUT: &str = "input";
/// Counts what comes from elsewhere than an end of its segment, or from a MAC that is not behind that.
const FORGED: &str = "forged";
/// Counts what has the number of no segment here. It may be for a device of somebody else's at the same port; where
/// there is none, Linux drops it, and counts it nowhere.
const UNKNOWN: &str = "unknown";

/// The address of the metadata service, which is each host's own.
const METADATA: Ipv4Addr = Ipv4Addr::new(169, 254, 169, 254);

// ICMPv6 types (RFC 4861), UDP ports (RFC 2131, RFC 8415).
const ROUTER_ADVERTISEMENT: u8 = 134;
const REDIRECT: u8 = 137;
const DHCP_SERVER: u16 = 67;
const DHCPV6_SERVER: u16 = 547;

// Bits behind the UDP header's begin (RFC 7348, section 5): the network's number, and the source of the
// Ethernet frame inside.
const NUMBER: (u32, u32) = (96, 24);
const SOURCE: (u32, u32) = (176, 48);

/// Another end of a segment, kept for a placement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    pub mark: Mark,
    pub placement: PlacementId,
    pub generation: u64,
    pub network: NetworkId,
    pub host: ComponentId,
    pub address: IpAddr,
    pub macs: BTreeSet<[u8; 6]>,
}

impl Kept {
    fn comment(&self) -> String {
        let (placement, network) = (self.placement.0.simple(), self.network.0.simple());
        let (host, generation) = (self.host.0.simple(), self.generation);
        format!("{} {placement} {network} {host} {generation}", self.mark)
    }

    /// Whether both are about the same.
    pub fn is_for(&self, mark: Mark, host: ComponentId) -> bool {
        self.mark == mark && self.host == host
    }

    fn expressions(&self) -> Value {
        let protocol = if self.address.is_ipv4() { "ip" } else { "ip6" };
        // nft takes no empty set; nobody has this MAC.
        let nobody = self.macs.is_empty().then_some(EVERYBODY);
        let macs: Vec<u64> = self
            .macs
            .iter()
            .copied()
            .chain(nobody)
            .map(number)
            .collect();
        let from = is(payload(protocol, "saddr"), self.address.to_string());
        let source = is(raw(SOURCE), json!({ "set": macs }));
        json!([from, source, accept()])
    }

    fn parse(rule: &Value) -> Option<Self> {
        let mut words = rule["comment"].as_str()?.split(' ');
        let mark = words.next()?.parse().ok()?;
        let mut id = || Uuid::try_parse(words.next()?).ok();
        let (placement, network, host) = (id()?, id()?, id()?);
        let expressions = &rule["expr"];
        let sources = &expressions[1]["match"]["right"];
        let sources = sources["set"]
            .as_array()
            .cloned()
            .unwrap_or_else(|| vec![sources.clone()]);
        let macs = sources.iter().map(|value| value.as_u64().map(octets));
        let macs: Option<BTreeSet<[u8; 6]>> = macs.collect();
        Some(Self {
            mark,
            placement: PlacementId(placement),
            generation: words.next()?.parse().ok()?,
            network: NetworkId(network),
            host: ComponentId(host),
            address: expressions[0]["match"]["right"].as_str()?.parse().ok()?,
            macs: macs?.into_iter().filter(|mac| *mac != EVERYBODY).collect(),
        })
    }
}

fn number(mac: [u8; 6]) -> u64 {
    mac.iter()
        .fold(0, |sum, octet| (sum << 8) | u64::from(*octet))
}

fn octets(number: u64) -> [u8; 6] {
    let [_, _, a, b, c, d, e, f] = number.to_be_bytes();
    [a, b, c, d, e, f]
}

fn raw((offset, len): (u32, u32)) -> Value {
    json!({ "payload": { "base": "th", "offset": offset, "len": len } })
}

/// The chain of a network's segment.
pub(super) fn chain(network: NetworkId) -> String {
    format!("seg_{}", rhyzome_model::id::short(network.0))
}

/// All that a listing says is kept.
pub(super) fn kept(listing: &Listing) -> Vec<Kept> {
    listing.objects("rule").filter_map(Kept::parse).collect()
}

/// Where frames of a segment go, for all for whom anything is kept there.
pub(super) fn forwarding(kept: &[Kept]) -> Forwarding {
    let mut forwarding = Forwarding::default();
    for kept in kept {
        forwarding.ends.insert((EVERYBODY, kept.address));
        for mac in &kept.macs {
            forwarding.ends.insert((*mac, kept.address));
            forwarding.behind.insert(*mac);
        }
    }
    forwarding
}

/// Which segment a packet belongs to: from its port and its number to a chain.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Numbers {
    chains: BTreeMap<(u16, u32), String>,
    /// Whether what belongs to none is counted.
    counts: bool,
}

impl Numbers {
    pub fn parse(listing: &Listing) -> Self {
        let (mut chains, mut counts) = (BTreeMap::new(), false);
        let rules = listing
            .objects("rule")
            .filter(|rule| rule["chain"] == INPUT);
        for rule in rules {
            counts |= rule["expr"][1] == counted(UNKNOWN);
            let port = rule["expr"][0]["match"]["right"].as_u64();
            let Some(port) = port.and_then(|port| u16::try_from(port).ok()) else {
                continue;
            };
            let elements = rule["expr"][1]["vmap"]["data"]["set"].as_array();
            for element in elements.into_iter().flatten() {
                let vni = element[0].as_u64().and_then(|vni| u32::try_from(vni).ok());
                let target = element[1]["jump"]["target"].as_str();
                if let (Some(vni), Some(target)) = (vni, target) {
                    chains.insert((port, vni), target.to_owned());
                }
            }
        }
        Self { chains, counts }
    }

    /// The same with another number for a chain, or none.
    pub fn with(&self, chain: &str, number: Option<(u16, u32)>) -> Self {
        let mut chains = self.chains.clone();
        chains.retain(|_, target| target != chain);
        if let Some(number) = number {
            chains.insert(number, chain.to_owned());
        }
        let counts = true;
        Self { chains, counts }
    }

    pub fn is_empty(&self) -> bool {
        self.chains.is_empty()
    }

    fn rules(&self) -> Vec<Value> {
        let mut ports: BTreeMap<u16, Vec<Value>> = BTreeMap::new();
        for ((port, vni), chain) in &self.chains {
            ports
                .entry(*port)
                .or_default()
                .push(json!([vni, jump(chain)]));
        }
        let rule = |(port, elements): (u16, Vec<Value>)| {
            let to_port = is(payload("udp", "dport"), port);
            let by_number = json!({ "vmap": { "key": raw(NUMBER), "data": { "set": elements } } });
            [
                json!([to_port, by_number]),
                json!([to_port, counted(UNKNOWN)]),
            ]
        };
        let all = ports.into_iter().flat_map(rule);
        all.map(|rule| add("rule", json!({ "chain": INPUT, "expr": rule })))
            .collect()
    }

    /// The commands that put these in the place of others.
    pub fn commands(&self) -> Vec<Value> {
        let mut commands = vec![
            add("counter", json!({ "name": UNKNOWN })),
            json!({ "flush": { "chain": object(json!({ "name": INPUT })) } }),
        ];
        commands.extend(self.rules());
        commands
    }
}

fn object(fields: Value) -> Value {
    Ruleset::new("inet", TABLE).object(fields)
}

fn add(kind: &str, fields: Value) -> Value {
    json!({ "add": { kind: object(fields) } })
}

/// The commands that make the table and the chain of a segment where they are not.
fn frame(chain: &str) -> Vec<Value> {
    let hook = json!({ "name": INPUT, "type": "filter", "hook": "input", "prio": -300, "policy": "accept" });
    vec![
        json!({ "add": { "table": { "family": "inet", "name": TABLE } } }),
        add("chain", hook),
        add("chain", json!({ "name": chain })),
        add("counter", json!({ "name": FORGED })),
    ]
}

/// The handles of the rules of a chain that are about one end, as far as this mark keeps it.
fn handles(listing: Option<&Listing>, mark: Mark, host: ComponentId) -> Vec<Value> {
    let rules = listing
        .into_iter()
        .flat_map(|listing| listing.objects("rule"));
    rules
        .filter(|rule| Kept::parse(rule).is_some_and(|kept| kept.is_for(mark, host)))
        .map(|rule| rule["handle"].clone())
        .collect()
}

fn deletions(chain: &str, handles: Vec<Value>) -> impl Iterator<Item = Value> {
    handles.into_iter().map(move |handle| {
        json!({ "delete": { "rule": object(json!({ "chain": chain, "handle": handle })) } })
    })
}

/// The last rule of a segment's chain.
fn shut() -> Value {
    json!([counted(FORGED), discard()])
}

/// The commands that keep an end, in the place of what was kept of it.
pub(super) fn put(chain: &str, have: Option<&Listing>, want: &Kept) -> Vec<Value> {
    let mut commands = frame(chain);
    let closed =
        have.is_some_and(|listing| listing.objects("rule").any(|rule| rule["expr"] == shut()));
    if !closed {
        commands.push(add("rule", json!({ "chain": chain, "expr": shut() })));
    }
    commands.extend(deletions(chain, handles(have, want.mark, want.host)));
    let rule = json!({ "chain": chain, "comment": want.comment(), "expr": want.expressions() });
    // In front, where the last rule drops.
    commands.push(json!({ "insert": { "rule": object(rule) } }));
    commands
}

/// The commands that forget an end.
pub(super) fn forget(
    chain: &str,
    have: Option<&Listing>,
    (mark, host): (Mark, ComponentId),
) -> Vec<Value> {
    deletions(chain, handles(have, mark, host)).collect()
}

/// The commands that remove the chain of a segment that nothing leads to.
pub(super) fn remove_chain(chain: &str) -> Vec<Value> {
    let chain = object(json!({ "name": chain }));
    vec![
        json!({ "flush": { "chain": chain } }),
        json!({ "delete": { "chain": chain } }),
    ]
}

/// What may come out of tunnels and go into them. Routers' words only from the segment's router; the
/// metadata service is each host's own. That a frame's source is behind the end that it comes from was
/// looked at before.
pub(super) fn frames() -> Ruleset {
    let hook =
        |hook: &str| json!({ "type": "filter", "hook": hook, "prio": 0, "policy": "accept" });
    let drop_if = |what: Value, why: &str| [what, counted(why), discard()];
    let mut ruleset = Ruleset::new("bridge", TABLE)
        .set("routers", &["ifname", "ether_addr"])
        .chain("metadata")
        .chain("from_tunnel")
        .rule("from_tunnel", [jump("metadata")])
        .rule(
            "from_tunnel",
            [
                is(
                    concat([meta("iifname"), payload("ether", "saddr")]),
                    "@routers",
                ),
                accept(),
            ],
        )
        .rule(
            "from_tunnel",
            drop_if(is(payload("udp", "sport"), DHCP_SERVER), "dhcp_server"),
        )
        .rule(
            "from_tunnel",
            drop_if(is(payload("udp", "sport"), DHCPV6_SERVER), "dhcp_server"),
        )
        .rule(
            "from_tunnel",
            drop_if(
                is_one_of(payload("icmpv6", "type"), [ROUTER_ADVERTISEMENT, REDIRECT]),
                "router",
            ),
        )
        .base_chain("prerouting", hook("prerouting"))
        .rule(
            "prerouting",
            [is(meta("iifname"), "rzv*"), jump("from_tunnel")],
        )
        .base_chain("postrouting", hook("postrouting"))
        .rule(
            "postrouting",
            [is(meta("oifname"), "rzv*"), jump("metadata")],
        );
    for (protocol, field) in [
        ("arp", "saddr ip"),
        ("arp", "daddr ip"),
        ("ip", "saddr"),
        ("ip", "daddr"),
    ] {
        let what = is(payload(protocol, field), METADATA.to_string());
        ruleset = ruleset.rule("metadata", drop_if(what, "metadata"));
    }
    ruleset
}

/// The element of `routers` for a network's segment.
pub(super) fn router(network: NetworkId) -> Value {
    json!({ "concat": [tunnel_name(network), router_mac(network).to_string()] })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example(macs: &[[u8; 6]]) -> Kept {
        Kept {
            mark: "89abcdef".parse().expect("a mark"),
            placement: PlacementId(Uuid::max()),
            generation: i32::MAX as u64,
            network: NetworkId(Uuid::max()),
            host: ComponentId(Uuid::nil()),
            address: "192.0.2.7".parse().expect("an address"),
            macs: macs.iter().copied().collect(),
        }
    }

    #[test]
    fn a_rule_says_what_is_kept() {
        for macs in [
            &[][..],
            &[[2, 0, 0, 0, 0, 1]],
            &[[2, 0, 0, 0, 0, 1], [0x52, 0x54, 0, 1, 2, 3]],
        ] {
            let kept = example(macs);
            let rule = json!({ "comment": kept.comment(), "expr": kept.expressions() });
            assert_eq!(Kept::parse(&rule), Some(kept));
        }
    }

    #[test]
    fn a_comment_fits_what_nftables_keeps() {
        // NFTNL_UDATA_COMMENT_MAXLEN, with a terminating zero.
        assert!(example(&[]).comment().len() < 128);
    }
}
