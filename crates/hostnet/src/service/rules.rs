//! What passes between taps and services, as a ruleset. Pure.
//!
//! Links are told by the beginnings of their names, so that the rules do not change while instances come
//! and go. What an instance may send at all, the port rules say.

use serde_json::{Value, json};

use super::{ADDRESS, MAC, PORT, PORTS};
use crate::nft::{Ruleset, accept, counted, discard, is, jump, meta, payload};

/// What the names of all taps begin with.
const TAPS: &str = "rt*";

fn comes_from(links: &str) -> Value {
    is(meta("iifname"), links)
}

fn goes_to(links: &str) -> Value {
    is(meta("oifname"), links)
}

pub(super) fn build(table: &str) -> Ruleset {
    let hook =
        |hook: &str| json!({ "type": "filter", "hook": hook, "prio": -10, "policy": "accept" });
    let services = format!("{PORTS}*");
    let address = ADDRESS.to_string();
    let about = |protocol: &str, field: &str| is(payload(protocol, field), address.as_str());
    let mac: Vec<String> = MAC.iter().map(|octet| format!("{octet:02x}")).collect();
    let to_service =
        json!({ "mangle": { "key": payload("ether", "daddr"), "value": mac.join(":") } });
    let ports = |field: &str| is(payload("tcp", field), PORT);
    Ruleset::new("bridge", table)
        .chain("to_service")
        .rule("to_service", [about("arp", "daddr ip"), accept()])
        .rule(
            "to_service",
            [about("ip", "daddr"), ports("dport"), accept()],
        )
        .rule("to_service", [counted("metadata"), discard()])
        .chain("from_service")
        .rule("from_service", [about("arp", "saddr ip"), accept()])
        .rule(
            "from_service",
            [about("ip", "saddr"), ports("sport"), accept()],
        )
        .rule("from_service", [counted("metadata"), discard()])
        .base_chain("prerouting", hook("prerouting"))
        .rule(
            "prerouting",
            [comes_from(TAPS), about("ip", "daddr"), to_service],
        )
        .base_chain("forward", hook("forward"))
        .rule(
            "forward",
            [comes_from(TAPS), goes_to(&services), jump("to_service")],
        )
        .rule(
            "forward",
            [comes_from(&services), goes_to(TAPS), jump("from_service")],
        )
        .rule(
            "forward",
            [comes_from(&services), counted("metadata"), discard()],
        )
        .rule(
            "forward",
            [goes_to(&services), counted("metadata"), discard()],
        )
        // Between all others the address is nobody's.
        .rule(
            "forward",
            [about("arp", "daddr ip"), counted("metadata"), discard()],
        )
        .rule(
            "forward",
            [about("arp", "saddr ip"), counted("metadata"), discard()],
        )
        .rule(
            "forward",
            [about("ip", "daddr"), counted("metadata"), discard()],
        )
        .rule(
            "forward",
            [about("ip", "saddr"), counted("metadata"), discard()],
        )
}
