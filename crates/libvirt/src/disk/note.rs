//! What is written down about an instance's disk that is in a storage pool: which one, and whether the
//! disk is whole. It is in the instance's folder, and goes with it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rhyzome_model::Size;
use serde::{Deserialize, Serialize};

use crate::record::replace;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    pub pool: String,
    pub state: State,
}

/// ```text
///   making ──all written──► whole ──► growing { from } ──the rest is zeros──► whole
/// ```
///
/// Written before the deed: after a kill it says what may be half done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// What is there, if anything, nobody needs.
    Making,
    Whole,
    /// What is behind `from` may be what somebody else's disk left.
    Growing {
        from: Size,
    },
}

impl Note {
    /// Reads an instance's note; none where there is none.
    ///
    /// # Errors
    /// Where it is there and cannot be read: a disk that is whole could be taken for one that is not.
    pub fn read(folder: &Path) -> io::Result<Option<Self>> {
        match fs::read(path(folder)) {
            Ok(bytes) => Ok(Some(serde_json::from_slice(&bytes)?)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Replaces the note as a whole, and returns when it is on the disk.
    pub fn write(&self, folder: &Path) -> io::Result<()> {
        replace(&path(folder), &serde_json::to_vec(self)?)
    }
}

fn path(folder: &Path) -> PathBuf {
    folder.join("in-pool.json")
}
