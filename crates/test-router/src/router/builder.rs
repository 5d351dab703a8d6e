//! What a router is to be, before it starts.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use super::{Neighbour, Nic, Router, image};
use crate::Release;
use crate::configuration::FILES;

/// A router that is to be started.
#[derive(Debug, Clone)]
pub struct Builder {
    release: Release,
    rpcd: bool,
    nics: usize,
    files: BTreeMap<String, String>,
}

impl Default for Builder {
    fn default() -> Self {
        let files =
            FILES.map(|(package, text)| (format!("/etc/config/{package}"), text.to_owned()));
        Self {
            release: Release::V24_10,
            rpcd: true,
            nics: 3,
            files: files.into(),
        }
    }
}

impl Builder {
    pub fn release(mut self, release: Release) -> Self {
        self.release = release;
        self
    }

    /// Whether the image has rpcd.
    pub fn rpcd(mut self, there: bool) -> Self {
        self.rpcd = there;
        self
    }

    /// How many network cards it has. The first is the LAN's, the second the uplink's.
    pub fn nics(mut self, count: usize) -> Self {
        self.nics = count;
        self
    }

    /// The text of a file of `/etc/config`, instead of the one that it comes with.
    pub fn config(self, package: &str, text: &str) -> Self {
        self.file(&format!("/etc/config/{package}"), text)
    }

    /// Another file.
    pub fn file(mut self, path: &str, text: &str) -> Self {
        self.files.insert(path.to_owned(), text.to_owned());
        self
    }

    /// Writes its image to a file instead of starting it: an ext4 file system without partitions, for a virtual machine
    /// with a kernel of somebody else's, whose `init` is `/sbin/init`. It says `procd: - init complete -` on the console
    /// when all its init scripts have run. Interfaces whose protocol is `dhcp` ask for an address once.
    pub fn write_image(&self, path: &Path, mebibytes: u64) {
        let mut files = self.files.clone();
        files.insert("/etc/openwrt_release".to_owned(), self.release.text());
        image::make(path, mebibytes, &files, self.rpcd);
    }

    /// Starts it, and waits until its init scripts have run. What netifd does for them may not be done yet.
    pub fn start(self) -> Router {
        let folder = tempfile::tempdir().expect("there is room for temporary files");
        for name in ["root", "faults"] {
            fs::create_dir(folder.path().join(name)).expect("the folder is new");
        }
        self.write_image(&folder.path().join("image"), image::SIZE);
        let nics = (0..self.nics).map(|number| Nic {
            mac: format!("52:54:00:aa:00:{number:02x}"),
            wire: Neighbour::new(),
        });
        let nics = nics.collect();
        Router::boot(folder, nics)
    }
}
