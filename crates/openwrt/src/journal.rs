//! What a change is about to do, written before it does anything, so that it can be put back whatever happens.
//!
//! ```text
//!   STATE/snapshot/<package>   each file as it was: the very same file, by a hard link
//!   STATE/journal.json         what was there and what is meant, by digests; the records as they were
//! ```
//!
//! The journal says that a change has begun. How far it came is not written but seen: a file of the configuration is
//! what it was, or what was meant, or somebody else has changed it. While there is a journal, the change is not done.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::disk::{self, Digest, DiskError};
use crate::record::FileChange;

/// A change that has begun.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Journal {
    /// By the packages' names.
    pub files: BTreeMap<String, Stages>,
    pub records: Vec<FileChange>,
    /// The names of the networks whose sections change: [`crate::Names::network`].
    pub networks: BTreeSet<String>,
}

/// What a file of the configuration was and what it is meant to become.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Stages {
    pub before: Digest,
    pub after: Digest,
}

/// How far a change came with a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    Before,
    After,
    /// Somebody else has written it since.
    Foreign,
}

impl Stages {
    pub fn of(&self, now: &Digest) -> Stage {
        match now {
            now if *now == self.before => Stage::Before,
            now if *now == self.after => Stage::After,
            _ => Stage::Foreign,
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    #[error(transparent)]
    Disk(#[from] DiskError),
    #[error("the journal {0} cannot be understood: an interrupted change cannot be put back")]
    Unreadable(PathBuf, #[source] serde_json::Error),
}

fn path(state_dir: &Path) -> PathBuf {
    state_dir.join("journal.json")
}

fn snapshots(state_dir: &Path) -> PathBuf {
    state_dir.join("snapshot")
}

/// Where a package's file is kept as it was.
pub(crate) fn snapshot(state_dir: &Path, package: &str) -> PathBuf {
    snapshots(state_dir).join(package)
}

/// Keeps the files as they are.
pub(crate) fn keep(
    state_dir: &Path,
    files: impl IntoIterator<Item = (String, PathBuf)>,
) -> Result<(), DiskError> {
    disk::make_folder(&snapshots(state_dir))?;
    for (package, file) in files {
        disk::keep(&file, &snapshot(state_dir, &package))?;
    }
    disk::sync_folder(&snapshots(state_dir))
}

/// From now on, the change is put back where it is not ended.
pub(crate) fn begin(state_dir: &Path, journal: &Journal) -> Result<(), DiskError> {
    let text = serde_json::to_string(journal).expect("a journal is always JSON");
    disk::replace(&path(state_dir), &text)
}

/// The change that has begun and not ended; none where there is no such.
pub(crate) fn read(state_dir: &Path) -> Result<Option<Journal>, JournalError> {
    let path = path(state_dir);
    let Some(text) = disk::read(&path)? else {
        return Ok(None);
    };
    let journal = serde_json::from_str(&text).map_err(|e| JournalError::Unreadable(path, e))?;
    Ok(Some(journal))
}

/// The change is done, or put back.
pub(crate) fn end(state_dir: &Path) -> Result<(), DiskError> {
    disk::remove(&path(state_dir))?;
    disk::sync_folder(state_dir)?;
    disk::remove_folder(&snapshots(state_dir))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_far_a_change_came_is_seen_by_the_files() {
        let stages = Stages {
            before: Digest::of("before"),
            after: Digest::of("after"),
        };
        for (text, stage) in [
            ("before", Stage::Before),
            ("after", Stage::After),
            ("theirs", Stage::Foreign),
        ] {
            assert_eq!(stages.of(&Digest::of(text)), stage);
        }
    }

    #[test]
    fn a_journal_is_there_until_it_is_ended() {
        let folder = tempfile::tempdir().unwrap();
        let state = folder.path().join("state");
        disk::make_folder(&state).unwrap();
        let file = folder.path().join("network");
        std::fs::write(&file, "before").unwrap();
        assert!(read(&state).unwrap().is_none());
        let journal = Journal {
            files: BTreeMap::from([(
                "network".to_owned(),
                Stages {
                    before: Digest::of("before"),
                    after: Digest::of("after"),
                },
            )]),
            records: Vec::new(),
            networks: BTreeSet::from(["rz_v1".to_owned()]),
        };
        keep(&state, [("network".to_owned(), file.clone())]).unwrap();
        begin(&state, &journal).unwrap();
        assert!(read(&state).unwrap() == Some(journal));
        disk::replace(&file, "after").unwrap();
        let kept = disk::read(&snapshot(&state, "network")).unwrap();
        assert_eq!(kept.as_deref(), Some("before"));
        end(&state).unwrap();
        assert!(read(&state).unwrap().is_none());
        assert!(!snapshot(&state, "network").exists());
    }

    #[test]
    fn a_journal_that_cannot_be_understood_is_no_missing_one() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(path(folder.path()), "{").unwrap();
        assert!(read(folder.path()).is_err());
    }
}
