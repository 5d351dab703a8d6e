//! dnsmasq's configuration out of the package `dhcp`, and its service.
//!
//! Nothing is checked: what dnsmasq does not take keeps it from starting, and the script ends well.

use std::fmt::Write;
use std::fs;
use std::net::Ipv4Addr;
use std::process::ExitCode;

use serde_json::json;

use super::{has, send};
use crate::standins::config::{self, Options, Package};
use crate::standins::log::say;
use crate::standins::ubus::call;
use rhyzome_test_router::Fault;

/// The id of the first section of type `dnsmasq`.
const INSTANCE: &str = "cfg01411c";

pub fn start() -> ExitCode {
    let Some(package) = config::read("dhcp") else {
        say("dnsmasq", "uci: Parse error");
        return ExitCode::SUCCESS;
    };
    let path = format!("/var/etc/dnsmasq.conf.{INSTANCE}");
    let mut text = text(&package);
    if has(Fault::DnsmasqCrashes) {
        text.push_str("this-is-no-option\n");
    }
    let _ = fs::write(&path, text);
    for folder in ["/tmp/hosts", "/var/run/dnsmasq"] {
        let _ = fs::create_dir_all(folder);
    }
    let _ = fs::write(format!("/tmp/hosts/dhcp.{INSTANCE}"), hosts(&package));
    let command = ["/usr/sbin/dnsmasq", "-C", &path, "-k", "-x"];
    let command = command.map(str::to_owned).into_iter();
    let command: Vec<String> = command
        .chain([format!("/var/run/dnsmasq/{INSTANCE}.pid")])
        .collect();
    let files = [path.clone(), format!("/tmp/hosts/dhcp.{INSTANCE}")];
    let instance = json!({"command": command, "respawn": [], "file": files});
    send(
        "set",
        &json!({"name": "dnsmasq", "instances": {INSTANCE: instance}}),
    )
}

fn text(package: &Package) -> String {
    let mut text =
        String::from("# auto-generated config file from /etc/config/dhcp\nbind-dynamic\n");
    let server = package
        .sections
        .iter()
        .find(|section| section.kind == "dnsmasq");
    if let Some(server) = server {
        for (option, line) in [
            ("domainneeded", "domain-needed"),
            ("localise_queries", "localise-queries"),
            ("expandhosts", "expand-hosts"),
            ("authoritative", "dhcp-authoritative"),
            ("localservice", "local-service"),
            ("rebind_protection", "stop-dns-rebind"),
            ("noresolv", "no-resolv"),
        ] {
            if server.flag(option, false) {
                let _ = writeln!(text, "{line}");
            }
        }
        for (option, line) in [
            ("local", "local"),
            ("domain", "domain"),
            ("leasefile", "dhcp-leasefile"),
            ("port", "port"),
        ] {
            if let Some(value) = server.one(option) {
                let _ = writeln!(text, "{line}={value}");
            }
        }
        for value in server.list("server") {
            let _ = writeln!(text, "server={value}");
        }
    }
    let _ = write!(
        text,
        "addn-hosts=/tmp/hosts\ndhcp-broadcast=tag:needs-broadcast\nuser=dnsmasq\ngroup=dnsmasq\n"
    );
    for section in &package.sections {
        match section.kind.as_str() {
            "dhcp" => text.push_str(&range(section)),
            "host" => text.push_str(&host(section)),
            _ => {}
        }
    }
    text
}

/// A network's range of addresses, if its interface is up: `start` is an offset from the prefix' first address.
fn range(section: &config::Section) -> String {
    let mut text = String::new();
    let interface = section.one("interface").unwrap_or_default();
    let status = call(
        &format!("network.interface.{interface}"),
        "status",
        &json!({}),
    );
    let Ok(status) = status else { return text };
    let Some(device) = status["l3_device"]
        .as_str()
        .filter(|_| status["up"] == json!(true))
    else {
        return text;
    };
    if section.flag("ignore", false) {
        let _ = writeln!(text, "no-dhcp-interface={device}");
        return text;
    }
    let address = &status["ipv4-address"][0];
    let parsed = address["address"]
        .as_str()
        .and_then(|text| text.parse::<Ipv4Addr>().ok());
    let mask = address["mask"]
        .as_u64()
        .and_then(|bits| u32::try_from(bits).ok());
    let (Some(ip), Some(bits)) = (parsed, mask) else {
        return text;
    };
    if section.one("dhcpv4") == Some("disabled") {
        return text;
    }
    let netmask = u32::MAX.checked_shl(32 - bits).unwrap_or(0);
    let number = |option: &str, default: u32| {
        let text = section.one(option).and_then(|text| text.parse().ok());
        text.unwrap_or(default)
    };
    let first = (u32::from(ip) & netmask).wrapping_add(number("start", 100));
    let last = first.wrapping_add(number("limit", 150)).wrapping_sub(1);
    // It wraps into the prefix.
    let inside = |address: u32| Ipv4Addr::from((u32::from(ip) & netmask) | (address & !netmask));
    let (first, last) = (inside(first), inside(last.min(u32::from(ip) | !netmask)));
    let last = if section.flag("dynamicdhcp", true) {
        last.to_string()
    } else {
        "static".to_owned()
    };
    let time = section.one("leasetime").unwrap_or("12h");
    let netmask = Ipv4Addr::from(netmask);
    let _ = writeln!(
        text,
        "dhcp-range=set:{interface},{first},{last},{netmask},{time}"
    );
    for option in section.list("dhcp_option") {
        let _ = writeln!(text, "dhcp-option=tag:{interface},{option}");
    }
    text
}

fn host(section: &config::Section) -> String {
    let mut words: Vec<String> = section
        .list("mac")
        .iter()
        .flat_map(|text| text.split(' '))
        .map(str::to_owned)
        .collect();
    let one = |option: &str| section.one(option).map(str::to_owned);
    words.extend(one("ip").filter(|ip| ip != "ignore"));
    words.extend(one("name"));
    words.extend(one("leasetime"));
    if section.list("mac").is_empty() {
        return String::new();
    }
    format!("dhcp-host={}\n", words.join(","))
}

/// Names of the package, as `/etc/hosts` has them.
fn hosts(package: &Package) -> String {
    let mut text = String::from("# auto-generated config file from /etc/config/dhcp\n");
    for section in &package.sections {
        let pair = section.one("ip").zip(section.one("name"));
        let wanted =
            section.kind == "domain" || section.kind == "host" && section.flag("dns", false);
        if let Some((ip, name)) = pair.filter(|_| wanted) {
            let _ = writeln!(text, "{ip} {name}");
        }
    }
    text
}
