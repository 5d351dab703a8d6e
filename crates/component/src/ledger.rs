//! What a component has accepted: written down before it acts, read again at its start.
//!
//! ```text
//! FOLDER/placements/<placement id>.json   one entry a placement, also of removed ones (tombstones)
//! FOLDER/actions/<job id>                 an action that has begun and whose outcome is not recorded
//! FOLDER/corrupt/                         what could not be read, kept for the operator
//! ```
//!
//! ```text
//!              accept            ensured
//!   (nothing) ───────► accepted ───────► ensured
//!                       ▲  │ accept newer ▲ │
//!                       └──┴──────────────┘ │ removing
//!                          removing ◄───────┘
//!                             │ removed
//!                             ▼
//!                          removed ──recorded by the core, and old──► (nothing)
//! ```
//!
//! Every change is on the disk before the call returns. The calls that change something block: they
//! belong on a blocking thread.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rhyzome_model::placement::{Observed, Placement, PlacementRef};
use rhyzome_model::{JobId, PlacementId, Timestamp};
use rhyzome_pki::file::{FileError, write_atomic};
use rhyzome_proto::session::LedgerCounts;

mod entry;

pub use entry::{Entry, State};

/// How long a tombstone is kept after the core recorded the removal, in milliseconds: long enough for
/// an older job that is still under way to come and be refused.
const TOMBSTONE_RECORDED: i64 = 3_600_000;
/// How long a tombstone is kept that no core ever recorded.
const TOMBSTONE_FORGOTTEN: i64 = 30 * 24 * 3_600_000;

/// The ledger of one component. One process has it open at a time.
#[derive(Debug)]
pub struct Ledger {
    folder: PathBuf,
    entries: Mutex<BTreeMap<PlacementId, Entry>>,
    /// Held over a change of an entry and its file; which one follows from the placement's id.
    changing: [Mutex<()>; 16],
}

/// A file of the ledger that could not be read and was set aside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Corrupt {
    pub path: PathBuf,
    pub moved_to: PathBuf,
    pub reason: String,
}

#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    #[error("generation {offered} of this placement is older than {accepted}, which was accepted")]
    Older { offered: u64, accepted: u64 },
    #[error("the ledger has no such placement in generation {generation}")]
    Unknown { generation: u64 },
    #[error("the ledger's folder {path} could not be read")]
    Folder { path: PathBuf, source: io::Error },
    #[error("the ledger could not be written")]
    Write { source: FileError },
    #[error("{path} could not be removed from the ledger")]
    Remove { path: PathBuf, source: io::Error },
}

/// Whether an action may be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begun {
    Now,
    /// It began before and nobody knows how it ended.
    Before,
}

impl Ledger {
    /// Opens a ledger, making its folder if there is none. What cannot be read is set aside and
    /// returned: it is worth a line in the log and never a reason not to start.
    ///
    /// # Errors
    /// [`LedgerError::Folder`].
    pub fn open(folder: &Path) -> Result<(Self, Vec<Corrupt>), LedgerError> {
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |source| LedgerError::Folder { path, source }
        };
        for part in ["placements", "actions"] {
            let path = folder.join(part);
            fs::create_dir_all(&path).map_err(failed(&path))?;
        }
        let placements = folder.join("placements");
        let mut entries = BTreeMap::new();
        let mut corrupt = Vec::new();
        for file in fs::read_dir(&placements).map_err(failed(&placements))? {
            let path = file.map_err(failed(&placements))?.path();
            if path.extension().is_none_or(|ending| ending != "json") {
                // Left by a crash in the middle of writing: the file itself is still whole.
                fs::remove_file(&path).map_err(failed(&path))?;
                continue;
            }
            match entry::read(&path) {
                Ok(entry) => {
                    entries.insert(entry.target.id, entry);
                }
                Err(reason) => {
                    corrupt.push(set_aside(folder, &path, reason).map_err(failed(&path))?);
                }
            }
        }
        let folder = folder.to_owned();
        Ok((
            Self {
                folder,
                entries: Mutex::new(entries),
                changing: Default::default(),
            },
            corrupt,
        ))
    }

    /// Writes down that a placement is to be ensured.
    ///
    /// # Errors
    /// [`LedgerError::Older`] where a newer generation was accepted, or this one was removed.
    pub fn accept(&self, placement: &Placement, now: Timestamp) -> Result<(), LedgerError> {
        let _changing = self.change(placement.id);
        if let Some(entry) = self.get(placement.id) {
            if entry.refuses(placement.generation) {
                return Err(LedgerError::Older {
                    offered: placement.generation,
                    accepted: entry.generation,
                });
            }
            if entry.placement() == Some(placement) {
                return Ok(());
            }
        }
        self.put(Entry {
            target: placement.reference(),
            generation: placement.generation,
            changed: now,
            state: State::Accepted {
                placement: placement.clone(),
            },
        })
    }

    /// Writes down what an accepted placement is now.
    ///
    /// # Errors
    /// [`LedgerError::Unknown`] where this generation is not what is accepted.
    pub fn ensured(
        &self,
        id: PlacementId,
        generation: u64,
        observed: &Observed,
        now: Timestamp,
    ) -> Result<(), LedgerError> {
        let _changing = self.change(id);
        let unknown = LedgerError::Unknown { generation };
        let Some(entry) = self.get(id) else {
            return Err(unknown);
        };
        if entry.generation != generation {
            return Err(unknown);
        }
        match entry.state {
            State::Ensured {
                observed: ref before,
                ..
            } if before == observed => Ok(()),
            State::Accepted { placement } | State::Ensured { placement, .. } => self.put(Entry {
                state: State::Ensured {
                    placement,
                    observed: observed.clone(),
                },
                changed: now,
                ..entry
            }),
            State::Removing | State::Removed { .. } => Err(unknown),
        }
    }

    /// Writes down that a placement is to be removed; also one that was never accepted.
    ///
    /// # Errors
    /// [`LedgerError::Older`] where a newer generation was accepted.
    pub fn removing(
        &self,
        target: &PlacementRef,
        generation: u64,
        now: Timestamp,
    ) -> Result<(), LedgerError> {
        let _changing = self.change(target.id);
        if let Some(entry) = self.get(target.id)
            && generation < entry.generation
        {
            return Err(LedgerError::Older {
                offered: generation,
                accepted: entry.generation,
            });
        }
        self.put(Entry {
            target: target.clone(),
            generation,
            changed: now,
            state: State::Removing,
        })
    }

    /// Leaves a tombstone in place of a placement that is gone from the host.
    ///
    /// # Errors
    /// [`LedgerError::Unknown`] where it was not being removed.
    pub fn removed(&self, id: PlacementId, now: Timestamp) -> Result<(), LedgerError> {
        let _changing = self.change(id);
        match self.get(id) {
            Some(entry) if matches!(entry.state, State::Removing) => self.put(Entry {
                state: State::Removed { recorded: false },
                changed: now,
                ..entry
            }),
            Some(entry) => Err(LedgerError::Unknown {
                generation: entry.generation,
            }),
            None => Err(LedgerError::Unknown { generation: 0 }),
        }
    }

    /// The core knows that a placement is gone: its tombstone may go when it is old enough.
    ///
    /// # Errors
    /// [`LedgerError::Write`].
    pub fn recorded(&self, id: PlacementId) -> Result<(), LedgerError> {
        let _changing = self.change(id);
        match self.get(id) {
            Some(entry) if matches!(entry.state, State::Removed { recorded: false }) => {
                self.put(Entry {
                    state: State::Removed { recorded: true },
                    ..entry
                })
            }
            _ => Ok(()),
        }
    }

    /// Removes the tombstones that nobody needs any more.
    ///
    /// # Errors
    /// [`LedgerError::Remove`], at the first file that cannot be removed.
    pub fn prune(&self, now: Timestamp) -> Result<(), LedgerError> {
        let old = |entry: &Entry| match entry.state {
            State::Removed { recorded: true } => {
                entry.changed.plus_millis(TOMBSTONE_RECORDED) <= now
            }
            State::Removed { recorded: false } => {
                entry.changed.plus_millis(TOMBSTONE_FORGOTTEN) <= now
            }
            State::Accepted { .. } | State::Ensured { .. } | State::Removing => false,
        };
        let ids: Vec<_> = self
            .lock()
            .values()
            .filter(|e| old(e))
            .map(|e| e.target.id)
            .collect();
        for id in ids {
            let _changing = self.change(id);
            if self.get(id).is_some_and(|entry| old(&entry)) {
                remove_file(&self.path(id))?;
                self.lock().remove(&id);
            }
        }
        Ok(())
    }

    /// Writes down that an action begins, so that it is not done a second time.
    ///
    /// # Errors
    /// [`LedgerError::Write`].
    pub fn begin_action(&self, job: JobId) -> Result<Begun, LedgerError> {
        let path = self.action_path(job);
        if path.exists() {
            return Ok(Begun::Before);
        }
        write(&path, job.to_string().as_bytes())?;
        Ok(Begun::Now)
    }

    /// Forgets an action whose outcome the core has recorded.
    ///
    /// # Errors
    /// [`LedgerError::Remove`].
    pub fn end_action(&self, job: JobId) -> Result<(), LedgerError> {
        remove_file(&self.action_path(job))
    }

    pub fn get(&self, id: PlacementId) -> Option<Entry> {
        self.lock().get(&id).cloned()
    }

    /// All entries, tombstones too.
    pub fn entries(&self) -> Vec<Entry> {
        self.lock().values().cloned().collect()
    }

    /// All that is to be on the host.
    pub fn placements(&self) -> Vec<Placement> {
        self.lock()
            .values()
            .filter_map(Entry::placement)
            .cloned()
            .collect()
    }

    pub fn counts(&self) -> LedgerCounts {
        let mut counts = LedgerCounts::default();
        for entry in self.lock().values() {
            match entry.state {
                State::Accepted { .. } => counts.accepted += 1,
                State::Ensured { .. } => counts.ensured += 1,
                State::Removing => counts.removing += 1,
                State::Removed { .. } => {}
            }
        }
        counts
    }

    fn put(&self, entry: Entry) -> Result<(), LedgerError> {
        let text = serde_json::to_vec_pretty(&entry).expect("an entry is always JSON");
        write(&self.path(entry.target.id), &text)?;
        self.lock().insert(entry.target.id, entry);
        Ok(())
    }

    fn change(&self, id: PlacementId) -> MutexGuard<'_, ()> {
        let which = usize::from(id.0.as_bytes()[15]) % self.changing.len();
        self.changing[which]
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<PlacementId, Entry>> {
        // Nothing panics between two changes that belong together.
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn path(&self, id: PlacementId) -> PathBuf {
        self.folder.join("placements").join(format!("{id}.json"))
    }

    fn action_path(&self, job: JobId) -> PathBuf {
        self.folder.join("actions").join(job.to_string())
    }
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), LedgerError> {
    // Specs may carry what members consider private.
    write_atomic(path, bytes, 0o600).map_err(|source| LedgerError::Write { source })
}

fn remove_file(path: &Path) -> Result<(), LedgerError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(LedgerError::Remove {
            path: path.to_owned(),
            source: error,
        }),
        _ => Ok(()),
    }
}

fn set_aside(folder: &Path, path: &Path, reason: String) -> io::Result<Corrupt> {
    let corrupt = folder.join("corrupt");
    fs::create_dir_all(&corrupt)?;
    let name = path.file_name().unwrap_or(path.as_os_str());
    let moved_to = corrupt.join(name);
    fs::rename(path, &moved_to)?;
    Ok(Corrupt {
        path: path.to_owned(),
        moved_to,
        reason,
    })
}

#[cfg(test)]
mod tests;
