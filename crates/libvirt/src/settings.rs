//! What an operator can decide about a hypervisor.

use std::collections::BTreeMap;
use std::path::PathBuf;

use rhyzome_hostnet::Carrying;
use rhyzome_hostnet::Mark;
use rhyzome_hostnet::underlay::End;
use rhyzome_model::{Name, Size};

use crate::accelerator::Wanted;

/// Settings of the driver. All but the state directory have a default that works.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where records, images, consoles and, for an embedded libvirt, its own files are. QEMU's user
    /// has to be able to pass through all folders above, so nothing in it is open that is secret.
    pub state: PathBuf,
    /// Which libvirt.
    pub libvirt: Libvirt,
    pub accelerator: Wanted,
    /// Processors for instances in sum; by default all.
    pub cpus: Option<u32>,
    /// Memory for instances in sum; by default what the host has, less a reserve.
    pub memory: Option<Size>,
    /// How much unused images may take before the oldest are removed.
    pub image_cache: Size,
    /// The storage pool of libvirt's that new disks are made in; otherwise they are files in `state`.
    /// An embedded libvirt has none.
    pub pool: Option<String>,
    /// Where tunnels to other hosts end.
    pub tunnel: End,
    /// How networks are carried to and from other hosts.
    pub carrying: Carrying,
    /// Bridges of the host's own that instances can have interfaces on: the devices by what they are called.
    pub bridges: BTreeMap<Name, String>,
}

/// A libvirt to speak with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Libvirt {
    /// libvirt's QEMU driver inside this process, with its files under the state directory. Needs no
    /// daemon; guests outlive the process all the same.
    Embedded,
    /// A connection URI, as `qemu:///system`.
    Uri(String),
}

impl Settings {
    pub fn new(state: impl Into<PathBuf>) -> Self {
        Self {
            state: state.into(),
            libvirt: Libvirt::Embedded,
            accelerator: Wanted::Auto,
            cpus: None,
            memory: None,
            image_cache: Size::bytes(10 << 30),
            pool: None,
            tunnel: End::Nowhere,
            carrying: Carrying::default(),
            bridges: BTreeMap::new(),
        }
    }

    /// What all that this component makes on its host carries.
    pub fn mark(&self) -> Mark {
        Mark::of_state_dir(&self.state)
    }

    /// Where an embedded libvirt has its files.
    pub fn embed_root(&self) -> PathBuf {
        self.state.join("libvirt")
    }

    pub fn uri(&self) -> String {
        match &self.libvirt {
            Libvirt::Embedded => format!("qemu:///embed?root={}", self.embed_root().display()),
            Libvirt::Uri(uri) => uri.clone(),
        }
    }

    pub fn blobs(&self) -> PathBuf {
        self.state.join("images")
    }

    pub fn segments(&self) -> PathBuf {
        self.state.join("segments")
    }

    pub fn cards(&self) -> PathBuf {
        self.state.join("cards")
    }

    pub fn instances(&self) -> PathBuf {
        self.state.join("instances")
    }
}
