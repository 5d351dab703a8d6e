//! Instances' disks: where they are kept, made from the image that is cached and shared by all, and
//! grown.
//!
//! What is there is never made again: it has the only copy of what the guest wrote. It grows and never
//! shrinks. A disk stays where it was made, whatever the settings say later: they are about new ones.

mod device;
mod folder;
mod note;
mod pool;
mod program;
mod qcow2;
pub mod seed;

use std::path::{Path, PathBuf};

use async_trait::async_trait;
use rhyzome_component::{DriverError, Progress};
use rhyzome_hostnet::Mark;
use rhyzome_model::image::DiskLayout;
use rhyzome_model::{InstanceId, Size};
use tokio::sync::Mutex;

use crate::hypervisor::{Hypervisor, HypervisorError};
use crate::instances::from_disk;
use folder::Folder;
use note::{Note, State};
use pool::Pool;

pub use pool::KINDS;

/// An image that a disk begins as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Base {
    pub path: PathBuf,
    pub layout: DiskLayout,
}

/// An instance's disk, as it is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Volume {
    pub path: PathBuf,
    pub kind: Kind,
    pub size: Size,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A qcow2 file above the image, which has to stay.
    Overlay,
    /// A block device, to which the image was copied.
    Device,
}

/// Who has a disk open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    Nobody,
    /// QEMU, which is told of the new size afterwards, and sees to the files that it has open.
    Guest,
}

/// Where one instance's disk is, or would be.
///
/// Whatever a kill leaves of [`make`](Place::make) is not found by [`find`](Place::find), and goes with
/// the next try or with [`remove`](Place::remove).
#[async_trait]
trait Place: Send + Sync {
    /// Where that is, in words.
    fn name(&self) -> String;

    async fn find(&self) -> Result<Option<Volume>, DriverError>;

    /// Makes a disk of at least a size, which begins as the base and goes on with zeros.
    async fn make(
        &self,
        size: Size,
        base: Option<&Base>,
        progress: &Progress,
    ) -> Result<(), DriverError>;

    /// Makes room for a disk to be of a size, with zeros behind what it had. Without anybody who has it
    /// open, it is of that size then.
    async fn grow(&self, size: Size, by: Use) -> Result<(), DriverError>;

    /// Fine where there is nothing.
    async fn remove(&self) -> Result<(), DriverError>;
}

/// The disks of a component.
pub struct Disks {
    hypervisor: Hypervisor,
    mark: Mark,
    /// The storage pool for new ones; without one they are in the instances' folders.
    pool: Option<String>,
    busy: Mutex<()>,
}

impl Disks {
    pub fn new(hypervisor: Hypervisor, mark: Mark, pool: Option<String>) -> Self {
        Self {
            hypervisor,
            mark,
            pool,
            busy: Mutex::default(),
        }
    }

    /// Where the disk of an instance is, or would be made now.
    async fn place<'a>(
        &'a self,
        id: InstanceId,
        folder: &'a Path,
    ) -> Result<Box<dyn Place + 'a>, DriverError> {
        let note = read_note(folder)?;
        let pool = match (note, &self.pool) {
            // Where nothing is there yet, the settings count.
            (Some(note), Some(now)) if note.state == State::Making && note.pool != *now => {
                let old = self.pool(note.pool, id, folder).await?;
                old.remove().await?;
                Some(now.clone())
            }
            (Some(note), _) => Some(note.pool),
            (None, _) if Folder::path(folder).exists() => None,
            (None, now) => now.clone(),
        };
        Ok(match pool {
            Some(name) => Box::new(self.pool(name, id, folder).await?),
            None => Box::new(Folder(folder.to_owned())),
        })
    }

    async fn pool<'a>(
        &'a self,
        name: String,
        id: InstanceId,
        folder: &'a Path,
    ) -> Result<Pool<'a>, DriverError> {
        let about = (self.mark, id, folder);
        Pool::open(&self.hypervisor, &self.busy, name, about).await
    }

    /// Makes a disk where there is none yet, and lets it grow to its size; not while a guest has it.
    /// `had` says whether the instance was started before, and so had one.
    ///
    /// # Errors
    /// *permanent* where a disk with a guest's data is gone.
    pub async fn ensure(
        &self,
        (id, folder): (InstanceId, &Path),
        (size, base): (Size, Option<&Base>),
        had: bool,
        progress: &Progress,
    ) -> Result<Volume, DriverError> {
        let place = self.place(id, folder).await?;
        match place.find().await? {
            Some(volume) if volume.size >= size => return Ok(volume),
            Some(_) => place.grow(size, Use::Nobody).await?,
            None if had => {
                let text = format!(
                    "the instance's disk, {}, is gone: bring it back, or delete the instance",
                    place.name()
                );
                return Err(DriverError::permanent(text));
            }
            None => place.make(size, base, progress).await?,
        }
        let made = place.find().await?;
        made.ok_or_else(|| DriverError::transient("the instance's disk was not made"))
    }

    /// Notes where the disk of a running guest is, where that note was lost: its next start may be with other
    /// settings.
    pub async fn remember(&self, id: InstanceId, folder: &Path) -> Result<(), DriverError> {
        if self.pool.is_none() || read_note(folder)?.is_some() {
            return Ok(());
        }
        self.place(id, folder).await?.find().await.map(drop)
    }

    /// Makes room for the disk of a running guest to grow, before QEMU is told.
    pub async fn make_room(
        &self,
        id: InstanceId,
        folder: &Path,
        size: Size,
    ) -> Result<(), DriverError> {
        let place = self.place(id, folder).await?;
        place.grow(size, Use::Guest).await
    }

    /// Removes what there is of an instance's disk, whether or not anything was written down.
    pub async fn remove(&self, id: InstanceId, folder: &Path) -> Result<(), DriverError> {
        self.place(id, folder).await?.remove().await
    }

    /// Removes an instance's disk that is written down to be in a pool.
    pub async fn remove_noted(&self, id: InstanceId, folder: &Path) -> Result<(), DriverError> {
        match read_note(folder)? {
            Some(note) => self.pool(note.pool, id, folder).await?.remove().await,
            None => Ok(()),
        }
    }

    /// What stands in the way of new disks, or how they are kept, in a few words.
    ///
    /// # Errors
    /// libvirt's own.
    pub async fn look(&self) -> Result<Result<String, String>, HypervisorError> {
        let Some(name) = &self.pool else {
            return Ok(Ok("files, in the component's state directory".to_owned()));
        };
        let seen = self.hypervisor.pool(name.clone()).await?;
        Ok(match (pool::objection(name, seen.as_ref()), seen) {
            (None, Some(seen)) => Ok(format!(
                "the pool {name} ({}), {} of {} free",
                seen.kind,
                whole(seen.available),
                whole(seen.capacity)
            )),
            (why, _) => Err(why.unwrap_or_else(|| pool::missing(name))),
        })
    }

    /// Volumes of this component's in its pool that are no known instance's.
    ///
    /// # Errors
    /// libvirt's own.
    pub async fn leftovers(&self, known: &[InstanceId]) -> Result<Vec<String>, HypervisorError> {
        let Some(name) = &self.pool else {
            return Ok(Vec::new());
        };
        let _one = self.busy.lock().await;
        let mut volumes = self.hypervisor.volumes(name.clone()).await?;
        volumes.retain(|volume| {
            pool::instance_of(self.mark, volume).is_some_and(|id| !known.contains(&id))
        });
        Ok(volumes)
    }
}

/// In whole MiB, which are shown with a large unit.
fn whole(size: Size) -> Size {
    Size::mib(size.as_bytes() >> 20)
}

fn read_note(folder: &Path) -> Result<Option<Note>, DriverError> {
    Note::read(folder).map_err(|error| {
        from_disk(
            "the note about the instance's disk could not be read",
            error,
        )
    })
}

#[cfg(test)]
mod tests;
