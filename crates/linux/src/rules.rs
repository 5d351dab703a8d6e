//! The firewalls as rulesets: a network's own, in its namespace, and the host's for the ways out. Pure.
//!
//! What is dropped is counted. In a network's: `from_segment` and `from_tunnel` for what an instance and a peer want from
//! elsewhere, `from_outside` for what comes by the way out, `to_router` for what is asked of the router itself, `invalid`. On
//! the host: `to_host`, `to_networks`, `from_outside`, `of_others`.

use std::net::{Ipv4Addr, Ipv6Addr};

use ipnet::{Ipv4Net, Ipv6Net};
use rhyzome_hostnet::Mark;
use rhyzome_hostnet::forwarding::Before;
use rhyzome_hostnet::nft::{
    Ruleset, accept, clamp_segment_size, connection_in, counted, discard, is, is_not,
    is_not_within, is_one_of, is_within, jump, masquerade, meta, payload, reject,
};
use rhyzome_model::network::NetworkPlacement;
use serde_json::{Value, json};

use crate::layout::{SEGMENT_LINK, TUNNEL, UPLINK};

fn hook(kind: &str, hook: &str, priority: i32, policy: &str) -> Value {
    json!({ "type": kind, "hook": hook, "prio": priority, "policy": policy })
}

// Priorities of nftables' named places (linux/netfilter_ipv4.h).
const MANGLE: i32 = -150;
const FILTER: i32 = 0;
const SOURCE_NAT: i32 = 100;

fn comes_from(link: &str) -> Value {
    is(meta("iifname"), link)
}

fn goes_to(link: &str) -> Value {
    is(meta("oifname"), link)
}

/// What a network's router lets through. All else is dropped; what an instance asks of the world
/// outside without having egress is refused, so that it need not wait.
pub(crate) fn router(spec: &NetworkPlacement) -> Ruleset {
    let ruleset = elsewhere(Ruleset::new("inet", "rhyzome"), spec)
        .base_chain("input", hook("filter", "input", FILTER, "drop"));
    forward(from_tunnel(from_segment(ruleset, spec), spec), spec)
        .base_chain("clamp", hook("filter", "forward", MANGLE, "accept"))
        .rule("clamp", clamp_segment_size())
        .base_chain("leave", hook("nat", "postrouting", SOURCE_NAT, "accept"))
        .rule(
            "leave",
            [
                goes_to(UPLINK),
                is_within(payload("ip", "saddr"), spec.ipv4),
                masquerade(),
            ],
        )
}

/// What leads nowhere, looked at before the routes, which would refuse most of it without counting it. For peers it ends
/// here; instances are told that there is no way, so that they need not wait.
fn elsewhere(ruleset: Ruleset, spec: &NetworkPlacement) -> Ruleset {
    let to = |version: &str| payload(version, "daddr");
    let mut segment6 = vec![comes_from(SEGMENT_LINK)];
    let inside6 = [spec.ipv6, spec.peers_ipv6, LINK_LOCAL_IPV6, MULTICAST_IPV6];
    segment6.extend(inside6.map(|prefix| is_not_within(to("ip6"), prefix)));
    segment6.push(counted("from_segment"));
    let mut segment4 = vec![comes_from(SEGMENT_LINK)];
    let inside4 = [spec.ipv4, spec.peers_ipv4, MULTICAST];
    segment4.extend(inside4.map(|prefix| is_not_within(to("ip"), prefix)));
    segment4.push(counted("from_segment"));
    let from_tunnel = |inside: Value| {
        [
            comes_from(TUNNEL),
            inside,
            counted("from_tunnel"),
            discard(),
        ]
    };
    let ruleset = ruleset
        .base_chain("elsewhere", hook("filter", "prerouting", MANGLE, "accept"))
        .rule("elsewhere", from_tunnel(is_not_within(to("ip"), spec.ipv4)))
        .rule(
            "elsewhere",
            from_tunnel(is_not_within(to("ip6"), spec.ipv6)),
        )
        .rule("elsewhere", segment6);
    match spec.egress {
        true => ruleset,
        false => ruleset.rule("elsewhere", segment4),
    }
}

/// To several, with the broadcast address.
const MULTICAST: Ipv4Net = Ipv4Net::new_assert(Ipv4Addr::new(224, 0, 0, 0), 3);
const MULTICAST_IPV6: Ipv6Net = Ipv6Net::new_assert(Ipv6Addr::new(0xff00, 0, 0, 0, 0, 0, 0, 0), 8);
const LINK_LOCAL_IPV6: Ipv6Net =
    Ipv6Net::new_assert(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0), 10);

/// What the router itself answers instances.
fn from_segment(ruleset: Ruleset, spec: &NetworkPlacement) -> Ruleset {
    let udp = |port: u16| is(payload("udp", "dport"), port);
    ruleset
        .rule("input", [comes_from("lo"), accept()])
        .rule(
            "input",
            [connection_in(&["established", "related"]), accept()],
        )
        .rule(
            "input",
            [connection_in(&["invalid"]), counted("invalid"), discard()],
        )
        .rule("input", [comes_from(SEGMENT_LINK), jump("from_segment")])
        .rule("input", [comes_from(TUNNEL), jump("from_tunnel")])
        .rule("input", [counted("to_router"), discard()])
        .chain("from_segment")
        // DHCP (RFC 2131) and DHCPv6 (RFC 8415).
        .rule("from_segment", [udp(67), accept()])
        .rule("from_segment", [udp(547), accept()])
        .rule(
            "from_segment",
            [
                is_one_of(payload("icmpv6", "type"), NEIGHBOUR_DISCOVERY),
                accept(),
            ],
        )
        .rule(
            "from_segment",
            [
                is_not_within(payload("ip", "saddr"), spec.ipv4),
                counted("to_router"),
                discard(),
            ],
        )
        .rule("from_segment", [jump("services")])
        .chain("services")
        .rule(
            "services",
            [
                is_one_of(meta("l4proto"), ["tcp", "udp"]),
                is(payload("th", "dport"), 53),
                accept(),
            ],
        )
        .rule(
            "services",
            [is(payload("icmp", "type"), "echo-request"), accept()],
        )
        .rule(
            "services",
            [is(payload("icmpv6", "type"), "echo-request"), accept()],
        )
        .rule("services", [counted("to_router"), discard()])
}

/// Solicitations and advertisements of routers and neighbours (RFC 4861), and reports of listeners
/// (RFC 2710, RFC 3810).
const NEIGHBOUR_DISCOVERY: [u8; 6] = [131, 132, 133, 135, 136, 143];

/// What the router itself answers peers: at its addresses in the network.
fn from_tunnel(ruleset: Ruleset, spec: &NetworkPlacement) -> Ruleset {
    let router4 = is(payload("ip", "daddr"), spec.router_ipv4().to_string());
    let router6 = is(payload("ip6", "daddr"), spec.router_ipv6().to_string());
    ruleset
        .chain("from_tunnel")
        .rule("from_tunnel", [router4, jump("services")])
        .rule("from_tunnel", [router6, jump("services")])
        .rule("from_tunnel", [counted("to_router"), discard()])
}

fn forward(ruleset: Ruleset, spec: &NetworkPlacement) -> Ruleset {
    let from = |version: &str| payload(version, "saddr");
    let to = |version: &str| payload(version, "daddr");
    let inward = [comes_from(TUNNEL), goes_to(SEGMENT_LINK)];
    let outward = [comes_from(SEGMENT_LINK), goes_to(TUNNEL)];
    let rule = |links: &[Value; 2], from: Value, to: Value| {
        links
            .iter()
            .cloned()
            .chain([from, to, accept()])
            .collect::<Vec<_>>()
    };
    let (peers4, peers6) = (spec.peers_ipv4, spec.peers_ipv6);
    let mut ruleset = ruleset
        .base_chain("forward", hook("filter", "forward", FILTER, "drop"))
        .rule(
            "forward",
            [connection_in(&["established", "related"]), accept()],
        )
        .rule(
            "forward",
            [connection_in(&["invalid"]), counted("invalid"), discard()],
        )
        .rule(
            "forward",
            rule(
                &inward,
                is_within(from("ip"), peers4),
                is_within(to("ip"), spec.ipv4),
            ),
        )
        .rule(
            "forward",
            rule(
                &inward,
                is_within(from("ip6"), peers6),
                is_within(to("ip6"), spec.ipv6),
            ),
        )
        .rule(
            "forward",
            rule(
                &outward,
                is_within(from("ip"), spec.ipv4),
                is_within(to("ip"), peers4),
            ),
        )
        .rule(
            "forward",
            rule(
                &outward,
                is_within(from("ip6"), spec.ipv6),
                is_within(to("ip6"), peers6),
            ),
        );
    if spec.egress {
        let leaves = [
            comes_from(SEGMENT_LINK),
            goes_to(UPLINK),
            is_within(from("ip"), spec.ipv4),
            accept(),
        ];
        ruleset = ruleset.rule("forward", leaves);
    }
    ruleset
        .rule(
            "forward",
            [comes_from(SEGMENT_LINK), counted("from_segment"), reject()],
        )
        .rule(
            "forward",
            [comes_from(TUNNEL), counted("from_tunnel"), discard()],
        )
        .rule("forward", [counted("from_outside"), discard()])
}

/// The set of the host's ends of ways out, in [`host`].
pub(crate) const UPLINKS: &str = "uplinks";

/// The names of all links of Rhyzome's on a host.
const OURS: &str = "rz*";

/// Never forwarded (RFC 3927, section 2.7); clouds have a host's metadata and credentials there.
const LINK_LOCAL: Ipv4Net = Ipv4Net::new_assert(Ipv4Addr::new(169, 254, 0, 0), 16);

/// The table of [`host`], without anything in it.
pub(crate) fn host_table(mark: Mark) -> Ruleset {
    Ruleset::new("inet", format!("rhyzome_{mark}"))
}

fn from_uplink() -> Value {
    is(meta("iifname"), format!("@{UPLINKS}"))
}

fn to_uplink() -> Value {
    is(meta("oifname"), format!("@{UPLINKS}"))
}

/// What the host lets through for networks with egress: to the world outside, and answers. Not to the
/// host itself, not to link-local addresses, not to each other, not to any other link of Rhyzome's.
///
/// Where the host forwarded nothing before, it forwards nothing else now.
pub(crate) fn host(mark: Mark, before: Before) -> Ruleset {
    let ruleset = host_table(mark)
        .set(UPLINKS, &["ifname"])
        .base_chain("input", hook("filter", "input", FILTER - 1, "accept"))
        .rule("input", [from_uplink(), counted("to_host"), discard()])
        .base_chain("forward", hook("filter", "forward", FILTER - 1, "accept"))
        .rule(
            "forward",
            [
                from_uplink(),
                is_within(payload("ip", "daddr"), LINK_LOCAL),
                counted("to_host"),
                discard(),
            ],
        )
        .rule(
            "forward",
            [
                from_uplink(),
                to_uplink(),
                counted("to_networks"),
                discard(),
            ],
        )
        .rule(
            "forward",
            [
                from_uplink(),
                is(meta("oifname"), OURS),
                counted("to_networks"),
                discard(),
            ],
        )
        .rule(
            "forward",
            [
                to_uplink(),
                connection_in(&["established", "related"]),
                accept(),
            ],
        )
        .rule("forward", [to_uplink(), counted("from_outside"), discard()]);
    match before {
        Before::Off => ruleset.rule("forward", nothing_of_others()),
        Before::On => ruleset,
    }
    .base_chain("leave", hook("nat", "postrouting", SOURCE_NAT, "accept"))
    .rule("leave", [from_uplink(), masquerade()])
}

/// Drops what has nothing to do with any component here: each has its own rules for its own links, and
/// the bridges of segments pass here where the host's firewall filters bridged frames. IPv6 has a switch
/// of its own, which stays as it is. Frames on bridges of others cannot be told from packets here, and
/// are dropped where that filter is on; `host_warnings` says so.
fn nothing_of_others() -> [Value; 5] {
    [
        is(meta("nfproto"), "ipv4"),
        is_not(meta("iifname"), OURS),
        is_not(meta("oifname"), OURS),
        counted("of_others"),
        discard(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::network as spec;

    fn lines(ruleset: &Ruleset) -> String {
        ruleset
            .commands()
            .iter()
            .map(Value::to_string)
            .collect::<Vec<_>>()
            .join("\n")
    }

    #[test]
    fn a_closed_network_has_no_rule_that_leads_out() {
        insta::assert_snapshot!(lines(&router(&spec(false))));
    }

    #[test]
    fn egress_adds_one_rule() {
        let (closed, open) = (lines(&router(&spec(false))), lines(&router(&spec(true))));
        let added: Vec<&str> = open
            .lines()
            .filter(|line| !closed.lines().any(|other| other == *line))
            .collect();
        let rules = added.iter().filter(|line| !line.contains("about"));
        assert_eq!(rules.count(), 1, "{added:?}");
    }

    #[test]
    fn the_hosts_rules_name_only_our_links() {
        insta::assert_snapshot!(lines(&host("89abcdef".parse().unwrap(), Before::On)));
    }

    #[test]
    fn a_host_that_forwarded_nothing_has_one_rule_that_keeps_it_so() {
        let mark = "89abcdef".parse().unwrap();
        let (on, off) = (
            lines(&host(mark, Before::On)),
            lines(&host(mark, Before::Off)),
        );
        let added: Vec<&str> = off
            .lines()
            .filter(|line| !line.contains("about") && !on.lines().any(|other| other == *line))
            .collect();
        insta::assert_snapshot!(added.join("\n"));
    }
}
