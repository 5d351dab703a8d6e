//! Locks between processes: a component, another one on the same host, and a `down` beside them.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
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
pub struct Lock(#[expect(dead_code, reason = "unlocks when dropped")] Flock<File>);

/// Takes the lock of a name, waiting for who has it.
pub async fn take(name: &str) -> Result<Lock, LockError> {
    let path = Path::new(DIRECTORY).join(format!("{name}.lock"));
    let mut file = open(&path).map_err(|e| LockError::Open(path.clone(), e))?;
    let started = std::time::Instant::now();
    loop {
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(held) => return Ok(Lock(held)),
            Err((back, Errno::EWOULDBLOCK)) if started.elapsed() < PATIENCE => file = back,
            Err((_, Errno::EWOULDBLOCK)) => return Err(LockError::Busy(path)),
            Err((_, errno)) => return Err(LockError::Take(path, errno)),
        }
        tokio::time::sleep(PAUSE).await;
    }
}

fn open(path: &Path) -> io::Result<File> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o755)
        .create(DIRECTORY)?;
    OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(path)
}
