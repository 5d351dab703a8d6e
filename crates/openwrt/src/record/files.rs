//! The records as files, and what a change does to them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rhyzome_model::NetworkId;
use rhyzome_wireguard::key::PrivateKey;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Kept, Record, Records};
use crate::disk::{self, DiskError};

const NETWORKS: &str = "networks";

/// What a change makes of a file below the state directory; none where there is no file.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FileChange {
    pub path: PathBuf,
    pub before: Option<String>,
    pub after: Option<String>,
}

/// What makes the files of one state of the records those of another.
pub(crate) fn differences(before: &Records, after: &Records) -> Vec<FileChange> {
    let mut changes = Vec::new();
    let ids: BTreeSet<&NetworkId> = before
        .networks
        .keys()
        .chain(after.networks.keys())
        .collect();
    for id in ids {
        let [old, new] = [before, after].map(|records| records.networks.get(id));
        if old == new {
            continue;
        }
        let (mut old, new) = (texts(old, new), texts(new, old));
        for (path, text) in new {
            let before = old.remove(&path);
            if before.as_ref() != Some(&text) {
                changes.push(FileChange {
                    path,
                    before,
                    after: Some(text),
                });
            }
        }
        changes.extend(old.into_iter().map(|(path, before)| FileChange {
            path,
            before: Some(before),
            after: None,
        }));
    }
    changes
}

/// The files of what is not the same in the other state.
fn texts(kept: Option<&Arc<Kept>>, other: Option<&Arc<Kept>>) -> BTreeMap<PathBuf, String> {
    let Some(kept) = kept else {
        return BTreeMap::new();
    };
    let folder = Path::new(NETWORKS).join(kept.network.spec.network.to_string());
    let mut texts = BTreeMap::from([
        (folder.join("network.json"), text(&kept.network)),
        (folder.join("key"), kept.key.to_base64().to_string()),
    ]);
    let shelf = |name| (folder.join(name), other);
    texts.extend(differing(shelf("leases"), kept, |kept| &kept.leases));
    texts.extend(differing(shelf("peers"), kept, |kept| &kept.peers));
    texts.extend(differing(shelf("vteps"), kept, |kept| &kept.vteps));
    texts
}

/// Those of one kind.
fn differing<'a, T: Serialize + PartialEq + 'a>(
    (folder, other): (PathBuf, Option<&'a Arc<Kept>>),
    kept: &'a Kept,
    of: fn(&Kept) -> &BTreeMap<Uuid, Record<T>>,
) -> impl Iterator<Item = (PathBuf, String)> + 'a {
    let is_other = move |(id, record): &(&Uuid, &Record<T>)| {
        other.is_none_or(|other| of(other).get(id) != Some(*record))
    };
    let differing = of(kept).iter().filter(is_other);
    differing.map(move |(id, record)| (folder.join(format!("{id}.json")), text(record)))
}

fn text<T: Serialize>(record: &Record<T>) -> String {
    serde_json::to_string(record).expect("a record is always JSON")
}

/// Makes the changes.
pub(crate) fn write(state_dir: &Path, changes: &[FileChange]) -> Result<(), DiskError> {
    bring(state_dir, changes, |change| change.after.as_deref())
}

/// Makes them undone.
pub(crate) fn put_back(state_dir: &Path, changes: &[FileChange]) -> Result<(), DiskError> {
    bring(state_dir, changes, |change| change.before.as_deref())
}

fn bring(
    state_dir: &Path,
    changes: &[FileChange],
    to: impl Fn(&FileChange) -> Option<&str>,
) -> Result<(), DiskError> {
    let mut thinned = BTreeSet::new();
    for change in changes {
        let path = state_dir.join(&change.path);
        let folder = path.parent().unwrap_or(state_dir).to_owned();
        match to(change) {
            Some(text) => {
                disk::make_folder(&folder)?;
                disk::replace(&path, text)?;
            }
            None => {
                disk::remove(&path)?;
                thinned.insert(folder);
            }
        }
    }
    for folder in thinned {
        disk::sync_folder(&folder)?;
        tidy(&folder, state_dir);
    }
    Ok(())
}

/// Removes a folder in which nothing is left, and those above it. Whether it can is no matter.
fn tidy(folder: &Path, state_dir: &Path) {
    let within = |folder: &&Path| folder.starts_with(state_dir) && *folder != state_dir;
    for folder in folder.ancestors().take_while(within) {
        if std::fs::remove_dir(folder).is_err() {
            return;
        }
    }
}

impl Records {
    /// Reads all of them. A network whose own record or key cannot be understood is left out with all that is its: it
    /// is brought back from the component's ledger.
    pub fn read(state_dir: &Path) -> Result<Self, DiskError> {
        let mut records = Self::default();
        for folder in disk::entries(&state_dir.join(NETWORKS))? {
            if let Some(kept) = read_network(&folder)? {
                records
                    .networks
                    .insert(kept.network.spec.network, Arc::new(kept));
            }
        }
        Ok(records)
    }
}

fn read_network(folder: &Path) -> Result<Option<Kept>, DiskError> {
    let network = read_record(&folder.join("network.json"))?;
    let path = folder.join("key");
    let key = disk::read(&path)?.and_then(|text| text.trim().parse::<PrivateKey>().ok());
    let (Some(network), Some(key)) = (network, key) else {
        tracing::error!(folder = %folder.display(), "the records of a network cannot be understood");
        return Ok(None);
    };
    Ok(Some(Kept {
        network,
        key,
        leases: read_shelf(&folder.join("leases"))?,
        peers: read_shelf(&folder.join("peers"))?,
        vteps: read_shelf(&folder.join("vteps"))?,
    }))
}

fn read_shelf<T: DeserializeOwned>(folder: &Path) -> Result<BTreeMap<Uuid, Record<T>>, DiskError> {
    let mut records = BTreeMap::new();
    for path in disk::entries(folder)? {
        if path.extension().is_none_or(|ending| ending != "json") {
            continue;
        }
        let id = path
            .file_stem()
            .and_then(|name| name.to_str()?.parse().ok());
        if let (Some(id), Some(record)) = (id, read_record(&path)?) {
            records.insert(id, record);
        }
    }
    Ok(records)
}

fn read_record<T: DeserializeOwned>(path: &Path) -> Result<Option<Record<T>>, DiskError> {
    let Some(text) = disk::read(path)? else {
        return Ok(None);
    };
    match serde_json::from_str(&text) {
        Ok(record) => Ok(Some(record)),
        Err(error) => {
            tracing::error!(path = %path.display(), %error, "a record cannot be understood");
            Ok(None)
        }
    }
}
