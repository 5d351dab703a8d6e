//! The files of `/etc/config`: read, and replaced one at a time without losing what anybody else commits.
//!
//! libuci's commit locks the file (flock(2)), reads it again, writes a file beside it, unlocks, and only then renames.
//! So who has the lock, and sees no such file beside it, is alone: who comes later waits for the lock of the very
//! file that is about to be replaced, and then renames over what was put there. That is seen afterwards by the
//! digest; what is ours is then put there again, and nothing of the other's was lost.
//!
//! What others have staged and not committed (`/tmp/.uci`) is neither read nor touched.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};

use crate::disk::{self, Digest, DiskError};
use crate::system::System;

/// How long a commit of somebody else's may take.
const LOCKED: Duration = Duration::from_secs(10);
/// How long it may take from unlocking to renaming: what is there longer was left by one that was killed.
const RENAMED: Duration = Duration::from_millis(300);
const PAUSE: Duration = Duration::from_millis(10);

#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error(transparent)]
    Disk(#[from] DiskError),
    #[error("there is no {0}")]
    Missing(PathBuf),
    #[error("cannot lock {0}")]
    Lock(PathBuf, #[source] std::io::Error),
    #[error("somebody keeps {0} locked")]
    Busy(PathBuf),
    #[error("somebody else changed {0} meanwhile")]
    Changed(PathBuf),
}

/// The text of a package's file, and what it is known by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Current {
    pub text: String,
    pub digest: Digest,
}

/// What a file is to become.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Content<'a> {
    Text(&'a str),
    /// The very file that was kept: no room is needed for it.
    Kept(&'a Path),
}

/// What a package's file says now.
pub(crate) fn read(system: &System, package: &str) -> Result<Option<Current>, DiskError> {
    let text = disk::read(&system.config(package))?;
    Ok(text.map(|text| Current {
        digest: Digest::of(&text),
        text,
    }))
}

/// Replaces a package's file, if it still is what it was.
///
/// # Errors
/// [`StoreError::Changed`], with which nothing was done; all others as well.
pub(crate) async fn replace(
    system: &System,
    package: &str,
    was: &Digest,
    content: Content<'_>,
) -> Result<(), StoreError> {
    let path = system.config(package);
    let _lock = lock(&path).await?;
    committed(&path).await?;
    let now = read(system, package)?.ok_or_else(|| StoreError::Missing(path.clone()))?;
    if now.digest != *was {
        return Err(StoreError::Changed(path));
    }
    let finished = beside(&path);
    match content {
        Content::Text(text) => {
            disk::write_unfinished(&finished, text, disk::mode_of(&path)?)?;
        }
        Content::Kept(kept) => disk::keep(kept, &finished)?,
    }
    disk::rename(&finished, &path)?;
    Ok(())
}

/// Not a name that libuci takes for a package.
fn beside(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.rhyzome"))
}

/// The lock of the file that is there when it is had.
async fn lock(path: &Path) -> Result<Flock<File>, StoreError> {
    let began = Instant::now();
    let failed = |e| StoreError::Lock(path.to_owned(), e);
    loop {
        let file = match OpenOptions::new().read(true).write(true).open(path) {
            Ok(file) => file,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                return Err(StoreError::Missing(path.to_owned()));
            }
            Err(e) => return Err(failed(e)),
        };
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(file) if is_at(&file, path) => return Ok(file),
            Ok(_) => continue,
            Err((_, Errno::EWOULDBLOCK)) if began.elapsed() < LOCKED => {}
            Err((_, Errno::EWOULDBLOCK)) => return Err(StoreError::Busy(path.to_owned())),
            Err((_, errno)) => return Err(failed(errno.into())),
        }
        tokio::time::sleep(PAUSE).await;
    }
}

fn is_at(file: &File, path: &Path) -> bool {
    let identity = |of: std::fs::Metadata| (of.dev(), of.ino());
    let there = std::fs::metadata(path).map(identity);
    matches!((file.metadata().map(identity), there), (Ok(own), Ok(there)) if own == there)
}

/// Waits until no commit is between unlocking and renaming.
async fn committed(path: &Path) -> Result<(), StoreError> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let pending = format!(".{name}.uci-");
    let folder = path.parent().unwrap_or(Path::new("/"));
    let began = Instant::now();
    while began.elapsed() < RENAMED {
        let entries = disk::entries(folder)?;
        let is_pending = |entry: &PathBuf| {
            let name = entry.file_name().unwrap_or_default();
            name.to_string_lossy().starts_with(&pending)
        };
        if !entries.iter().any(is_pending) {
            break;
        }
        tokio::time::sleep(PAUSE).await;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn router() -> (tempfile::TempDir, System) {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(root.path().join("etc/config")).unwrap();
        std::fs::write(root.path().join("etc/config/dhcp"), "before").unwrap();
        let system = System::new(root.path(), Vec::new());
        (root, system)
    }

    #[tokio::test]
    async fn a_file_keeps_its_permissions_and_leaves_nothing_beside_it() {
        let (_root, system) = router();
        let path = system.config("dhcp");
        let mode = disk::mode_of(&path).unwrap();
        let was = read(&system, "dhcp").unwrap().unwrap().digest;
        replace(&system, "dhcp", &was, Content::Text("after"))
            .await
            .unwrap();
        assert_eq!(read(&system, "dhcp").unwrap().unwrap().text, "after");
        assert_eq!(disk::mode_of(&path).unwrap(), mode);
        assert_eq!(disk::entries(path.parent().unwrap()).unwrap(), [path]);
    }

    #[tokio::test]
    async fn a_file_that_somebody_changed_is_left_as_it_is() {
        let (_root, system) = router();
        let was = read(&system, "dhcp").unwrap().unwrap().digest;
        std::fs::write(system.config("dhcp"), "theirs").unwrap();
        let error = replace(&system, "dhcp", &was, Content::Text("ours"))
            .await
            .unwrap_err();
        assert!(matches!(error, StoreError::Changed(_)), "{error}");
        assert_eq!(read(&system, "dhcp").unwrap().unwrap().text, "theirs");
    }

    #[tokio::test]
    async fn a_commit_that_has_the_lock_is_waited_for_and_its_text_found() {
        let (_root, system) = router();
        let was = read(&system, "dhcp").unwrap().unwrap().digest;
        let path = system.config("dhcp");
        let file = File::options().read(true).write(true).open(&path).unwrap();
        let held = Flock::lock(file, FlockArg::LockExclusive).unwrap();
        let committing = async {
            tokio::time::sleep(PAUSE * 3).await;
            let finished = path.with_file_name(".dhcp.uci-123456");
            std::fs::write(&finished, "theirs").unwrap();
            drop(held);
            tokio::time::sleep(PAUSE * 3).await;
            std::fs::rename(finished, &path).unwrap();
        };
        let ours = replace(&system, "dhcp", &was, Content::Text("ours"));
        let (ours, ()) = futures::future::join(ours, committing).await;
        assert!(matches!(ours, Err(StoreError::Changed(_))), "{ours:?}");
        assert_eq!(read(&system, "dhcp").unwrap().unwrap().text, "theirs");
    }

    #[tokio::test]
    async fn what_a_killed_commit_left_keeps_nobody() {
        let (_root, system) = router();
        std::fs::write(system.path("/etc/config/.dhcp.uci-123456"), "").unwrap();
        let was = read(&system, "dhcp").unwrap().unwrap().digest;
        replace(&system, "dhcp", &was, Content::Text("ours"))
            .await
            .unwrap();
        assert_eq!(read(&system, "dhcp").unwrap().unwrap().text, "ours");
    }
}
