//! Locks between processes: a component, another one on the same host, and a `down` beside them.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};

/// Where the locks are. Lost at a reboot, like what they guard.
const DIRECTORY: &str = "/run/rhyzome";
/// How long to wait for another process: longer than any holder needs for its few system calls.
const PATIENCE: Duration = Duration::from_secs(20);
const PAUSE: Duration = Duration::from_millis(5);

#[derive(Debug, thiserror::Error)]
pub enum LockError {
    #[error("cannot open the lock {0}")]
    Open(PathBuf, #[source] io::Error),
    #[error("cannot take the lock {0}")]
    Take(PathBuf, #[source] Errno),
    #[error("another process holds the lock {0} for too long")]
    Busy(PathBuf),
}

/// Held until it is dropped, or its process ends.
pub struct Lock {
    path: PathBuf,
    #[expect(dead_code, reason = "unlocks when dropped")]
    file: Flock<File>,
}

impl Drop for Lock {
    /// Takes the file away while it is still locked: who waits for it sees that, and makes another.
    fn drop(&mut self) {
        // A file that stays is no harm: the next one to take the lock uses it.
        let _ = std::fs::remove_file(&self.path);
        let _ = std::fs::remove_dir(DIRECTORY);
    }
}

/// Takes the lock of a name, waiting for who has it.
pub async fn take(name: &str) -> Result<Lock, LockError> {
    let path = Path::new(DIRECTORY).join(format!("{name}.lock"));
    let started = std::time::Instant::now();
    loop {
        let file = open(&path).map_err(|e| LockError::Open(path.clone(), e))?;
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(file) if is_at(&file, &path) => return Ok(Lock { path, file }),
            // Taken away by who had it before.
            Ok(_) => continue,
            Err((_, Errno::EWOULDBLOCK)) if started.elapsed() < PATIENCE => {}
            Err((_, Errno::EWOULDBLOCK)) => return Err(LockError::Busy(path)),
            Err((_, errno)) => return Err(LockError::Take(path, errno)),
        }
        tokio::time::sleep(PAUSE).await;
    }
}

fn is_at(file: &File, path: &Path) -> bool {
    let there = std::fs::metadata(path).map(|there| (there.dev(), there.ino()));
    matches!((file.metadata(), there), (Ok(own), Ok(there)) if (own.dev(), own.ino()) == there)
}

/// The folder may be taken away by another process between making it and opening a file in it.
fn open(path: &Path) -> io::Result<File> {
    loop {
        // Not with what is above it: that would look again at one that is there, and may be gone then.
        match DirBuilder::new().mode(0o755).create(DIRECTORY) {
            Err(e) if e.kind() != io::ErrorKind::AlreadyExists => return Err(e),
            _ => {}
        }
        match OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(path)
        {
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            opened => return opened,
        }
    }
}
