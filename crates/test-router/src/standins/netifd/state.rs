//! What netifd knows, and what it does with it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use super::super::config::{self, Options, Package, Section};
use super::super::{hotplug, procd};
use super::device::{self, Device};
use super::interface::{Interface, Phase};
use super::kernel::{delete, exists};
use super::{Published, routing, wireguard};

/// How long it waits before it tries an interface again.
const AGAIN: Duration = Duration::from_secs(1);

/// The options of a WireGuard interface whose change a reload notices.
const NOTICED: [&str; 7] = [
    "private_key",
    "listen_port",
    "mtu",
    "fwmark",
    "disabled",
    "proto",
    "auto",
];

pub struct State {
    devices: BTreeMap<String, Device>,
    interfaces: BTreeMap<String, Interface>,
    rules: BTreeSet<(&'static str, String)>,
    /// Interfaces that came up since hotplug was told.
    pub came_up: Vec<String>,
    published: Published,
}

impl State {
    pub fn new(published: Published) -> Self {
        Self {
            devices: BTreeMap::new(),
            interfaces: BTreeMap::new(),
            rules: BTreeSet::new(),
            came_up: Vec::new(),
            published,
        }
    }

    /// Reads the configuration again. Nothing happens where libuci does not read it.
    pub fn reload(&mut self) {
        let Some(package) = config::read("network") else {
            return;
        };
        let gone: Vec<String> = self
            .interfaces
            .keys()
            .filter(|name| !is_interface(&package, name))
            .cloned()
            .collect();
        for name in gone {
            self.down(&name);
            self.interfaces.remove(&name);
        }
        self.change_devices(device::wanted(&package));
        for section in sections(&package, "interface") {
            self.change_interface(section, &package);
        }
        let rules = routing::wanted(&package);
        routing::change(&self.rules, &rules);
        self.rules = rules;
        self.publish();
    }

    fn change_devices(&mut self, wanted: BTreeMap<String, Device>) {
        for (name, before) in &self.devices {
            let stays = wanted.get(name).is_some_and(|now| now.follows(before));
            if before.is_made() && !stays {
                delete(name);
            }
        }
        // A VLAN's device is on another one.
        let (bases, rest): (Vec<_>, Vec<_>) = wanted
            .iter()
            .partition(|(_, device)| !matches!(device.kind, device::Kind::Vlan { .. }));
        for (name, device) in bases.into_iter().chain(rest) {
            if self.devices.get(name) != Some(device) || !exists(name) {
                device.ensure(name);
            }
        }
        self.devices = wanted;
    }

    fn change_interface(&mut self, section: &Section, package: &Package) {
        let peers = peers(package, section);
        let name = &section.name;
        let Some(known) = self.interfaces.get_mut(name) else {
            let interface = Interface::new(section.clone(), peers);
            self.interfaces.insert(name.clone(), interface);
            self.try_up(name);
            return;
        };
        let is_wireguard =
            known.proto() == "wireguard" && section.one("proto") == Some("wireguard");
        let changed = match is_wireguard {
            true => NOTICED
                .iter()
                .any(|option| known.section.list(option) != section.list(option)),
            false => known.section != *section || known.peers != peers,
        };
        // Down as it was, and up as it is.
        if changed {
            known.down();
            *known = Interface::new(section.clone(), peers);
            self.try_up(name);
        } else {
            known.section = section.clone();
            known.peers = peers;
        }
    }

    fn try_up(&mut self, name: &str) {
        let Some(interface) = self.interfaces.get_mut(name) else {
            return;
        };
        if interface.wanted {
            // A card that was plugged in later is set up as any other when it is used.
            if let Some(device) = self.devices.get(interface.device())
                && !device.is_made()
            {
                device.ensure(interface.device());
            }
            interface.up();
            if interface.is_up() {
                self.came_up.push(name.to_owned());
            }
        }
        self.publish();
    }

    /// As `ifup`: the peers are read anew, the rest is as it was last loaded.
    pub fn up(&mut self, name: &str) {
        if let Some(interface) = self.interfaces.get_mut(name) {
            interface.wanted = true;
            if !interface.is_up() {
                self.try_up(name);
            }
        }
    }

    pub fn down(&mut self, name: &str) {
        if let Some(interface) = self.interfaces.get_mut(name) {
            interface.wanted = false;
            interface.down();
        }
        self.publish();
    }

    pub fn up_all(&mut self) {
        let names: Vec<String> = self.interfaces.keys().cloned().collect();
        for name in names {
            self.up(&name);
        }
    }

    pub fn down_all(&mut self) {
        let names: Vec<String> = self.interfaces.keys().cloned().collect();
        for name in names {
            self.down(&name);
        }
    }

    /// In 25.12, a WireGuard interface takes the peers of the file. In 24.10 nothing happens.
    pub fn renew(&mut self, name: &str) {
        let old = procd::release().starts_with("24.");
        let Some(package) = config::read("network").filter(|_| !old) else {
            return;
        };
        if let Some(interface) = self.interfaces.get_mut(name)
            && interface.proto() == "wireguard"
            && interface.is_up()
        {
            interface.peers = peers(&package, &interface.section);
            wireguard::renew(&interface.section, &interface.peers);
            interface.route();
        }
    }

    /// Notices devices that have come and gone, tries again what is pending, and tells who wants to know.
    pub fn tick(&mut self) {
        for (name, device) in &self.devices {
            device.adopt(name);
        }
        let names: Vec<String> = self.interfaces.keys().cloned().collect();
        for name in names {
            self.look_at(&name);
        }
        if !self.came_up.is_empty() && Path::new("/tmp/booted").exists() {
            hotplug::came_up(&std::mem::take(&mut self.came_up));
        }
    }

    fn look_at(&mut self, name: &str) {
        let Some(interface) = self.interfaces.get_mut(name) else {
            return;
        };
        let again = match &interface.phase {
            Phase::Down {
                error: Some("NO_DEVICE"),
            } => exists(interface.device()),
            Phase::Pending { since } => since.elapsed() > AGAIN,
            Phase::Down { .. } => false,
            Phase::Up { device, .. } => {
                if !device.is_empty() && !exists(device) {
                    interface.down();
                    interface.phase = Phase::Down {
                        error: Some("NO_DEVICE"),
                    };
                    self.publish();
                }
                false
            }
        };
        if again {
            self.try_up(name);
        }
    }

    fn publish(&self) {
        let statuses = self.interfaces.iter();
        let statuses = statuses.map(|(name, one)| (name.clone(), one.status()));
        *self.published.lock().expect("nobody panics with it") = statuses.collect();
    }
}

fn sections<'a>(package: &'a Package, kind: &'a str) -> impl Iterator<Item = &'a Section> {
    let sections = package.sections.iter();
    sections.filter(move |section| section.kind == kind)
}

fn is_interface(package: &Package, name: &str) -> bool {
    sections(package, "interface").any(|section| section.name == name)
}

/// The sections that are about an interface.
fn peers(package: &Package, interface: &Section) -> Vec<Section> {
    let kind = format!("wireguard_{}", interface.name);
    let sections = package.sections.iter();
    let about = sections.filter(|section| {
        section.kind == kind
            || section.kind == "vxlan_peer" && section.one("vxlan") == Some(&interface.name)
    });
    about.cloned().collect()
}
