//! What an image has to have for the component to make networks, and what of it is missing.

use std::fmt;

use crate::found::{Found, Installed, module};
use crate::package::Package;
use rhyzome_model::segment::Segmentation;

/// A package that is missing, and what misses it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Missing {
    pub package: String,
    /// As in "… is missing, which X needs".
    pub why: String,
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.package, self.why)
    }
}

/// What has to be there, the package that has it, and what it is for.
enum Thing {
    Module(&'static str),
    File(&'static str),
}

type Need = (Thing, &'static str, &'static str);

const ALWAYS: [Need; 3] = [
    (
        Thing::Module("wireguard"),
        "kmod-wireguard",
        "members' tunnels",
    ),
    (
        Thing::File("/usr/bin/wg"),
        "wireguard-tools",
        "members' tunnels",
    ),
    (
        Thing::File("/lib/netifd/proto/wireguard.sh"),
        "wireguard-tools",
        "members' tunnels",
    ),
];

const VXLAN: [Need; 2] = [
    (Thing::Module("vxlan"), "kmod-vxlan", "segments by VXLAN"),
    (
        Thing::File("/lib/netifd/proto/vxlan.sh"),
        "vxlan",
        "segments by VXLAN",
    ),
];

const VLAN: [Need; 1] = [(Thing::Module("8021q"), "kmod-8021q", "segments by VLAN")];

/// All that is missing once the packages are there, by name.
pub(crate) fn missing(
    found: &Found,
    packages: &[Package],
    segmentation: Segmentation,
) -> Vec<Missing> {
    let more: &[Need] = match segmentation {
        Segmentation::Vxlan => &VXLAN,
        // Where nothing says what is in the kernel itself, it is in OpenWrt's.
        Segmentation::Vlan if found.knows_builtin => &VLAN,
        Segmentation::Vlan | Segmentation::Port => &[],
    };
    let mut missing: Vec<Missing> = ALWAYS
        .iter()
        .chain(more)
        .filter(|(thing, ..)| !is_there(thing, found, packages))
        .map(|(_, package, why)| Missing {
            package: (*package).to_owned(),
            why: format!("for {why}"),
        })
        .collect();
    missing.extend(
        packages
            .iter()
            .flat_map(|package| lacking(package, found, packages)),
    );
    missing.sort();
    missing.dedup_by(|a, b| a.package == b.package);
    missing
}

fn is_there(thing: &Thing, found: &Found, packages: &[Package]) -> bool {
    let mut given = packages.iter().flat_map(|package| &package.entries);
    match thing {
        Thing::File(path) => found.files.contains(*path) || given.any(|entry| entry.path == *path),
        Thing::Module(name) => {
            found.modules.contains(*name)
                || given.any(|entry| module(&entry.path).as_deref() == Some(*name))
        }
    }
}

/// What a package needs and neither the image nor another package has.
fn lacking(package: &Package, found: &Found, packages: &[Package]) -> Vec<Missing> {
    let installed = match &found.installed {
        Installed::Opkg { all, .. } => all.as_slice(),
        Installed::Apk | Installed::Unknown => &[],
    };
    let mut missing = Vec::new();
    for need in package.control.needs() {
        let mut there = installed
            .iter()
            .chain(packages.iter().map(|given| &given.control));
        if there.any(|control| need.any.iter().any(|wish| control.satisfies(wish))) {
            continue;
        }
        let names: Vec<&str> = need.any.iter().map(|wish| wish.name.as_str()).collect();
        missing.push(Missing {
            package: names.join(" or "),
            why: format!("{} needs it", package.name()),
        });
    }
    missing
}
