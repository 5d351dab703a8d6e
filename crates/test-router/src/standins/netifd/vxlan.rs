//! VXLAN devices, and where their ends are.

use std::fmt::Write;

use super::super::config::{Options, Section};
use super::super::shell;
use super::kernel::{self, ip};

/// Makes the device with all its ends. Returns whether it is there.
pub fn make(section: &Section, ends: &[Section]) -> bool {
    let name = &section.name;
    kernel::delete(name);
    if !kernel::is_name(name) {
        return false;
    }
    let vid = section.one("vid").unwrap_or("0");
    let port = section.one("port").unwrap_or("4789");
    let mut words = format!("link add {name} type vxlan id {vid} dstport {port}");
    for (option, word) in [
        ("ipaddr", "local"),
        ("ip6addr", "local"),
        ("peeraddr", "remote"),
        ("peer6addr", "remote"),
        ("ttl", "ttl"),
    ] {
        if let Some(value) = section.one(option) {
            let _ = write!(words, " {word} {value}");
        }
    }
    if !section.flag("learning", true) {
        words.push_str(" nolearning");
    }
    if !ip(&words) {
        return false;
    }
    for (option, word) in [("macaddr", "address"), ("mtu", "mtu")] {
        if let Some(value) = section.one(option) {
            ip(&format!("link set {name} {word} {value}"));
        }
    }
    for end in ends {
        let mac = end.one("lladdr").unwrap_or("00:00:00:00:00:00");
        if let Some(address) = end.one("dst") {
            shell::words(&format!("bridge fdb append {mac} dev {name} dst {address}"));
        }
    }
    true
}
