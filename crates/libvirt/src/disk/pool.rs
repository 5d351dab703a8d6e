//! A disk as a volume in a storage pool of libvirt's.
//!
//! In a pool of files it is a qcow2 file above the cached image, as it is without a pool. In LVM and ZFS
//! it is a device of its own, to which the image is copied: a qcow2 file in it would be a layer more, and
//! no such device can be above a file.

use std::path::{Path, PathBuf};
use std::time::Duration;

use async_trait::async_trait;
use quick_xml::Writer;
use quick_xml::events::BytesText;
use rhyzome_component::room::{rounded, unwritten};
use rhyzome_component::{DriverError, Progress};
use rhyzome_hostnet::Mark;
use rhyzome_model::{InstanceId, Size};
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::note::{Note, State};
use super::program::{LVEXTEND, NO_ROOM, ZFS, text};
use super::{Base, Kind, Place, Use, Volume, device, qcow2};
use crate::hypervisor::Hypervisor;
use crate::hypervisor::storage::{Capacity, Pool as Seen};
use crate::instances::{from_disk, from_libvirt};

/// How long somebody else may look at a device that was closed.
const LOOKED_AT: Duration = Duration::from_secs(5);

/// What kinds of pools there are for disks.
pub const KINDS: &str = "dir, fs, netfs, logical (LVM) and zfs";

/// How disks are kept in a pool.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Keeps {
    Files,
    /// Logical volumes of LVM.
    Lvm,
    /// ZFS volumes, below this dataset.
    Zfs(String),
}

impl Keeps {
    fn of(seen: &Seen) -> Option<Self> {
        match seen.kind.as_str() {
            "dir" | "fs" | "netfs" => Some(Self::Files),
            "logical" => Some(Self::Lvm),
            "zfs" => seen.source.clone().map(Self::Zfs),
            _ => None,
        }
    }
}

/// A volume's place in a pool, with the folder that has its note.
pub struct Pool<'a> {
    hypervisor: &'a Hypervisor,
    /// libvirt refuses to look again at a pool that it makes a volume in.
    busy: &'a Mutex<()>,
    folder: &'a Path,
    name: String,
    volume: String,
    keeps: Keeps,
}

/// What the names of a component's volumes begin with.
pub fn prefix(mark: Mark) -> String {
    format!("rhyzome-{mark}-")
}

/// The instance that a volume of a component is of.
pub fn instance_of(mark: Mark, volume: &str) -> Option<InstanceId> {
    let rest = volume.strip_prefix(&prefix(mark))?;
    rest.strip_suffix(".qcow2").unwrap_or(rest).parse().ok()
}

impl<'a> Pool<'a> {
    /// # Errors
    /// *transient* where the pool is not there; *permanent* where it is of a kind that has no disks.
    pub async fn open(
        hypervisor: &'a Hypervisor,
        busy: &'a Mutex<()>,
        name: String,
        (mark, id, folder): (Mark, InstanceId, &'a Path),
    ) -> Result<Self, DriverError> {
        let seen = hypervisor.pool(name.clone()).await.map_err(from_libvirt)?;
        let seen = seen.ok_or_else(|| DriverError::transient(missing(&name)))?;
        let keeps = Keeps::of(&seen)
            .ok_or_else(|| DriverError::permanent(unsuitable(&name, &seen.kind)))?;
        let ending = match keeps {
            Keeps::Files => ".qcow2",
            Keeps::Lvm | Keeps::Zfs(_) => "",
        };
        Ok(Self {
            hypervisor,
            busy,
            folder,
            volume: format!("{}{id}{ending}", prefix(mark)),
            name,
            keeps,
        })
    }

    fn note(&self, state: State) -> Result<(), DriverError> {
        let pool = self.name.clone();
        let note = Note { pool, state };
        note.write(self.folder).map_err(|error| {
            let what = "the instance's disk could not be noted";
            unwritten(what, self.folder, error)
        })
    }

    /// Makes an empty volume, where there is room for it.
    async fn make_volume(&self, size: Size, base: Option<&Base>) -> Result<PathBuf, DriverError> {
        let _one = self.busy.lock().await;
        self.delete().await?;
        let overlay = match self.keeps {
            Keeps::Files => Some(base),
            Keeps::Lvm | Keeps::Zfs(_) => {
                let room = self.room().await?;
                if room.available < size {
                    return Err(DriverError::transient(self.lacks(room, size)));
                }
                None
            }
        };
        let xml = describe(&self.volume, size, overlay);
        match self.hypervisor.make_volume(self.name.clone(), xml).await {
            Ok(path) => Ok(path),
            Err(error) => {
                let mut error = from_libvirt(error);
                if error.message.contains(NO_ROOM) {
                    error.message += &format!("; {}", self.lacks(self.room().await?, size));
                }
                Err(error)
            }
        }
    }

    async fn room(&self) -> Result<Capacity, DriverError> {
        let room = self.hypervisor.capacity(self.name.clone()).await;
        room.map_err(from_libvirt)
    }

    /// Says that there is too little, with what is needed.
    fn lacks(&self, room: Capacity, size: Size) -> String {
        let [free, whole] = [room.available, room.whole].map(|size| rounded(size.as_bytes()));
        let name = &self.name;
        match self.keeps {
            Keeps::Files => {
                format!("the storage pool {name} has {free} of {whole} free: make room there")
            }
            Keeps::Lvm | Keeps::Zfs(_) => format!(
                "the storage pool {name} has {free} of {whole} free, and the instance's disk needs {size}: \
                 make room there"
            ),
        }
    }

    /// Lets a device grow. libvirt has no call for it in pools of these kinds.
    async fn extend(&self, path: &Path, size: Size) -> Result<(), DriverError> {
        let bytes = size.as_bytes();
        match &self.keeps {
            Keeps::Files => Ok(()),
            Keeps::Lvm => {
                let size = format!("{bytes}b");
                LVEXTEND.run(&["-q", "-L", &size, text(path)?]).await
            }
            Keeps::Zfs(dataset) => {
                let (size, name) = (
                    format!("volsize={bytes}"),
                    format!("{dataset}/{}", self.volume),
                );
                ZFS.run(&["set", &size, &name]).await
            }
        }
    }

    async fn grow_device(&self, volume: &Volume, size: Size) -> Result<(), DriverError> {
        let from = match self.state()? {
            Some(State::Growing { from }) => from,
            _ => volume.size,
        };
        self.note(State::Growing { from })?;
        if self.device_size(&volume.path)? < size {
            self.extend(&volume.path, size).await?;
        }
        device::clear(&volume.path, from, &Progress::new().0).await?;
        self.note(State::Whole)
    }

    async fn found(&self, state: Option<State>) -> Result<Option<Volume>, DriverError> {
        let (pool, volume) = (self.name.clone(), self.volume.clone());
        let found = self.hypervisor.volume(pool, volume).await;
        let Some(path) = found.map_err(from_libvirt)? else {
            return Ok(None);
        };
        device::appears(&path).await?;
        let (kind, size) = match (&self.keeps, state) {
            (Keeps::Files, _) => (Kind::Overlay, qcow2::size(&path).map_err(unread)?),
            // Too small for anybody until that is finished.
            (_, Some(State::Growing { .. })) => (Kind::Device, Size::bytes(0)),
            (Keeps::Lvm | Keeps::Zfs(_), _) => (Kind::Device, self.device_size(&path)?),
        };
        Ok(Some(Volume { path, kind, size }))
    }

    /// Deletes the volume. A device that was just closed may be in use for a moment yet: udev looks at what
    /// is on it.
    async fn delete(&self) -> Result<(), DriverError> {
        let limit = Instant::now() + LOOKED_AT;
        loop {
            let (pool, volume) = (self.name.clone(), self.volume.clone());
            match self.hypervisor.delete_volume(pool, volume).await {
                Err(_) if self.keeps != Keeps::Files && Instant::now() < limit => {
                    tokio::time::sleep(Duration::from_millis(200)).await;
                }
                deleted => return deleted.map_err(from_libvirt),
            }
        }
    }

    fn device_size(&self, path: &Path) -> Result<Size, DriverError> {
        device::size(path).map_err(unread)
    }

    fn state(&self) -> Result<Option<State>, DriverError> {
        let note = Note::read(self.folder).map_err(unread)?;
        Ok(note.map(|note| note.state))
    }
}

fn unread(error: std::io::Error) -> DriverError {
    from_disk("the instance's disk could not be read", error)
}

#[async_trait]
impl Place for Pool<'_> {
    fn name(&self) -> String {
        format!("{} in the storage pool {}", self.volume, self.name)
    }

    /// Half-made ones are not found: nobody has written to them.
    async fn find(&self) -> Result<Option<Volume>, DriverError> {
        let _one = self.busy.lock().await;
        match self.state()? {
            Some(State::Making) => Ok(None),
            state => {
                let found = self.found(state).await?;
                if found.is_some() && state.is_none() {
                    // The note was lost: the settings may change, and the disk stays where it is.
                    self.note(State::Whole)?;
                }
                Ok(found)
            }
        }
    }

    async fn make(
        &self,
        size: Size,
        base: Option<&Base>,
        progress: &Progress,
    ) -> Result<(), DriverError> {
        self.note(State::Making)?;
        let path = self.make_volume(size, base).await?;
        device::appears(&path).await?;
        let written = match self.keeps {
            Keeps::Files => device::sync(path).await,
            Keeps::Lvm | Keeps::Zfs(_) => device::fill(&path, base, progress).await,
        };
        if let Err(error) = written {
            // It takes room, and holds nothing. What cannot be deleted now is by the next try.
            let _one = self.busy.lock().await;
            if let Err(error) = self.delete().await {
                tracing::warn!(error = error.chain(), "a disk that was not made is left");
            }
            return Err(error);
        }
        self.note(State::Whole)
    }

    async fn grow(&self, size: Size, by: Use) -> Result<(), DriverError> {
        let Some(volume) = self.find().await? else {
            return Err(DriverError::transient("the instance's disk is not there"));
        };
        match (&self.keeps, by) {
            (Keeps::Files, Use::Guest) => Ok(()),
            (Keeps::Files, Use::Nobody) => {
                let _one = self.busy.lock().await;
                let (pool, name) = (self.name.clone(), self.volume.clone());
                let resized = self.hypervisor.resize_volume(pool, name, size);
                resized.await.map_err(from_libvirt)
            }
            (Keeps::Lvm | Keeps::Zfs(_), _) => self.grow_device(&volume, size).await,
        }
    }

    async fn remove(&self) -> Result<(), DriverError> {
        let _one = self.busy.lock().await;
        self.delete().await
    }
}

/// Says that a pool is not there, with what to do.
pub fn missing(name: &str) -> String {
    format!(
        "libvirt has no storage pool {name}: define it (`virsh pool-define`), or change storage_pool"
    )
}

/// Says that a pool cannot have disks.
pub fn unsuitable(name: &str, kind: &str) -> String {
    format!("the storage pool {name} is of the kind {kind}: {KINDS} are possible")
}

/// Why a pool cannot have disks; none where it can.
pub fn objection(name: &str, seen: Option<&Seen>) -> Option<String> {
    match seen {
        None => Some(missing(name)),
        Some(seen) if Keeps::of(seen).is_none() => Some(unsuitable(name, &seen.kind)),
        Some(_) => None,
    }
}

/// A volume as libvirt reads it (<https://libvirt.org/formatstorage.html#storage-volume-xml>): a qcow2 file
/// above a base or above nothing, or all of its size as a device.
fn describe(name: &str, size: Size, overlay: Option<Option<&Base>>) -> String {
    let mut out = Writer::new(Vec::new());
    let bytes = size.as_bytes().to_string();
    let text = |out: &mut Writer<Vec<u8>>, name: &str, value: &str| {
        let element = out.create_element(name);
        element
            .write_text_content(BytesText::new(value))
            .map(|_| ())
    };
    let layout = |out: &mut Writer<Vec<u8>>, layout: &str| {
        let element = out
            .create_element("format")
            .with_attribute(("type", layout));
        element.write_empty().map(|_| ())
    };
    let written = out.create_element("volume").write_inner_content(|out| {
        text(out, "name", name)?;
        text(out, "capacity", &bytes)?;
        let Some(base) = overlay else {
            return Ok(());
        };
        text(out, "allocation", "0")?;
        out.create_element("target").write_inner_content(|out| {
            layout(out, "qcow2")?;
            // libvirt gives it to QEMU's user for as long as the guest runs.
            out.create_element("permissions")
                .write_inner_content(|out| text(out, "mode", "0600"))?;
            text(out, "compat", "1.1")
        })?;
        if let Some(base) = base {
            out.create_element("backingStore")
                .write_inner_content(|out| {
                    text(out, "path", base.path.to_str().unwrap_or_default())?;
                    layout(out, base.layout.as_str())
                })?;
        }
        Ok(())
    });
    written.expect("writing to memory does not fail");
    String::from_utf8(out.into_inner()).expect("what was written is text")
}

#[cfg(test)]
mod tests {
    use rhyzome_model::image::DiskLayout;
    use uuid::Uuid;

    use super::*;

    fn seen(kind: &str) -> Seen {
        Seen {
            kind: kind.to_owned(),
            source: Some("tank/vms".to_owned()),
            capacity: Size::mib(2),
            available: Size::mib(1),
        }
    }

    #[test]
    fn a_pool_that_cannot_have_disks_is_refused_by_its_kind() {
        for kind in ["dir", "netfs", "logical", "zfs"] {
            assert_eq!(objection("vms", Some(&seen(kind))), None);
        }
        for kind in ["rbd", "iscsi", ""] {
            let why = objection("vms", Some(&seen(kind))).unwrap();
            assert!(why.contains("logical (LVM) and zfs are possible"), "{why}");
        }
        assert!(
            objection("vms", None)
                .unwrap()
                .contains("virsh pool-define")
        );
    }

    #[test]
    fn a_volume_is_found_by_its_name_and_no_other_is() {
        let mark: Mark = "0a1b2c3d".parse().unwrap();
        let id = InstanceId(Uuid::from_u128(7));
        for ending in ["", ".qcow2"] {
            let name = format!("{}{id}{ending}", prefix(mark));
            assert_eq!(instance_of(mark, &name), Some(id));
            assert_eq!(instance_of("0a1b2c3e".parse().unwrap(), &name), None);
        }
        for name in ["root", "rhyzome-0a1b2c3d-", "rhyzome-0a1b2c3d-root"] {
            assert_eq!(instance_of(mark, name), None);
        }
    }

    #[test]
    fn a_device_is_described_with_all_of_its_size_and_a_file_with_its_base() {
        let size = Size::mib(1);
        assert_eq!(
            describe("a", size, None),
            "<volume><name>a</name><capacity>1048576</capacity></volume>"
        );
        let base = Base {
            path: "/images/a&b".into(),
            layout: DiskLayout::Raw,
        };
        let file = describe("a", size, Some(Some(&base)));
        let above =
            "<backingStore><path>/images/a&amp;b</path><format type=\"raw\"/></backingStore>";
        assert!(
            file.contains(above) && file.contains("<allocation>0</allocation>"),
            "{file}"
        );
    }
}
