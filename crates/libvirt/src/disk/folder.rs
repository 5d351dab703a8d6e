//! A disk as a file in the instance's own folder, where there is no storage pool.
//!
//! Made aside and renamed, so it is there whole or not at all.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use rhyzome_component::room::{self, unwritten};
use rhyzome_component::{DriverError, Progress};
use rhyzome_model::Size;

use super::program::{NO_ROOM, QEMU_IMG, text};
use super::{Base, Kind, Place, Use, Volume, qcow2};
use crate::instances::from_disk;

/// An instance's folder.
pub struct Folder(pub PathBuf);

impl Folder {
    pub fn path(folder: &Path) -> PathBuf {
        folder.join("disk.qcow2")
    }
}

#[async_trait]
impl Place for Folder {
    fn name(&self) -> String {
        Self::path(&self.0).display().to_string()
    }

    async fn find(&self) -> Result<Option<Volume>, DriverError> {
        let path = Self::path(&self.0);
        if !path.exists() {
            return Ok(None);
        }
        let size = qcow2::size(&path)
            .map_err(|error| from_disk("the instance's disk could not be read", error))?;
        Ok(Some(Volume {
            path,
            kind: Kind::Overlay,
            size,
        }))
    }

    async fn make(&self, size: Size, base: Option<&Base>, _: &Progress) -> Result<(), DriverError> {
        let new = Self::path(&self.0).with_extension("new");
        let made = self.make_at(&new, size, base).await;
        made.map_err(|mut error| {
            let _ = fs::remove_file(&new);
            if error.message.contains(NO_ROOM) {
                error.message += &format!("; {}", room::told(&self.0));
            }
            error
        })
    }

    async fn grow(&self, size: Size, by: Use) -> Result<(), DriverError> {
        match by {
            Use::Guest => Ok(()),
            Use::Nobody => {
                let (path, bytes) = (Self::path(&self.0), size.as_bytes().to_string());
                let arguments = ["resize", "-q", "-f", "qcow2", text(&path)?, &bytes];
                QEMU_IMG.run(&arguments).await
            }
        }
    }

    async fn remove(&self) -> Result<(), DriverError> {
        match fs::remove_file(Self::path(&self.0)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(from_disk("the instance's disk could not be removed", error))
            }
            _ => Ok(()),
        }
    }
}

impl Folder {
    /// Makes it under another name, and gives it its own when it is whole.
    async fn make_at(
        &self,
        new: &Path,
        size: Size,
        base: Option<&Base>,
    ) -> Result<(), DriverError> {
        let failed = |error| {
            let what = "the instance's disk could not be made";
            unwritten(what, &self.0, error)
        };
        match fs::remove_file(new) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
            _ => {}
        }
        let bytes = size.as_bytes().to_string();
        let mut arguments = vec!["create", "-q", "-f", "qcow2"];
        if let Some(base) = base {
            arguments.extend(["-F", base.layout.as_str(), "-b", text(&base.path)?]);
        }
        arguments.extend([text(new)?, &bytes]);
        QEMU_IMG.run(&arguments).await?;
        // libvirt gives it to QEMU's user for as long as the guest runs.
        fs::set_permissions(new, fs::Permissions::from_mode(0o600)).map_err(failed)?;
        File::open(new)
            .and_then(|file| file.sync_all())
            .map_err(failed)?;
        fs::rename(new, Self::path(&self.0)).map_err(failed)?;
        File::open(&self.0)
            .and_then(|folder| folder.sync_all())
            .map_err(failed)
    }
}
