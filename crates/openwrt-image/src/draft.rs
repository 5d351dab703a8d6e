//! The copy of an image that is being prepared: a file without a name, so that nothing is left of it whatever happens.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use nix::fcntl::{AT_FDCWD, AtFlags, OFlag};
use nix::unistd::linkat;
use tempfile::{NamedTempFile, TempPath};

use crate::Error;

/// A token is in it, which is for its owner alone.
const MODE: u32 = 0o600;

/// A file on its way.
#[derive(Debug)]
pub struct Draft {
    pub(crate) file: File,
    /// Where the folder's file system knows no files without a name: removed when dropped.
    named: Option<TempPath>,
    folder: PathBuf,
}

impl Draft {
    /// One that may get a name in a folder.
    ///
    /// # Errors
    /// The folder cannot be written to.
    pub fn within(folder: &Path) -> Result<Self, Error> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).mode(MODE);
        let unnamed = options.custom_flags(OFlag::O_TMPFILE.bits()).open(folder);
        if let Ok(file) = unnamed {
            return Ok(Self {
                file,
                named: None,
                folder: folder.to_owned(),
            });
        }
        let named = NamedTempFile::new_in(folder).map_err(|source| Error::Write {
            path: folder.to_owned(),
            source,
        })?;
        let (file, path) = named.into_parts();
        Ok(Self {
            file,
            named: Some(path),
            folder: folder.to_owned(),
        })
    }

    /// Another one, where there is as much room as for this.
    pub(crate) fn another(&self) -> Result<Self, Error> {
        Self::within(&self.folder)
    }

    /// The folder that a file at a path would be in.
    pub fn folder_of(path: &Path) -> &Path {
        let folder = path
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty());
        folder.unwrap_or(Path::new("."))
    }

    /// Another handle of the same file.
    ///
    /// # Errors
    /// The process has no more of them.
    pub fn handle(&self) -> Result<File, Error> {
        self.file.try_clone().map_err(Error::io("the draft"))
    }

    /// Where this process finds the file for as long as the draft is there.
    pub fn path(&self) -> PathBuf {
        match &self.named {
            Some(path) => path.to_path_buf(),
            None => PathBuf::from(format!("/proc/self/fd/{}", self.file.as_raw_fd())),
        }
    }

    /// Gives it its name at once. Without `force`, nothing that is there is written over.
    ///
    /// # Errors
    /// There is something at the path, or it cannot be written.
    pub fn finish(self, path: &Path, force: bool) -> Result<(), Error> {
        let failed = |source: io::Error| match source.kind() {
            io::ErrorKind::AlreadyExists => Error::Present {
                path: path.to_owned(),
            },
            _ => Error::Write {
                path: path.to_owned(),
                source,
            },
        };
        self.file.sync_all().map_err(failed)?;
        let folder = Self::folder_of(path);
        let from = self.path();
        match self.named {
            Some(named) if force => named.persist(path).map_err(|e| failed(e.error))?,
            Some(named) => named.persist_noclobber(path).map_err(|e| failed(e.error))?,
            None if force => {
                // A link does not take another file's place; a name that is there for a moment only does.
                let between = tempfile::Builder::new()
                    .prefix(".rhyzome-")
                    .make_in(folder, |between| link(&from, between))
                    .map_err(failed)?;
                between
                    .into_temp_path()
                    .persist(path)
                    .map_err(|e| failed(e.error))?;
            }
            None => link(&from, path).map_err(failed)?,
        }
        let folder = fs::File::open(folder).map_err(failed)?;
        folder.sync_all().map_err(failed)
    }
}

fn link(from: &Path, to: &Path) -> io::Result<()> {
    linkat(AT_FDCWD, from, AT_FDCWD, to, AtFlags::AT_SYMLINK_FOLLOW).map_err(io::Error::from)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn nothing_is_there_before_it_is_finished() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("gw.img");
        let mut draft = Draft::within(folder.path()).unwrap();
        draft.file.write_all(b"new").unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        assert_eq!(fs::read(draft.path()).unwrap(), b"new");
        draft.finish(&path, false).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_is_there_is_written_over_only_by_force() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("gw.img");
        fs::write(&path, "old").unwrap();
        let refused = Draft::within(folder.path()).unwrap().finish(&path, false);
        assert!(matches!(refused, Err(Error::Present { .. })), "{refused:?}");
        assert_eq!(fs::read(&path).unwrap(), b"old");
        Draft::within(folder.path())
            .unwrap()
            .finish(&path, true)
            .unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_draft_that_is_dropped_leaves_nothing_also_where_it_has_a_name() {
        let folder = tempfile::tempdir().unwrap();
        let (file, path) = NamedTempFile::new_in(folder.path()).unwrap().into_parts();
        let named = Draft {
            file,
            named: Some(path),
            folder: folder.path().to_owned(),
        };
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        drop(named);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
