//! The port rules as a ruleset, and the plan from the elements that are there to those that should be.
//!
//! What is dropped is counted by why: `mac`, `ipv4` and `ipv6` for a sender that the instance is not, `arp` and `neighbour`
//! for an address that it says is its own, `dhcp_server` and `router` for what it is not, `other` for frames of other kinds,
//! `to_host` and `from_host` for what is between it and the host, `elsewhere` for what is for somebody else.

use serde_json::{Value, json};

use super::{Port, link_local};
use crate::nft::{
    Listing, Ruleset, accept, concat, counted, discard, is, is_not, is_one_of, jump, meta, payload,
};

/// Kinds and names of what has an element for each tap.
pub(super) const SETS: [(&str, &str); 5] = [
    ("set", "taps"),
    ("set", "macs"),
    ("set", "four"),
    ("set", "six"),
    ("map", "guards"),
];

// ICMPv6 types (RFC 4861, RFC 3810).
const ROUTER_ADVERTISEMENT: u8 = 134;
const NEIGHBOUR_SOLICITATION: u8 = 135;
const NEIGHBOUR_ADVERTISEMENT: u8 = 136;
const REDIRECT: u8 = 137;
const LISTENER_REPORT: u8 = 143;

// UDP ports (RFC 2131, RFC 8415).
const DHCP_SERVER: u16 = 67;
const DHCP_CLIENT: u16 = 68;
const DHCPV6_SERVER: u16 = 547;

/// The chain of a tap that holds the addresses that it may announce as its own. nft cannot put the
/// target of a neighbour advertisement into a set together with others, so that these are rules.
pub(super) fn guard_chain(tap: &str) -> String {
    format!("guard_{tap}")
}

/// The table without any port.
pub(super) fn build(table: &str) -> Ruleset {
    let hook =
        |hook: &str| json!({ "type": "filter", "hook": hook, "prio": 0, "policy": "accept" });
    let from_tap = || is(meta("iifname"), "@taps");
    let to_tap = || is(meta("oifname"), "@taps");
    let mac_from = || concat([meta("iifname"), payload("ether", "saddr")]);
    let sets = Ruleset::new("bridge", table)
        .set("taps", &["ifname"])
        .set("macs", &["ifname", "ether_addr"])
        .set("four", &["ifname", "ether_addr", "ipv4_addr"])
        .set("six", &["ifname", "ether_addr", "ipv6_addr"])
        .verdict_map("guards", "ifname");
    let by_type = json!({ "vmap": { "key": payload("ether", "type"), "data": { "set": [
        ["arp", jump("from_arp")], ["ip", jump("from_ipv4")], ["ip6", jump("from_ipv6")],
    ] } } });
    let chains = from_ipv6(from_ipv4(from_arp(sets)));
    chains
        .chain("from_tap")
        .rule(
            "from_tap",
            [is_not(mac_from(), "@macs"), counted("mac"), discard()],
        )
        .rule("from_tap", [by_type])
        .rule("from_tap", [counted("other"), discard()])
        .chain("to_tap")
        .rule(
            "to_tap",
            [
                is(
                    concat([meta("oifname"), payload("ether", "daddr")]),
                    "@macs",
                ),
                accept(),
            ],
        )
        .rule(
            "to_tap",
            [
                is_one_of(meta("pkttype"), ["broadcast", "multicast"]),
                accept(),
            ],
        )
        .rule("to_tap", [counted("elsewhere"), discard()])
        .base_chain("prerouting", hook("prerouting"))
        .rule("prerouting", [from_tap(), jump("from_tap")])
        .base_chain("input", hook("input"))
        .rule("input", [from_tap(), counted("to_host"), discard()])
        .base_chain("forward", hook("forward"))
        .rule("forward", [to_tap(), jump("to_tap")])
        .base_chain("output", hook("output"))
        .rule("output", [to_tap(), counted("from_host"), discard()])
}

fn from_arp(ruleset: Ruleset) -> Ruleset {
    let sender = || [meta("iifname"), payload("arp", "saddr ether")];
    let sender_and_address = concat(sender().into_iter().chain([payload("arp", "saddr ip")]));
    ruleset
        .chain("from_arp")
        .rule("from_arp", [is(sender_and_address, "@four"), accept()])
        // Looking whether an address is free, before having it (RFC 5227).
        .rule(
            "from_arp",
            [
                is(payload("arp", "operation"), "request"),
                is(concat(sender()), "@macs"),
                is(payload("arp", "saddr ip"), "0.0.0.0"),
                accept(),
            ],
        )
        .rule("from_arp", [counted("arp"), discard()])
}

fn from_ipv4(ruleset: Ruleset) -> Ruleset {
    let tuple = concat([
        meta("iifname"),
        payload("ether", "saddr"),
        payload("ip", "saddr"),
    ]);
    ruleset
        .chain("from_ipv4")
        .rule(
            "from_ipv4",
            [
                is(payload("udp", "sport"), DHCP_SERVER),
                counted("dhcp_server"),
                discard(),
            ],
        )
        .rule("from_ipv4", [is(tuple, "@four"), accept()])
        .rule(
            "from_ipv4",
            [
                is(payload("ip", "saddr"), "0.0.0.0"),
                is(payload("ip", "daddr"), "255.255.255.255"),
                is(payload("udp", "sport"), DHCP_CLIENT),
                is(payload("udp", "dport"), DHCP_SERVER),
                accept(),
            ],
        )
        .rule("from_ipv4", [counted("ipv4"), discard()])
}

fn from_ipv6(ruleset: Ruleset) -> Ruleset {
    let icmp = || payload("icmpv6", "type");
    let tuple = concat([
        meta("iifname"),
        payload("ether", "saddr"),
        payload("ip6", "saddr"),
    ]);
    let guard = json!({ "vmap": { "key": meta("iifname"), "data": "@guards" } });
    ruleset
        .chain("from_ipv6")
        .rule(
            "from_ipv6",
            [
                is_one_of(icmp(), [ROUTER_ADVERTISEMENT, REDIRECT]),
                counted("router"),
                discard(),
            ],
        )
        .rule(
            "from_ipv6",
            [
                is(payload("udp", "sport"), DHCPV6_SERVER),
                counted("dhcp_server"),
                discard(),
            ],
        )
        .rule("from_ipv6", [is(icmp(), NEIGHBOUR_ADVERTISEMENT), guard])
        .rule(
            "from_ipv6",
            [
                is(icmp(), NEIGHBOUR_ADVERTISEMENT),
                counted("neighbour"),
                discard(),
            ],
        )
        .rule("from_ipv6", [is(tuple, "@six"), accept()])
        // Looking whether an address is free, before having it (RFC 4862), and joining its group.
        .rule(
            "from_ipv6",
            [
                is(payload("ip6", "saddr"), "::"),
                is_one_of(icmp(), [NEIGHBOUR_SOLICITATION, LISTENER_REPORT]),
                accept(),
            ],
        )
        .rule("from_ipv6", [counted("ipv6"), discard()])
}

/// The elements of one port: in the order of [`SETS`].
fn elements(port: &Port) -> [Vec<Value>; 5] {
    let (tap, mac) = (&port.tap, port.mac.to_string());
    let own = link_local(port.mac).to_string();
    [
        vec![json!(tap)],
        vec![json!({ "concat": [tap, mac] })],
        vec![json!({ "concat": [tap, mac, port.ipv4.to_string()] })],
        vec![
            json!({ "concat": [tap, mac, port.ipv6.to_string()] }),
            json!({ "concat": [tap, mac, own] }),
        ],
        vec![json!([tap, jump(&guard_chain(tap))])],
    ]
}

/// Whether an element of any of the sets is about a tap.
fn is_about(element: &Value, tap: &str) -> bool {
    *element == tap || element["concat"][0] == tap || element[0] == tap
}

/// Whether anything in the table is about a tap.
pub(super) fn mentions(listing: &Listing, tap: &str) -> bool {
    let chain = guard_chain(tap);
    SETS.iter().any(|(kind, name)| {
        listing
            .elements(kind, name)
            .iter()
            .any(|e| is_about(e, tap))
    }) || listing
        .objects("chain")
        .any(|object| object["name"] == *chain)
}

/// The commands that bring one tap's elements from what is listed to what it should have; none of it
/// where it should have nothing. Empty where all is so already.
pub(super) fn plan(
    ruleset: &Ruleset,
    have: Option<&Listing>,
    tap: &str,
    want: Option<&Port>,
) -> Vec<Value> {
    let mut additions = Vec::new();
    let mut deletions = Vec::new();
    let wanted = want.map(elements).unwrap_or_default();
    for ((kind, name), want) in SETS.iter().zip(&wanted) {
        let have: Vec<Value> = have
            .map(|listing| listing.elements(kind, name))
            .unwrap_or_default();
        let have: Vec<Value> = have
            .into_iter()
            .filter(|element| is_about(element, tap))
            .collect();
        let extra: Vec<Value> = have.iter().filter(|e| !want.contains(e)).cloned().collect();
        let missing: Vec<Value> = want.iter().filter(|e| !have.contains(e)).cloned().collect();
        if !extra.is_empty() {
            deletions.push(ruleset.delete_elements(name, extra));
        }
        if !missing.is_empty() {
            additions.push(ruleset.add_elements(name, missing));
        }
    }
    let guard = guard_chain(tap);
    let chain = ruleset.object(json!({ "name": guard }));
    let there =
        have.is_some_and(|have| have.objects("chain").any(|object| object["name"] == *guard));
    match want {
        Some(port) if !(there && additions.is_empty() && deletions.is_empty()) => {
            let mut commands = vec![
                json!({ "add": { "chain": chain } }),
                json!({ "flush": { "chain": chain } }),
            ];
            commands.extend(guard_rules(ruleset, port));
            commands.extend(deletions);
            commands.extend(additions);
            commands
        }
        Some(_) => Vec::new(),
        None => {
            if there {
                deletions.push(json!({ "flush": { "chain": chain } }));
                deletions.push(json!({ "delete": { "chain": chain } }));
            }
            deletions
        }
    }
}

/// Accepts neighbour advertisements whose target (16 bytes after the first 8 of ICMPv6, RFC 4861
/// section 4.4) is one of the port's addresses, sent from one of them.
fn guard_rules(ruleset: &Ruleset, port: &Port) -> Vec<Value> {
    let target = json!({ "payload": { "base": "th", "offset": 64, "len": 128 } });
    let sender = concat([
        meta("iifname"),
        payload("ether", "saddr"),
        payload("ip6", "saddr"),
    ]);
    [port.ipv6, link_local(port.mac)]
        .iter()
        .map(|address| {
            let target = is(target.clone(), format!("0x{:032x}", u128::from(*address)));
            let expressions = json!([target, is(sender.clone(), "@six"), accept()]);
            let rule =
                ruleset.object(json!({ "chain": guard_chain(&port.tap), "expr": expressions }));
            json!({ "add": { "rule": rule } })
        })
        .collect()
}
