//! The folder of the programs that the core has sent, and of the record. What the record does not name has no
//! business there, and goes at the next opportunity: whatever was half-made is among it.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use rhyzome_model::Digest;
use rhyzome_pki::file::{FileError, write_atomic};

use super::record::Record;

const RECORD: &str = "record.json";

#[derive(Clone, Debug)]
pub struct Folder(PathBuf);

#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    #[error("the folder for programs {path} could not be made")]
    Make { path: PathBuf, source: io::Error },
    #[error("the record of the component's programs could not be written")]
    Write(#[source] FileError),
    #[error("{path} could not be read")]
    Read { path: PathBuf, source: io::Error },
    #[error("{path} could not be made a program")]
    Mode { path: PathBuf, source: io::Error },
    #[error("{path} is not needed any more, and could not be removed")]
    Remove { path: PathBuf, source: io::Error },
}

impl Folder {
    pub fn of(state_dir: &Path) -> Self {
        Self(state_dir.join("program"))
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Where a program is that was sent.
    pub fn program(&self, digest: Digest) -> PathBuf {
        self.0.join(digest.to_string())
    }

    /// Which of the programs that were sent a path is, if it is one.
    pub fn recognise(&self, executable: &Path) -> Option<Digest> {
        let folder = fs::canonicalize(&self.0).ok()?;
        (executable.parent()? == folder).then_some(())?;
        executable.file_name()?.to_str()?.parse().ok()
    }

    /// The folder that a program is in which was sent, and which one that is.
    pub fn around(executable: &Path) -> Option<(Self, Digest)> {
        let digest = executable.file_name()?.to_str()?.parse().ok()?;
        let folder = executable.parent()?;
        folder
            .join(RECORD)
            .exists()
            .then(|| (Self(folder.to_owned()), digest))
    }

    /// The record; none where nothing was ever written down, or where it cannot be understood, which is told.
    ///
    /// # Errors
    /// [`FolderError::Read`].
    pub fn load(&self) -> Result<Option<Record>, FolderError> {
        let path = self.0.join(RECORD);
        let bytes = match fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            read => read.map_err(|source| FolderError::Read {
                path: path.clone(),
                source,
            })?,
        };
        match serde_json::from_slice(&bytes) {
            Ok(record) => Ok(Some(record)),
            Err(error) => {
                let path = path.display();
                tracing::error!(%path, %error, "the record of programs makes no sense: the installed one runs");
                Ok(None)
            }
        }
    }

    /// Makes the folder, if it is not there.
    ///
    /// # Errors
    /// [`FolderError::Make`].
    pub fn make(&self) -> Result<(), FolderError> {
        fs::create_dir_all(&self.0).map_err(|source| FolderError::Make {
            path: self.0.clone(),
            source,
        })
    }

    /// Writes the record down, whole, to the disk.
    ///
    /// # Errors
    /// [`FolderError::Make`], [`FolderError::Write`].
    pub fn save(&self, record: &Record) -> Result<(), FolderError> {
        self.make()?;
        let text = serde_json::to_vec_pretty(record).expect("texts and numbers alone");
        write_atomic(&self.0.join(RECORD), &text, 0o600).map_err(FolderError::Write)
    }

    /// Lets a program be run.
    ///
    /// # Errors
    /// [`FolderError::Mode`].
    pub fn make_executable(&self, digest: Digest) -> Result<(), FolderError> {
        let path = self.program(digest);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755))
            .map_err(|source| FolderError::Mode { path, source })
    }

    /// Removes all but the record and what it needs.
    ///
    /// # Errors
    /// [`FolderError::Read`], [`FolderError::Remove`].
    pub fn sweep(&self, record: &Record) -> Result<(), FolderError> {
        let failed = |source| FolderError::Read {
            path: self.0.clone(),
            source,
        };
        let entries = match fs::read_dir(&self.0) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            entries => entries.map_err(failed)?,
        };
        for entry in entries {
            let name = entry.map_err(failed)?.file_name();
            let text = name.to_str();
            let digest = text.and_then(|text| text.parse().ok());
            if text == Some(RECORD) || digest.is_some_and(|digest| record.needs(digest)) {
                continue;
            }
            let path = self.0.join(&name);
            match fs::remove_file(&path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                removed => removed.map_err(|source| FolderError::Remove { path, source })?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::record::{Base, Which};
    use super::*;

    fn record() -> Record {
        Record::new(Base {
            path: PathBuf::from("/usr/bin/rhyzome-linux"),
            digest: Digest::of(b"installed"),
        })
    }

    #[test]
    fn a_record_is_read_as_it_was_written_and_one_that_makes_no_sense_is_none() {
        let state_dir = tempfile::tempdir().unwrap();
        let folder = Folder::of(state_dir.path());
        assert_eq!(folder.load().unwrap(), None);
        let mut record = record();
        record.previous = Some(Which::Sent(Digest::of(b"new")));
        record.try_out(uuid::Uuid::from_u128(7), Which::Installed, 30);
        folder.save(&record).unwrap();
        assert_eq!(folder.load().unwrap(), Some(record));
        fs::write(folder.path().join(RECORD), "{").unwrap();
        assert_eq!(folder.load().unwrap(), None);
    }

    #[test]
    fn a_sweep_leaves_the_record_and_what_it_needs() {
        let state_dir = tempfile::tempdir().unwrap();
        let folder = Folder::of(state_dir.path());
        folder
            .sweep(&record())
            .expect("where there is nothing, too");
        let [old, new, other] = [b"old".as_slice(), b"new", b"other"].map(Digest::of);
        let mut record = record();
        record.current = Which::Sent(new);
        record.previous = Some(Which::Sent(old));
        folder.save(&record).unwrap();
        for digest in [old, new, other] {
            fs::write(folder.program(digest), "").unwrap();
        }
        fs::write(folder.path().join(format!("{other}.partial")), "").unwrap();
        fs::write(folder.path().join("record.json.new-7"), "").unwrap();
        folder.sweep(&record).unwrap();
        let mut left: Vec<_> = fs::read_dir(folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        left.sort();
        let mut expect = vec![old.to_string(), new.to_string(), RECORD.to_owned()];
        expect.sort();
        assert_eq!(left, expect);
        assert_eq!(folder.recognise(&folder.program(new)), Some(new));
        assert_eq!(folder.recognise(Path::new("/usr/bin/rhyzome-linux")), None);
    }
}
