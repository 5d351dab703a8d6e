//! `/etc/config/network`: the uplink. Official images make this file at their first start, unless it is there; then they
//! would take the first card for a LAN with an address of its own.

use std::net::IpAddr;

use rhyzome_uci::{Name, Package, Section, Value};

use rhyzome_model::segment::Segmentation;

use super::{Uplink, add, section, set};
use crate::card::Role;

/// The interface of the uplink. OpenWrt's own firewall has a zone for it by this name, and one for the second.
const UPLINK: &str = "wan";
const UPLINK_6: &str = "wan6";

/// The file with the uplink in it, and all else as it was before, where there was one.
pub(crate) fn network(
    before: Option<&Package>,
    uplink: &Uplink,
    segmentation: Segmentation,
) -> Package {
    let base = before.cloned().unwrap_or_else(fresh);
    let name = base.name().clone();
    let replaced = |section: &&Section| {
        let name = section.name().map(Name::as_str);
        let trunk = segmentation == Segmentation::Vlan && name == Some(Role::Trunk.as_str());
        !(name == Some(UPLINK) || name == Some(UPLINK_6) || trunk)
    };
    let mut package = Package::new(name);
    for section in base.sections().iter().filter(replaced) {
        add(&mut package, section.clone());
    }
    for section in of_uplink(uplink) {
        add(&mut package, section);
    }
    if segmentation == Segmentation::Vlan {
        let options = [("device", Role::Trunk.as_str()), ("proto", "none")];
        add(
            &mut package,
            section("interface", Role::Trunk.as_str(), &options),
        );
    }
    package
}

/// As OpenWrt begins such a file; `auto` is replaced by a prefix at the first start.
fn fresh() -> Package {
    let mut package = Package::new("network".parse().expect("it is a package's name"));
    let mut loopback = section(
        "interface",
        "loopback",
        &[("device", "lo"), ("proto", "static")],
    );
    list(&mut loopback, "ipaddr", &["127.0.0.1/8".to_owned()]);
    add(&mut package, loopback);
    let globals = [("ula_prefix", "auto")];
    add(&mut package, section("globals", "globals", &globals));
    package
}

fn of_uplink(uplink: &Uplink) -> Vec<Section> {
    let device = ("device", Role::Uplink.as_str());
    match uplink {
        Uplink::Automatic => vec![
            section("interface", UPLINK, &[device, ("proto", "dhcp")]),
            section("interface", UPLINK_6, &[device, ("proto", "dhcpv6")]),
        ],
        Uplink::Static {
            address,
            gateway,
            dns,
        } => {
            let mut wan = section("interface", UPLINK, &[device, ("proto", "static")]);
            let (addresses, way) = match gateway {
                IpAddr::V4(_) => ("ipaddr", "gateway"),
                IpAddr::V6(_) => ("ip6addr", "ip6gw"),
            };
            list(&mut wan, addresses, &[address.to_string()]);
            set(&mut wan, way, &gateway.to_string());
            let dns: Vec<String> = dns.iter().map(ToString::to_string).collect();
            if !dns.is_empty() {
                list(&mut wan, "dns", &dns);
            }
            vec![wan]
        }
    }
}

fn list(section: &mut Section, option: &str, items: &[String]) {
    let option = option.parse().expect("it is written here");
    let items = Value::list(items.iter().cloned());
    section.set(option, items.expect("addresses are plain text"));
}
