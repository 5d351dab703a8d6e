//! What is written down about an instance's disk that is in a storage pool: which one, and whether the
//! disk is whole. It is in the instance's folder, and goes with it.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use rhyzome_model::Size;
use serde::{Deserialize, Serialize};

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
        let new = folder.join("disk.json.new");
        let mut file = File::options()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&new)?;
        file.write_all(&serde_json::to_vec(self)?)?;
        file.sync_all()?;
        fs::rename(new, path(folder))?;
        File::open(folder)?.sync_all()
    }
}

fn path(folder: &Path) -> std::path::PathBuf {
    folder.join("disk.json")
}
