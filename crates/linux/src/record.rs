//! What each network, lease and peer should be, in files of the state directory.
//!
//! ```text
//!   networks/<network>/network.json
//!                      leases/<lease>.json
//!                      peers/<peer>.json
//! ```
//!
//! A file is replaced as a whole or not at all. What other programs keep beside them (dnsmasq's files,
//! the endpoint's folder) goes with the network's folder.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rhyzome_model::PlacementId;
use rhyzome_model::lease::LeasePlacement;
use rhyzome_model::network::NetworkPlacement;
use rhyzome_model::peer::PeerPlacement;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::error::Error;

/// A placement as it was last asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record<T> {
    pub placement: PlacementId,
    pub generation: u64,
    pub spec: T,
}

pub(crate) type NetworkRecord = Record<NetworkPlacement>;
pub(crate) type LeaseRecord = Record<LeasePlacement>;
pub(crate) type PeerRecord = Record<PeerPlacement>;

/// What is kept below a network's folder, a file each.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Shelf {
    Leases,
    Peers,
}

impl Shelf {
    fn path(self, folder: &Path) -> PathBuf {
        folder.join(match self {
            Self::Leases => "leases",
            Self::Peers => "peers",
        })
    }
}

pub(crate) fn make_folder(path: &Path) -> Result<(), Error> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(|e| Error::Write(path.to_owned(), e))
}

/// Replaces a file as a whole, where its text is another. Returns whether it was.
pub(crate) fn write_text(path: &Path, text: &str) -> Result<bool, Error> {
    if matches!(std::fs::read_to_string(path), Ok(before) if before == text) {
        return Ok(false);
    }
    let unfinished = path.with_extension("new");
    let written = || {
        let mut open = OpenOptions::new();
        let mut file = open
            .create(true)
            .truncate(true)
            .write(true)
            .mode(0o600)
            .open(&unfinished)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        std::fs::rename(&unfinished, path)?;
        path.parent()
            .map_or(Ok(()), |parent| File::open(parent)?.sync_all())
    };
    written().map_err(|e| Error::Write(path.to_owned(), e))?;
    Ok(true)
}

/// The text of a file; none where there is no such.
pub(crate) fn read_text(path: &Path) -> Result<Option<String>, Error> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(Error::Read(path.to_owned(), e)),
    }
}

pub(crate) fn remove_file(path: &Path) -> Result<(), Error> {
    match std::fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(Error::Remove(path.to_owned(), e)),
        _ => Ok(()),
    }
}

pub(crate) fn remove_folder(path: &Path) -> Result<(), Error> {
    match std::fs::remove_dir_all(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(Error::Remove(path.to_owned(), e)),
        _ => Ok(()),
    }
}

/// None also where a record cannot be understood: then what it was about is not as it should be, and
/// is brought back from the component's ledger.
fn read<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, Error> {
    Ok(read_text(path)?.and_then(|text| understand(path, &text)))
}

fn understand<T: DeserializeOwned>(path: &Path, text: &str) -> Option<T> {
    serde_json::from_str(text)
        .inspect_err(|error| {
            tracing::error!(path = %path.display(), %error, "a record cannot be understood");
        })
        .ok()
}

fn write<T: Serialize>(path: &Path, record: &T) -> Result<(), Error> {
    let text =
        serde_json::to_string_pretty(record).map_err(|e| Error::Record(path.to_owned(), e))?;
    write_text(path, &text).map(drop)
}

pub(crate) fn read_network(folder: &Path) -> Result<Option<NetworkRecord>, Error> {
    read(&folder.join("network.json"))
}

pub(crate) fn write_network(folder: &Path, record: &NetworkRecord) -> Result<(), Error> {
    make_folder(folder)?;
    write(&folder.join("network.json"), record)
}

/// The names in a folder; none where there is no folder.
pub(crate) fn entries(path: &Path) -> Result<Vec<PathBuf>, Error> {
    let failed = |e| Error::Read(path.to_owned(), e);
    let entries = match std::fs::read_dir(path) {
        Ok(entries) => entries,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(failed(e)),
    };
    let mut paths = entries
        .map(|entry| Ok(entry?.path()))
        .collect::<io::Result<Vec<_>>>()
        .map_err(failed)?;
    paths.sort();
    Ok(paths)
}

/// All records of a shelf, in the order of their ids.
pub(crate) fn list<T: DeserializeOwned>(
    folder: &Path,
    shelf: Shelf,
) -> Result<Vec<Record<T>>, Error> {
    select(folder, shelf, |_| true)
}

/// The records whose text has something in it, in the order of their ids: most of the work with a
/// thousand is to understand them.
pub(crate) fn select<T: DeserializeOwned>(
    folder: &Path,
    shelf: Shelf,
    is_wanted: impl Fn(&str) -> bool,
) -> Result<Vec<Record<T>>, Error> {
    let mut records = Vec::new();
    for path in entries(&shelf.path(folder))? {
        if path.extension().is_some_and(|ending| ending == "json")
            && let Some(text) = read_text(&path)?
            && is_wanted(&text)
        {
            records.extend(understand(&path, &text));
        }
    }
    Ok(records)
}

/// The record of one resource; none where there is none.
pub(crate) fn get<T: DeserializeOwned>(
    folder: &Path,
    shelf: Shelf,
    resource: Uuid,
) -> Result<Option<Record<T>>, Error> {
    read(&file(folder, shelf, resource))
}

fn file(folder: &Path, shelf: Shelf, resource: Uuid) -> PathBuf {
    shelf.path(folder).join(format!("{resource}.json"))
}

pub(crate) fn put<T: Serialize>(
    folder: &Path,
    shelf: Shelf,
    resource: Uuid,
    record: &Record<T>,
) -> Result<(), Error> {
    make_folder(&shelf.path(folder))?;
    write(&file(folder, shelf, resource), record)
}

pub(crate) fn take_away(folder: &Path, shelf: Shelf, resource: Uuid) -> Result<(), Error> {
    remove_file(&file(folder, shelf, resource))
}
