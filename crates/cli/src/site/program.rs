//! The programs of a site: where they are, and how each is started.

use std::ffi::OsString;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rhyzome_model::Name;
use rhyzome_model::component::ComponentKind;

use super::Error;
use super::layout::Layout;

/// The folder with the site's programs.
#[derive(Clone, Debug)]
pub struct Programs {
    folder: PathBuf,
    own: PathBuf,
}

/// A program that is kept running.
#[derive(Clone, Debug)]
pub struct Service {
    /// As its log file is called.
    pub name: &'static str,
    pub program: PathBuf,
    pub arguments: Vec<OsString>,
    pub log: PathBuf,
}

/// The service with all simulated hosts.
pub const SIMULATED: &str = "simulated";

/// A component of the site, by the name that it has at the core.
#[derive(Clone, Debug)]
pub struct Member {
    pub name: Name,
    pub kind: ComponentKind,
    /// The service whose process it is in.
    pub service: &'static str,
    /// Its state; the identity is in there.
    pub state: PathBuf,
}

impl Programs {
    /// Those in a folder; by default the one that this program itself is in.
    pub fn find(folder: Option<PathBuf>) -> Result<Self, Error> {
        let own = std::env::current_exe().map_err(|source| Error::OwnPath { source })?;
        let beside = own.parent().map(Path::to_owned).unwrap_or_default();
        let folder = match folder {
            Some(folder) => std::path::absolute(&folder).map_err(Error::file(&folder))?,
            None => beside,
        };
        Ok(Self { folder, own })
    }

    /// The path of a program that is there.
    pub fn path(&self, program: &'static str) -> Result<PathBuf, Error> {
        let path = self.folder.join(program);
        let executable = path
            .metadata()
            .is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0);
        match executable {
            true => Ok(path),
            false => Err(Error::NoProgram {
                program,
                folder: self.folder.clone(),
            }),
        }
    }

    pub fn own(&self) -> &Path {
        &self.own
    }

    pub fn core(&self, layout: &Layout) -> Result<Service, Error> {
        Ok(Service {
            name: "api",
            program: self.path("rhyzome-api")?,
            arguments: vec!["--config".into(), layout.config("api").into()],
            log: layout.log("api"),
        })
    }

    pub fn component(&self, layout: &Layout, kind: ComponentKind) -> Result<Service, Error> {
        let name = service_of(kind);
        let program = match kind {
            ComponentKind::Libvirt => "rhyzome-libvirt",
            ComponentKind::Linux => "rhyzome-linux",
            ComponentKind::Openwrt => "rhyzome-openwrt",
        };
        Ok(Service {
            name,
            program: self.path(program)?,
            arguments: vec!["--config".into(), layout.config(name).into(), "run".into()],
            log: layout.log(name),
        })
    }

    /// All simulated hosts are one process.
    pub fn simulated(&self, layout: &Layout) -> Service {
        Service {
            name: SIMULATED,
            program: self.own.clone(),
            arguments: vec!["simulate".into(), layout.simulated().into()],
            log: layout.log(SIMULATED),
        }
    }
}

/// What the service of a real component is called.
pub fn service_of(kind: ComponentKind) -> &'static str {
    match kind {
        ComponentKind::Libvirt => "libvirt",
        ComponentKind::Linux => "linux",
        ComponentKind::Openwrt => "openwrt",
    }
}
