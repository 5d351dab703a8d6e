//! What happens when an interface has come up: a firewall zone that it is in, and dnsmasq where it serves it, are told.

use super::config::{self, Options};
use super::shell;

/// Without waiting for what it starts.
pub fn came_up(interfaces: &[String]) {
    if mentions("firewall", "zone", "network", interfaces) {
        shell::start("/etc/init.d/firewall reload");
    }
    if mentions("dhcp", "dhcp", "interface", interfaces) {
        shell::start("/etc/init.d/dnsmasq reload");
    }
}

fn mentions(package: &str, kind: &str, option: &str, interfaces: &[String]) -> bool {
    let package = config::read(package);
    let sections = package.iter().flat_map(|package| &package.sections);
    let mut sections = sections.filter(|section| section.kind == kind);
    sections.any(|section| {
        let named = section.list(option);
        interfaces.iter().any(|one| named.contains(&one.as_str()))
    })
}
