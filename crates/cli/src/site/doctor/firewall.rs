//! What else on this machine decides about packets: switches of the kernel, and other firewalls.

use std::fs;
use std::process::{Command, Stdio};

use serde_json::Value;

use super::Check;

pub fn checks() -> Vec<Check> {
    let mut checks = vec![
        forwarding(&sysctl("net/ipv4/ip_forward")),
        router_advertisements(
            &sysctl("net/ipv6/conf/all/forwarding"),
            &sysctl("net/ipv6/conf/all/accept_ra"),
        ),
    ];
    let ruleset = ruleset();
    let drops = ruleset.as_ref().map(drop_policies).unwrap_or_default();
    checks.push(bridge_calls(
        &sysctl("net/bridge/bridge-nf-call-iptables"),
        &drops,
    ));
    checks.push(other_rules(ruleset.is_some(), &drops));
    checks.extend(managers(|path| fs::metadata(path).is_ok()));
    checks
}

fn sysctl(name: &str) -> String {
    fs::read_to_string(format!("/proc/sys/{name}"))
        .unwrap_or_default()
        .trim()
        .to_owned()
}

fn forwarding(value: &str) -> Check {
    const NAME: &str = "IPv4 forwarding";
    match value {
        "1" => Check::ok(NAME, "on"),
        _ => Check::ok(
            NAME,
            "off; it is switched on while a network with egress needs it, and put back",
        ),
    }
}

/// A host that forwards IPv6 ignores router advertisements unless `accept_ra` is 2.
fn router_advertisements(forwarding: &str, accept: &str) -> Check {
    const NAME: &str = "IPv6 forwarding";
    match (forwarding, accept) {
        ("1", "1") => Check::warn(
            NAME,
            "on, and accept_ra is 1: this machine ignores router advertisements",
            "if its own IPv6 address comes from a router, `sysctl net.ipv6.conf.all.accept_ra=2`",
        ),
        ("1", _) => Check::ok(NAME, "on"),
        ("", _) => Check::warn(
            NAME,
            "this kernel has no IPv6",
            "networks have IPv4 alone then",
        ),
        _ => Check::ok(NAME, "off; networks do not need it"),
    }
}

/// With it, rules for routed packets see what stays inside of a bridge.
fn bridge_calls(value: &str, drops: &[String]) -> Check {
    const NAME: &str = "bridge-nf-call-iptables";
    match (value, drops.iter().find(|chain| chain.ends_with("forward"))) {
        ("1", Some(chain)) => Check::fail(
            NAME,
            format!(
                "1, and {chain} drops what it does not know: instances of one network would not reach each other"
            ),
            "`sysctl net.bridge.bridge-nf-call-iptables=0 net.bridge.bridge-nf-call-ip6tables=0`",
        ),
        ("1", None) => Check::warn(
            NAME,
            "1: a firewall with a policy of drop would also drop what stays inside of a network",
            "harmless now; `sysctl net.bridge.bridge-nf-call-iptables=0` makes it stay so",
        ),
        ("", _) => Check::ok(NAME, "not there"),
        _ => Check::ok(NAME, "off"),
    }
}

/// What nft knows, as JSON; none where it may not be asked.
fn ruleset() -> Option<Value> {
    let path = std::env::var("PATH").unwrap_or_default() + ":/usr/sbin:/sbin";
    let output = Command::new("/usr/bin/env")
        .arg(format!("PATH={path}"))
        .args(["nft", "--json", "list", "ruleset"])
        .stdin(Stdio::null())
        .output()
        .ok()?;
    serde_json::from_slice(&output.stdout)
        .ok()
        .filter(|_| output.status.success())
}

/// What other firewalls drop.
pub struct Dropping {
    chains: Vec<String>,
    ruleset: Value,
}

/// None where it cannot be seen.
pub fn dropping() -> Option<Dropping> {
    let ruleset = ruleset()?;
    Some(Dropping {
        chains: drop_policies(&ruleset),
        ruleset,
    })
}

impl Dropping {
    /// A chain that drops what comes to this machine and is not known to it, where no rule of its table
    /// names a port.
    pub fn input_without(&self, port: u16) -> Option<&str> {
        let rules = self.ruleset["nftables"].as_array().into_iter().flatten();
        let rules: Vec<&Value> = rules.map(|object| &object["rule"]).collect();
        let named = |chain: &str| {
            let table = chain.split(' ').nth(1).unwrap_or_default();
            rules
                .iter()
                .any(|rule| rule["table"] == table && names(&rule["expr"], port))
        };
        let input = |chain: &&String| chain.ends_with(" input") && !named(chain);
        self.chains.iter().find(input).map(String::as_str)
    }
}

/// Whether a number stands anywhere in an expression.
fn names(value: &Value, port: u16) -> bool {
    match value {
        Value::Array(all) => all.iter().any(|one| names(one, port)),
        Value::Object(all) => all.values().any(|one| names(one, port)),
        value => *value == port,
    }
}

/// The base chains of others that drop what no rule accepts: `family table chain hook`.
fn drop_policies(ruleset: &Value) -> Vec<String> {
    let objects = ruleset["nftables"].as_array().cloned().unwrap_or_default();
    let chains = objects.iter().map(|object| &object["chain"]);
    chains
        .filter(|chain| chain["policy"] == "drop")
        .filter(|chain| {
            !chain["table"]
                .as_str()
                .unwrap_or_default()
                .starts_with("rhyzome")
        })
        .map(|chain| {
            let word = |key: &str| chain[key].as_str().unwrap_or_default().to_owned();
            [word("family"), word("table"), word("name"), word("hook")].join(" ")
        })
        .collect()
}

fn other_rules(seen: bool, drops: &[String]) -> Check {
    const NAME: &str = "other firewalls' rules";
    if !seen {
        return Check::warn(NAME, "cannot be seen", "`sudo rhyzome doctor` can");
    }
    let hooked = |hook: &str| drops.iter().find(|chain| chain.ends_with(hook));
    match (hooked("input"), hooked("forward")) {
        (None, None) => Check::ok(NAME, "nothing drops by policy"),
        (Some(chain), _) => Check::warn(
            NAME,
            format!("{chain} drops what it does not know"),
            "let in the UDP ports of WireGuard endpoints, which `rhyzome network list` shows",
        ),
        (None, Some(chain)) => Check::warn(
            NAME,
            format!("{chain} drops what it does not know"),
            "networks with egress would not get out: let packets from and to the interfaces rzu* pass",
        ),
    }
}

fn managers(there: impl Fn(&str) -> bool) -> Vec<Check> {
    let known = [
        (
            "Docker",
            "/run/docker.sock",
            "it drops what is forwarded: see bridge-nf-call-iptables above",
        ),
        (
            "firewalld",
            "/run/firewalld",
            "put the ports of WireGuard endpoints into its zone: `firewall-cmd --add-port=PORT/udp`",
        ),
        (
            "ufw",
            "/run/ufw.lock",
            "`ufw allow PORT/udp` for WireGuard endpoints; `ufw route allow` for egress",
        ),
    ];
    known
        .into_iter()
        .filter(|(_, path, _)| there(path))
        .map(|(name, _, advice)| Check::warn(name, "runs on this machine", advice))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::site::doctor::Level;

    fn chain(table: &str, hook: &str, policy: &str) -> Value {
        serde_json::json!({"chain": {
            "family": "ip", "table": table, "name": "c", "hook": hook, "policy": policy
        }})
    }

    #[test]
    fn a_chain_of_others_that_drops_is_found() {
        let chains = [
            chain("filter", "forward", "drop"),
            chain("filter", "input", "accept"),
            chain("rhyzome", "forward", "drop"),
        ];
        let ruleset = serde_json::json!({ "nftables": chains });
        let drops = drop_policies(&ruleset);
        assert_eq!(drops, ["ip filter c forward"]);
        assert_eq!(bridge_calls("1", &drops).level, Level::Fail);
        assert_eq!(bridge_calls("1", &[]).level, Level::Warn);
        assert_eq!(bridge_calls("0", &drops).level, Level::Ok);
        assert_eq!(other_rules(true, &drops).level, Level::Warn);
        assert_eq!(other_rules(true, &[]).level, Level::Ok);
    }

    #[test]
    fn a_chain_that_drops_and_names_a_port_may_let_it_in() {
        let rule = serde_json::json!({"rule": {"family": "ip", "table": "filter", "chain": "c", "expr": [
            {"match": {"left": {"payload": {"protocol": "udp", "field": "dport"}}, "right": {"set": [53, 4789]}}},
            {"accept": null}
        ]}});
        let check = |objects: Vec<Value>, expect: Option<&str>| {
            let ruleset = serde_json::json!({ "nftables": objects });
            let dropping = Dropping {
                chains: drop_policies(&ruleset),
                ruleset,
            };
            assert_eq!(dropping.input_without(4789), expect);
        };
        check(
            vec![chain("filter", "input", "drop")],
            Some("ip filter c input"),
        );
        check(vec![chain("filter", "input", "drop"), rule], None);
        check(vec![chain("filter", "forward", "drop")], None);
        check(vec![chain("filter", "input", "accept")], None);
    }

    #[test]
    fn a_known_firewall_is_named_with_its_own_words() {
        let found = managers(|path| path == "/run/ufw.lock");
        assert_eq!(found.len(), 1);
        assert!(found[0].advice.as_ref().unwrap().contains("ufw allow"));
    }

    #[test]
    fn a_forwarding_host_should_still_hear_its_router() {
        assert_eq!(router_advertisements("1", "1").level, Level::Warn);
        assert_eq!(router_advertisements("1", "2").level, Level::Ok);
        assert_eq!(router_advertisements("0", "1").level, Level::Ok);
    }
}
