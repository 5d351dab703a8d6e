//! libvirt's storage pools, and the volumes in them.

use std::path::{Path, PathBuf};

use quick_xml::Reader;
use quick_xml::events::Event;
use rhyzome_model::Size;
use virt::connect::Connect;
use virt::error::{Error, ErrorNumber};
use virt::storage_pool::StoragePool;
use virt::storage_vol::StorageVol;

use super::{Hypervisor, HypervisorError};

/// A pool, as libvirt describes it (<https://libvirt.org/formatstorage.html>).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pool {
    /// `dir`, `logical`, `zfs` and so on.
    pub kind: String,
    /// The volume group's or the dataset's name; none where a pool has no such thing.
    pub source: Option<String>,
    pub capacity: Size,
    pub available: Size,
}

/// How much there is in a pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capacity {
    pub whole: Size,
    pub available: Size,
}

impl Hypervisor {
    /// A pool by its name, started where it was not; none where there is none.
    pub async fn pool(&self, name: String) -> Result<Option<Pool>, HypervisorError> {
        self.call("looking at the storage pool", move |connection| {
            let Some(pool) = unless_missing(open(connection, &name))? else {
                return Ok(None);
            };
            let xml = pool.get_xml_desc(0)?;
            let info = pool.get_info()?;
            let said = describe(&xml);
            Ok(Some(Pool {
                kind: said.kind,
                source: said.source,
                capacity: Size::bytes(info.capacity),
                available: Size::bytes(info.available),
            }))
        })
        .await
    }

    /// How much there is in a pool now: libvirt remembers what it saw when it looked last.
    pub async fn capacity(&self, pool: String) -> Result<Capacity, HypervisorError> {
        self.call("looking at the storage pool", move |connection| {
            let pool = open(connection, &pool)?;
            pool.refresh(0)?;
            let info = pool.get_info()?;
            Ok(Capacity {
                whole: Size::bytes(info.capacity),
                available: Size::bytes(info.available),
            })
        })
        .await
    }

    /// The path of a volume; none where there is none.
    pub async fn volume(
        &self,
        pool: String,
        volume: String,
    ) -> Result<Option<PathBuf>, HypervisorError> {
        self.call("looking up the volume", move |connection| {
            let pool = open(connection, &pool)?;
            match find(&pool, &volume)? {
                Some(volume) => Ok(Some(volume.get_path()?.into())),
                None => Ok(None),
            }
        })
        .await
    }

    /// Makes a volume, and returns its path.
    pub async fn make_volume(&self, pool: String, xml: String) -> Result<PathBuf, HypervisorError> {
        self.call("making the volume", move |connection| {
            let pool = open(connection, &pool)?;
            let volume = StorageVol::create_xml(&pool, &xml, 0)?;
            Ok(volume.get_path()?.into())
        })
        .await
    }

    /// Lets a volume grow.
    pub async fn resize_volume(
        &self,
        pool: String,
        volume: String,
        size: Size,
    ) -> Result<(), HypervisorError> {
        self.call("letting the volume grow", move |connection| {
            let pool = open(connection, &pool)?;
            let volume = StorageVol::lookup_by_name(&pool, &volume)?;
            volume.resize(size.as_bytes(), 0).map(drop)
        })
        .await
    }

    /// Deletes a volume. Fine where there is none.
    pub async fn delete_volume(&self, pool: String, volume: String) -> Result<(), HypervisorError> {
        self.call("deleting the volume", move |connection| {
            let Some(pool) = unless_missing(open(connection, &pool))? else {
                return Ok(());
            };
            match find(&pool, &volume)? {
                Some(volume) => unless_missing(volume.delete(0)).map(drop),
                None => Ok(()),
            }
        })
        .await
    }

    /// The names of a pool's volumes, as libvirt knew them last.
    pub async fn volumes(&self, pool: String) -> Result<Vec<String>, HypervisorError> {
        self.call("listing the volumes", move |connection| {
            open(connection, &pool)?.list_volumes()
        })
        .await
    }
}

fn open(connection: &Connect, name: &str) -> Result<StoragePool, Error> {
    let pool = StoragePool::lookup_by_name(connection, name)?;
    if !pool.is_active()? {
        pool.create(0)?;
    }
    Ok(pool)
}

/// libvirt knows the volumes that were there when it looked last: it is made to look again where one is
/// missing, for it or for us.
fn find(pool: &StoragePool, name: &str) -> Result<Option<StorageVol>, Error> {
    if let Some(volume) = unless_missing(StorageVol::lookup_by_name(pool, name))?
        && Path::new(&volume.get_path()?).exists()
    {
        return Ok(Some(volume));
    }
    pool.refresh(0)?;
    unless_missing(StorageVol::lookup_by_name(pool, name))
}

fn unless_missing<T>(result: Result<T, Error>) -> Result<Option<T>, Error> {
    let missing = |error: &Error| {
        matches!(
            error.code(),
            ErrorNumber::NoStoragePool | ErrorNumber::NoStorageVolume
        )
    };
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if missing(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Description {
    kind: String,
    source: Option<String>,
}

/// Reads a pool's type, and the name in its source.
fn describe(xml: &str) -> Description {
    let mut reader = Reader::from_str(xml);
    let mut said = Description::default();
    let mut inside: Vec<String> = Vec::new();
    loop {
        match reader.read_event() {
            Ok(Event::Start(element)) => {
                let name: String = element.name().as_ref().to_owned();
                if inside.is_empty()
                    && name == "pool"
                    && let Ok(Some(kind)) = element.try_get_attribute("type")
                {
                    said.kind = kind.value.into_owned();
                }
                inside.push(name);
            }
            Ok(Event::Text(text)) if inside == ["pool", "source", "name"] => {
                let name: &str = &text;
                said.source = Some(name.trim().to_owned());
            }
            Ok(Event::End(_)) => drop(inside.pop()),
            Ok(Event::Eof) | Err(_) => return said,
            Ok(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pool_says_what_it_is() {
        let said = |xml| {
            let Description { kind, source } = describe(xml);
            (kind, source)
        };
        let dir = "<pool type='dir'><name>vms</name><source></source><target><path>/srv</path></target></pool>";
        assert_eq!(said(dir), ("dir".to_owned(), None));
        let logical = "<pool type='logical'>\n<name>a</name><source><device path='/dev/sdb'/>\
                       <name>vg0</name><format type='lvm2'/></source></pool>";
        assert_eq!(
            said(logical),
            ("logical".to_owned(), Some("vg0".to_owned()))
        );
        assert_eq!(said("<pool type='zfs'"), (String::new(), None));
    }
}
