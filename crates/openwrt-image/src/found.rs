//! What is in an image's root, as far as it matters here.

use std::collections::BTreeSet;

use rhyzome_uci::Package as Uci;

use crate::Error;
use crate::filesystem::FileSystem;
use crate::package::control::{Control, paragraphs};
use crate::release::Release;

/// Where opkg, which OpenWrt has up to 24.10, says what is installed.
pub(crate) const OPKG_STATUS: &str = "/usr/lib/opkg/status";
/// Where apk says it, which later ones have.
const APK_INSTALLED: &str = "/lib/apk/db/installed";

/// Folders that are looked into.
const FOLDERS: [&str; 4] = ["/usr/bin", "/usr/sbin", "/sbin", "/lib/netifd/proto"];

/// How the image keeps its packages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Installed {
    /// The file, and the packages in it.
    Opkg {
        status: String,
        all: Vec<Control>,
    },
    Apk,
    /// Neither is known to it.
    Unknown,
}

/// An image's root.
#[derive(Clone, Debug)]
pub struct Found {
    pub(crate) release: Release,
    /// Kernels by the folders of their modules; usually one.
    pub(crate) kernels: Vec<String>,
    /// Modules by name that there are, as files or in the kernel itself.
    pub(crate) modules: BTreeSet<String>,
    /// Whether any list says what is in the kernel itself.
    pub(crate) knows_builtin: bool,
    /// Paths of what is in the folders that are looked into.
    pub(crate) files: BTreeSet<String>,
    pub(crate) installed: Installed,
    /// It has our configuration already.
    pub(crate) prepared: bool,
    /// The configuration of its networks, which official images do not have before their first start.
    pub(crate) network: Option<Uci>,
}

impl Found {
    /// As `24.10.4`; empty where the image does not say.
    pub fn version(&self) -> &str {
        &self.release.version
    }

    /// As `x86_64`.
    pub fn architecture(&self) -> &str {
        &self.release.architecture
    }

    /// As `6.6.110`; empty where there are no modules.
    pub fn kernel(&self) -> &str {
        self.kernels.first().map_or("", String::as_str)
    }

    /// # Errors
    /// It is no OpenWrt, or a file of it cannot be understood.
    pub(crate) fn look(fs: &FileSystem<'_>) -> Result<Self, Error> {
        let Some(release) = fs.read_text("/etc/openwrt_release")? else {
            return Err(Error::NotOpenWrt);
        };
        let config = fs.list("/etc/config")?.unwrap_or_default();
        let mut files = BTreeSet::new();
        for folder in FOLDERS {
            let items = fs.list(folder)?.unwrap_or_default();
            files.extend(items.keys().map(|name| format!("{folder}/{name}")));
        }
        let mut found = Self {
            release: Release::read(&release),
            kernels: Vec::new(),
            modules: BTreeSet::new(),
            knows_builtin: false,
            files,
            installed: installed(fs)?,
            prepared: config.contains_key("rhyzome"),
            network: None,
        };
        if let Some(text) = fs.read_text("/etc/config/network")? {
            found.network = Some(read_network(&text)?);
        }
        let kernels = fs.list("/lib/modules")?.unwrap_or_default();
        let kernels = kernels.into_iter().filter(|(_, item)| item.is_folder());
        for kernel in kernels
            .map(|(name, _)| name)
            .filter(|name| !name.starts_with('.'))
        {
            found.look_at_modules(fs, &kernel)?;
            found.kernels.push(kernel);
        }
        Ok(found)
    }

    /// OpenWrt has all modules of a kernel in one folder; others have a list of where they are.
    fn look_at_modules(&mut self, fs: &FileSystem<'_>, kernel: &str) -> Result<(), Error> {
        let folder = format!("/lib/modules/{kernel}");
        let items = fs.list(&folder)?.unwrap_or_default();
        self.modules
            .extend(items.keys().filter_map(|name| module(name)));
        for list in ["modules.dep", "modules.builtin"] {
            let Some(text) = fs.read_text(&format!("{folder}/{list}"))? else {
                continue;
            };
            self.knows_builtin |= list == "modules.builtin";
            let paths = text
                .lines()
                .map(|line| line.split(':').next().unwrap_or(line));
            self.modules.extend(paths.filter_map(module));
        }
        Ok(())
    }
}

/// The name of the module that a file is.
pub(crate) fn module(path: &str) -> Option<String> {
    let name = path.rsplit('/').next().unwrap_or(path);
    let bare = [".ko", ".ko.xz", ".ko.zst", ".ko.gz"];
    let bare = bare.iter().find_map(|ending| name.strip_suffix(ending))?;
    Some(bare.replace('-', "_"))
}

fn installed(fs: &FileSystem<'_>) -> Result<Installed, Error> {
    if let Some(status) = fs.read_text(OPKG_STATUS)? {
        let all = paragraphs(&status);
        return Ok(Installed::Opkg { status, all });
    }
    Ok(match fs.read(APK_INSTALLED)? {
        Some(_) => Installed::Apk,
        None => Installed::Unknown,
    })
}

fn read_network(text: &str) -> Result<Uci, Error> {
    let name = "network".parse().expect("it is a package's name");
    Uci::read(name, text).map_err(|source| Error::Network { source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_module_is_found_under_its_name_wherever_it_is() {
        let check = |path: &str, expect: Option<&str>| {
            assert_eq!(module(path).as_deref(), expect, "{path}");
        };
        check("wireguard.ko", Some("wireguard"));
        check("kernel/net/8021q/8021q.ko", Some("8021q"));
        check("kernel/drivers/net/vxlan/vxlan.ko.xz", Some("vxlan"));
        check("udp-tunnel.ko", Some("udp_tunnel"));
        check("modules.dep", None);
    }
}
