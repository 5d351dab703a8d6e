//! The documents that cloud-init reads (its documentation, "NoCloud" and "Networking config version 2").
//!
//! They are JSON, which is YAML too: nothing has to be quoted by hand, and the same instance always gets
//! the same bytes.

use rhyzome_model::instance::{InstancePlacement, Interface};
use serde_json::{Value, json};

/// Where the metadata service is; also told as a route of its own, for guests with several interfaces.
const SERVICE: &str = "169.254.169.254/32";

/// NoCloud's `meta-data`. The id stays over restarts and is new for an instance made anew: cloud-init
/// does what is done once for each id.
pub fn meta_data(told: &InstancePlacement) -> String {
    text(&json!({
        "instance-id": told.instance.to_string(),
        "local-hostname": told.guest.fqdn,
        "public-keys": told.guest.ssh_keys,
    }))
}

/// `user-data`, as its owner wrote it.
pub fn user_data(told: &InstancePlacement) -> &str {
    match &told.guest.user_data {
        Some(user_data) => user_data.as_str(),
        None => "",
    }
}

/// NoCloud's `network-config`: the addresses that the core chose, so that no guest has to wait for DHCP.
///
/// There is one default route, also where no network has a way out: the router refuses what may not
/// leave, a network may get a way out later, and this is read at the first start alone. Members' devices
/// are reached by way of the first interface. There are no metrics: not all that cloud-init writes for
/// can have them. IPv6 takes its default route from router advertisements.
pub fn network_config(told: &InstancePlacement) -> String {
    let leaves = told
        .interfaces
        .iter()
        .position(|interface| interface.egress);
    let way_out = leaves.unwrap_or(0);
    let ethernets = told
        .interfaces
        .iter()
        .enumerate()
        .map(|(index, interface)| {
            let mut routes = Vec::new();
            if index == way_out {
                routes.push(("0.0.0.0/0".to_owned(), interface.gateway4().to_string()));
            }
            if index == 0 {
                let (gateway4, gateway6) = (interface.gateway4(), interface.gateway6());
                // The hypervisor takes it out of the frames, whomever they are sent to.
                routes.push((SERVICE.to_owned(), gateway4.to_string()));
                routes.push((interface.peers_ipv4.to_string(), gateway4.to_string()));
                routes.push((interface.peers_ipv6.to_string(), gateway6.to_string()));
            }
            (format!("eth{index}"), ethernet(index, interface, routes))
        });
    let ethernets: serde_json::Map<String, Value> = ethernets.collect();
    text(&json!({ "version": 2, "ethernets": ethernets }))
}

fn ethernet(index: usize, interface: &Interface, routes: Vec<(String, String)>) -> Value {
    let address4 = format!("{}/{}", interface.ipv4, interface.subnet4.prefix_len());
    let address6 = format!("{}/{}", interface.ipv6, interface.subnet6.prefix_len());
    let routes = routes.into_iter();
    let routes = routes.map(|(to, via)| json!({ "to": to, "via": via }));
    json!({
        "match": { "macaddress": interface.mac.to_string() },
        "set-name": format!("eth{index}"),
        "dhcp4": false,
        "dhcp6": false,
        "addresses": [address4, address6],
        "mtu": interface.mtu,
        "nameservers": {
            "addresses": [interface.gateway4().to_string(), interface.gateway6().to_string()],
            "search": [interface.domain],
        },
        "routes": routes.collect::<Vec<_>>(),
    })
}

/// `name=value`, a line each, for guests that parse nothing more: `ipv4_1` and its like are of the second
/// interface, and so on. There is nothing secret in it: it is given without a token.
pub fn key_values(told: &InstancePlacement) -> String {
    let mut lines = vec![
        ("instance_id".to_owned(), told.instance.to_string()),
        ("project".to_owned(), told.project.to_string()),
        ("hostname".to_owned(), told.name.to_string()),
        ("fqdn".to_owned(), told.guest.fqdn.clone()),
    ];
    for (index, interface) in told.interfaces.iter().enumerate() {
        let mut add = |name: &str, value: String| {
            let name = match index {
                0 => name.to_owned(),
                _ => format!("{name}_{index}"),
            };
            lines.push((name, value));
        };
        add("network", interface.network_name.to_string());
        add("domain", interface.domain.clone());
        add("mac", interface.mac.to_string());
        add("mtu", interface.mtu.to_string());
        add("ipv4", interface.ipv4.to_string());
        add("prefix4", interface.subnet4.prefix_len().to_string());
        add("gateway4", interface.gateway4().to_string());
        add("dns4", interface.gateway4().to_string());
        add("ipv6", interface.ipv6.to_string());
        add("prefix6", interface.subnet6.prefix_len().to_string());
        add("gateway6", interface.gateway6().to_string());
        add("dns6", interface.gateway6().to_string());
    }
    let lines = lines.into_iter();
    lines
        .map(|(name, value)| format!("{name}={value}\n"))
        .collect()
}

fn text(value: &Value) -> String {
    format!("{value:#}\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::web;

    #[test]
    fn cloud_init_is_told_who_it_is_and_how_it_reaches_others() {
        insta::assert_snapshot!(meta_data(&web()));
        insta::assert_snapshot!(network_config(&web()));
    }

    #[test]
    fn a_guest_that_parses_nothing_reads_lines() {
        insta::assert_snapshot!(key_values(&web()));
    }
}
