//! Networks that are network cards of a router (`port`): what names them, and why a router cannot have any.

use rhyzome_uci::{Package, Section};

use crate::disk;
use crate::system::System;

/// Names network cards by their MACs, before the network starts and when it is run.
pub(crate) const SCRIPT: &str = "/etc/init.d/rhyzome-nics";

/// The options that name devices.
const DEVICES: [&str; 3] = ["device", "ifname", "ports"];

/// Why this router cannot have network cards plugged in, if it cannot.
pub(crate) fn unfit(system: &System) -> Option<String> {
    if !system.path(SCRIPT).exists() {
        return Some(format!(
            "{SCRIPT} is not here, which names network cards: `rhyzome openwrt prepare` puts it into images"
        ));
    }
    let text = disk::read(&system.config("network")).ok()??;
    let taken = by_number(&text)?;
    Some(format!(
        "/etc/config/network takes {taken} for something else, which is what the kernel calls a network card that is \
         plugged in: name that card by its MAC in a `config nic` of /etc/config/rhyzome, and use its name"
    ))
}

/// A device in somebody's configuration that is called as the kernel calls one that comes.
fn by_number(text: &str) -> Option<String> {
    let package = Package::read("network".parse().ok()?, text).ok()?;
    let sections = package.sections().iter();
    let of_devices = |section| {
        DEVICES
            .iter()
            .flat_map(move |option| Section::items_of(section, option))
    };
    for item in sections.flat_map(of_devices) {
        for word in item.split(' ') {
            let name = word.split(['.', ':']).next().unwrap_or_default();
            let number = name.strip_prefix("eth").unwrap_or_default();
            if number.parse::<u16>().is_ok() {
                return Some(name.to_owned());
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_that_is_called_by_a_number_is_found_wherever_it_is_used() {
        let check = |text: &str, expect: Option<&str>| {
            assert_eq!(by_number(text).as_deref(), expect, "{text}");
        };
        check("config interface lan\n\toption device eth0\n", Some("eth0"));
        check(
            "config interface lan\n\toption device eth1.40\n",
            Some("eth1"),
        );
        check(
            "config interface lan\n\toption ifname 'uplink eth2'\n",
            Some("eth2"),
        );
        check(
            "config device\n\toption name br-lan\n\tlist ports eth3\n",
            Some("eth3"),
        );
        check(
            "config bridge-vlan\n\toption device br0\n\tlist ports uplink\n\tlist ports 'eth4:u*'\n",
            Some("eth4"),
        );
        check(
            "config interface lan\n\toption device ether0\nconfig interface wan\n\toption device uplink\n\
             config device\n\toption name rz_p5\n",
            None,
        );
    }
}
