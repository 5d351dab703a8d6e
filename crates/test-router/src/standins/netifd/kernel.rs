//! What is asked of the kernel, by `ip`.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use super::super::log::say;
use super::super::shell;
use super::super::ubus::{Reply, Status};

/// What a device's name may have.
const LONGEST: usize = 15;

pub fn exists(device: &str) -> bool {
    !device.is_empty() && Path::new("/sys/class/net").join(device).exists()
}

/// Runs `ip`; what fails is said in the log alone.
pub fn ip(words: &str) -> bool {
    let output = shell::words(&format!("ip {words}"));
    if !output.status.success() {
        let errors = String::from_utf8_lossy(&output.stderr);
        say("netifd", &format!("ip {words}: {}", errors.trim()));
    }
    output.status.success()
}

pub fn is_name(device: &str) -> bool {
    let fits = !device.is_empty() && device.len() <= LONGEST;
    if !fits {
        say("netifd", &format!("device name {device} is too long"));
    }
    fits
}

pub fn delete(device: &str) {
    if exists(device) {
        ip(&format!("link del {device}"));
    }
}

/// The bridge that a device is in.
pub fn master(device: &str) -> Option<String> {
    let link = fs::read_link(format!("/sys/class/net/{device}/master")).ok()?;
    Some(link.file_name()?.to_string_lossy().into_owned())
}

pub fn ports(bridge: &str) -> Vec<String> {
    let entries = fs::read_dir(format!("/sys/class/net/{bridge}/brif"));
    let entries = entries.into_iter().flatten().flatten();
    let mut names: Vec<String> = entries
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

/// `network.device status`.
pub fn device_status(name: &str) -> Reply {
    let read = |file: &str| fs::read_to_string(format!("/sys/class/net/{name}/{file}"));
    let Ok(flags) = read("flags") else {
        return Err(Status::NotFound);
    };
    let flags = u32::from_str_radix(flags.trim().trim_start_matches("0x"), 16).unwrap_or(0);
    let text = |file: &str| read(file).unwrap_or_default().trim().to_owned();
    let mut status = json!({
        "present": true,
        "up": flags & 1 != 0,
        "carrier": text("carrier") == "1",
        "mtu": text("mtu").parse::<u32>().unwrap_or_default(),
        "macaddr": text("address"),
        "type": "Network device",
    });
    if Path::new(&format!("/sys/class/net/{name}/bridge")).exists() {
        status["type"] = json!("bridge");
        status["bridge-members"] = Value::from(ports(name));
        if text("bridge/vlan_filtering") == "1" {
            status["bridge-vlans"] = Value::from(vlans(name));
        }
    }
    Ok(status)
}

/// The VLANs of a bridge. How a port is in one is not said, as netifd's text for it has its name alone (bridge.c).
fn vlans(bridge: &str) -> Vec<Value> {
    let output = shell::words("bridge -j vlan show");
    let all: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
    let of = |device: &str| -> Vec<u64> {
        let devices = all.as_array().into_iter().flatten();
        let own = devices.filter(|one| one["ifname"] == json!(device));
        let vlans = own.flat_map(|one| one["vlans"].as_array().into_iter().flatten());
        vlans.filter_map(|vlan| vlan["vlan"].as_u64()).collect()
    };
    let local = of(bridge);
    let ports: Vec<(String, Vec<u64>)> = ports(bridge)
        .into_iter()
        .map(|port| (port.clone(), of(&port)))
        .collect();
    let mut ids: Vec<u64> = ports.iter().flat_map(|(_, vlans)| vlans.clone()).collect();
    ids.extend(&local);
    ids.sort_unstable();
    ids.dedup();
    let told = ids.into_iter().map(|id| {
        let inside = ports.iter().filter(|(_, vlans)| vlans.contains(&id));
        let names: Vec<&String> = inside.map(|(port, _)| port).collect();
        json!({ "id": id, "local": local.contains(&id), "ports": names })
    });
    told.collect()
}
