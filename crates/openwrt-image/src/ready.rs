//! What is refused beforehand, and what is written.

use std::path::{Path, PathBuf};

use crate::agent;
use rhyzome_model::segment::Segmentation;

use crate::configuration::{Settings, network};
use crate::disk::Table;
use crate::draft::Draft;
use crate::files::Entry;
use crate::filesystem::FileSystem;
use crate::found::{Found, Installed, OPKG_STATUS};
use crate::needs::missing;
use crate::open::Opened;
use crate::package::{Package, PackageError, enabled, status_with};
use crate::service::service;
use crate::{Error, Watch};

/// The architecture of the program, as OpenWrt calls it, and of packages that are for all.
const ARCHITECTURE: &str = "x86_64";
const ANY: [&str; 2] = ["all", "noarch"];

/// What an image gets and a router that one has already does not.
const CARDS: &str = include_str!("../files/rhyzome-nics.init");
const FIRST_START: &str = include_str!("../files/rhyzome.uci-defaults");

/// What an image is to become.
#[derive(Clone, Debug)]
pub struct Wanted<'a> {
    /// The component's program.
    pub agent: &'a Path,
    /// Packages that the image lacks.
    pub packages: &'a [PathBuf],
    pub segmentation: Segmentation,
    /// Whether an image that is prepared already is prepared again.
    pub again: bool,
}

/// An image that nothing stands in the way of.
#[derive(Debug)]
pub struct Ready {
    opened: Opened,
    agent: Vec<u8>,
    packages: Vec<Package>,
    segmentation: Segmentation,
}

/// A copy that is prepared, and what there is to say of it.
#[derive(Debug)]
pub struct Done {
    pub draft: Draft,
    pub found: Found,
    pub table: Table,
    /// Packages that have been put in, with their versions.
    pub packages: Vec<(String, String)>,
    /// Those of them with a script of their own that would run when they are installed, and has not.
    pub scripted: Vec<String>,
}

impl Opened {
    /// Refuses what cannot become a router of ours.
    ///
    /// # Errors
    /// It is prepared already, something is missing, or a package or the program is not for it.
    pub fn ready(self, wanted: &Wanted<'_>) -> Result<Ready, Error> {
        if self.found.prepared && !wanted.again {
            return Err(Error::Prepared);
        }
        let architecture = &self.found.release.architecture;
        if !architecture.is_empty() && architecture != ARCHITECTURE {
            return Err(Error::Architecture {
                image: architecture.clone(),
            });
        }
        let agent = agent::read(wanted.agent)?;
        let mut packages: Vec<Package> = Vec::new();
        for path in wanted.packages {
            let package = Package::read(path)?;
            let fits = fits(&package, &self.found, &packages);
            let fits = fits.map_err(|source| Error::Package {
                path: path.clone(),
                source,
            })?;
            if fits {
                packages.push(package);
            }
        }
        let missing = missing(&self.found, &packages, wanted.segmentation);
        if !missing.is_empty() {
            return Err(Error::Missing {
                missing,
                version: self.found.release.version.clone(),
                apk: self.found.installed == Installed::Apk,
            });
        }
        Ok(Ready {
            opened: self,
            agent,
            packages,
            segmentation: wanted.segmentation,
        })
    }
}

/// Whether a package is to be installed: not, where the very same one is there.
fn fits(package: &Package, found: &Found, before: &[Package]) -> Result<bool, PackageError> {
    let installed = match &found.installed {
        Installed::Opkg { all, .. } => all,
        Installed::Apk => return Err(PackageError::NotOpkg),
        Installed::Unknown => return Err(PackageError::NoStatus),
    };
    let architecture = package.control.get("Architecture").unwrap_or_default();
    let image = &found.release.architecture;
    if architecture != image && !ANY.contains(&architecture) {
        return Err(PackageError::Architecture {
            package: architecture.to_owned(),
            image: image.clone(),
        });
    }
    if before.iter().any(|other| other.name() == package.name()) {
        return Err(PackageError::Twice(package.name().to_owned()));
    }
    let version = |name: &str| {
        let found = installed
            .iter()
            .find(|control| control.get("Package") == Some(name));
        found.and_then(|control| control.get("Version"))
    };
    let wishes = package
        .control
        .needs()
        .into_iter()
        .flat_map(|need| need.any);
    for wish in wishes.filter(|wish| wish.name == "kernel") {
        if let (Some(wanted), Some(there)) = (wish.exactly, version("kernel"))
            && wanted != there
        {
            return Err(PackageError::Kernel {
                package: wanted,
                image: there.to_owned(),
            });
        }
    }
    match version(package.name()) {
        Some(there) if there == package.version() => Ok(false),
        Some(there) => Err(PackageError::Another {
            name: package.name().to_owned(),
            version: package.version().to_owned(),
            installed: there.to_owned(),
        }),
        None => Ok(true),
    }
}

impl Ready {
    pub fn found(&self) -> &Found {
        &self.opened.found
    }

    pub fn segmentation(&self) -> Segmentation {
        self.segmentation
    }

    /// Writes all of it, reads it back and checks the file system.
    ///
    /// # Errors
    /// There is no room, or what is there afterwards is not what was written.
    pub fn write(self, settings: &Settings, watch: Watch<'_>) -> Result<Done, Error> {
        watch.step("writing into its file system")?;
        let Opened {
            draft,
            tools,
            table,
            root,
            found,
        } = self.opened;
        let mut entries = ours(self.agent, settings, &found);
        for package in &self.packages {
            entries.extend(package.entries.iter().cloned());
            entries.extend(package.records());
            entries.extend(enabled(package));
        }
        if let Installed::Opkg { status, .. } = &found.installed
            && !self.packages.is_empty()
        {
            let status = status_with(status, &self.packages);
            entries.push(Entry::file(OPKG_STATUS, 0o644, status));
        }
        FileSystem::new(&tools, &draft.file, &root)?.write(&entries)?;
        watch.go_on()?;
        let names = |package: &Package| (package.name().to_owned(), package.version().to_owned());
        let scripted = self
            .packages
            .iter()
            .filter(|package| package.has_own_script());
        Ok(Done {
            draft,
            found,
            table,
            packages: self.packages.iter().map(names).collect(),
            scripted: scripted.map(|package| package.name().to_owned()).collect(),
        })
    }
}

/// What is ours in a router that is made of an image.
fn ours(agent: Vec<u8>, settings: &Settings, found: &Found) -> Vec<Entry> {
    let before = found.network.as_ref();
    let network = network(before, &settings.uplink, settings.segmentation);
    let mut entries = service(agent, settings);
    entries.extend([
        Entry::file("/etc/init.d/rhyzome-nics", 0o755, CARDS),
        Entry::link("/etc/rc.d/S15rhyzome-nics", "../init.d/rhyzome-nics"),
        Entry::file("/etc/uci-defaults/95-rhyzome", 0o755, FIRST_START),
        Entry::file("/etc/config/network", 0o644, network.text()),
    ]);
    entries
}
