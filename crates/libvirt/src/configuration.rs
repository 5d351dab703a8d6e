//! The configuration of `rhyzome-libvirt`, as its file, its environment and its flags have it.

use std::collections::BTreeMap;
use std::net::IpAddr;

use rhyzome_component::program::ComponentSettings;
use rhyzome_hostnet::underlay::{self, End};
use rhyzome_model::{Name, Size};
use rhyzome_settings::{Complaint, PathKind};
use serde::{Deserialize, Serialize};

use crate::accelerator::Wanted;
use crate::settings::{Libvirt, Settings};

/// How long the path of the state may be with an embedded libvirt: QEMU's sockets are below it, and the
/// kernel allows their paths 107 bytes (unix(7)).
const LONGEST_STATE: usize = 40;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Configuration {
    pub component: ComponentSettings,
    /// A libvirt on this machine to connect to, as `qemu:///system`; by default one inside this process,
    /// which needs no daemon.
    pub uri: Option<String>,
    /// `auto`: KVM where guests can run on it. `kvm` or `qemu`: that one.
    pub accelerator: Wanted,
    /// Processors that instances may have in sum; by default those of the host.
    pub cpus: Option<u32>,
    /// Memory that instances may have in sum; by default that of the host less a tenth.
    pub memory: Option<Size>,
    /// How much images that no instance uses may take before the oldest are removed.
    pub image_cache: Size,
    /// The storage pool of `uri`'s that instances' disks are made in, by its name; by default they are
    /// files in the state directory.
    pub storage_pool: Option<String>,
    /// Where the tunnels of networks that span hosts end: an address of this host that the others reach.
    /// By default the one by which it reaches the core.
    pub tunnel_address: Option<IpAddr>,
    /// Bridges of this host's own that operators may put instances on, such as routers: a table with a name
    /// for each and the bridge's device, as `uplink = "br0"`. Nothing that passes there is filtered.
    pub bridges: BTreeMap<Name, String>,
}

impl Default for Configuration {
    fn default() -> Self {
        let component = ComponentSettings::new("libvirt");
        let defaults = Settings::new(&component.state_dir);
        Self {
            component,
            uri: None,
            accelerator: defaults.accelerator,
            cpus: None,
            memory: None,
            image_cache: defaults.image_cache,
            storage_pool: None,
            tunnel_address: None,
            bridges: BTreeMap::new(),
        }
    }
}

impl Configuration {
    /// What the driver is told.
    pub fn driver(&self) -> Settings {
        Settings {
            state: self.component.state_dir.clone(),
            libvirt: self.uri.clone().map_or(Libvirt::Embedded, Libvirt::Uri),
            accelerator: self.accelerator,
            cpus: self.cpus,
            memory: self.memory,
            image_cache: self.image_cache,
            pool: self.storage_pool.clone(),
            tunnel: self.tunnel_address.map_or(End::Nowhere, End::Given),
            bridges: self.bridges.clone(),
        }
    }
}

impl rhyzome_settings::Settings for Configuration {
    const PATHS: &'static [(&'static str, PathKind)] =
        &[("component.state_dir", PathKind::WritableFolder)];
    const MEANT: &'static [(&'static str, &'static str)] = &[
        ("state_dir", "component.state_dir"),
        ("core", "component.core"),
        ("libvirt", "uri"),
        ("pool", "storage_pool"),
    ];

    fn check(&self) -> Vec<Complaint> {
        let mut complaints = Vec::new();
        let mut complain = |key, reason: String| complaints.push(Complaint { key, reason });
        let state = self.component.state_dir.to_string_lossy();
        if state.contains(|c: char| c == ' ' || c == ',' || c.is_control()) {
            let reason =
                "it has a space or a comma, which guests cannot be given in the path of a kernel";
            complain("component.state_dir", reason.to_owned());
        }
        if self.uri.is_none() && state.len() > LONGEST_STATE {
            let reason = format!(
                "it has {} bytes, and {LONGEST_STATE} are possible: the sockets of QEMU are below it",
                state.len()
            );
            complain("component.state_dir", reason);
        }
        if self
            .uri
            .as_ref()
            .is_some_and(|uri| !uri.starts_with("qemu:///") || uri.contains("embed"))
        {
            let reason = "it has to be QEMU on this machine, as qemu:///system; leave it out for an embedded one";
            complain("uri", reason.to_owned());
        }
        if let Some(why) = self.tunnel_address.and_then(underlay::unsuitable) {
            complain("tunnel_address", why);
        }
        if self.storage_pool.is_some() && self.uri.is_none() {
            let reason = "an embedded libvirt has no storage pools: set uri to qemu:///system, or leave this out";
            complain("storage_pool", reason.to_owned());
        }
        if self
            .storage_pool
            .as_ref()
            .is_some_and(|name| name.trim().is_empty() || name.contains('\0'))
        {
            complain("storage_pool", "it is no name".to_owned());
        }
        for device in self.bridges.values() {
            if !is_device(device) {
                let reason = format!(
                    "{device:?} is no name of a device: 1 to 15 bytes without / and spaces"
                );
                complain("bridges", reason);
            }
        }
        if self.cpus == Some(0) {
            complain("cpus", "no instance could be placed here with 0".to_owned());
        }
        complaints
    }
}

/// Whether a network device can have the name (the kernel's `dev_valid_name`).
fn is_device(name: &str) -> bool {
    let odd = |c: char| c == '/' || c == ':' || c.is_whitespace() || c.is_control();
    !matches!(name, "" | "." | "..") && name.len() <= 15 && !name.contains(odd)
}

#[cfg(test)]
mod tests {
    use rhyzome_settings::Settings as _;

    use super::*;

    fn check(change: impl FnOnce(&mut Configuration), expect: &[&str]) {
        let mut configuration = Configuration::default();
        change(&mut configuration);
        let keys: Vec<&str> = configuration
            .check()
            .iter()
            .map(|complaint| complaint.key)
            .collect();
        assert_eq!(keys, expect);
    }

    #[test]
    fn a_configuration_that_could_not_work_is_complained_of() {
        check(|_| {}, &[]);
        check(|c| c.uri = Some("qemu:///system".to_owned()), &[]);
        check(
            |c| c.uri = Some("qemu+ssh://host/system".to_owned()),
            &["uri"],
        );
        check(
            |c| c.component.state_dir = "/srv/my state".into(),
            &["component.state_dir"],
        );
        check(
            |c| c.component.state_dir = format!("/{}", "x".repeat(60)).into(),
            &["component.state_dir"],
        );
        check(|c| c.cpus = Some(0), &["cpus"]);
        let pool = Some("vg0".to_owned());
        check(|c| c.storage_pool = pool.clone(), &["storage_pool"]);
        let system = Some("qemu:///system".to_owned());
        let both = |c: &mut Configuration| (c.uri, c.storage_pool) = (system, pool.clone());
        check(both, &[]);
        let loopback = Some(IpAddr::from([127, 0, 0, 1]));
        check(|c| c.tunnel_address = loopback, &["tunnel_address"]);
    }

    #[test]
    fn no_default_is_somebodys_server_and_no_two_keys_share_a_variable() {
        assert_eq!(rhyzome_settings::audit::<Configuration>(), []);
    }

    #[test]
    fn every_key_is_explained_with_its_default() {
        let page = include_str!("../../../docs/configuration.md");
        let findings = rhyzome_settings::audit_page::<Configuration>("rhyzome-libvirt", page);
        assert_eq!(findings, []);
    }
}
