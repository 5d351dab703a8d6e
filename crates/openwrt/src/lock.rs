//! The lock of a router: one change at a time, whatever component makes it.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};

use crate::system::System;

/// Lost at a start of the router, as is whoever had it.
const PATH: &str = "/var/lock/rhyzome-openwrt.lock";
/// Longer than a change takes that is put back again.
const PATIENCE: Duration = Duration::from_secs(300);
const PAUSE: Duration = Duration::from_millis(20);

#[derive(Debug, thiserror::Error)]
pub enum LockError {
    #[error("cannot take the lock {0}")]
    Take(PathBuf, #[source] io::Error),
    #[error("another process holds the lock {0} for too long")]
    Busy(PathBuf),
}

/// Held until it is dropped, or its process ends.
#[derive(Debug)]
pub(crate) struct Lock(#[expect(dead_code, reason = "unlocks when dropped")] Flock<File>);

/// Waits for who has it.
pub(crate) async fn take(system: &System) -> Result<Lock, LockError> {
    let path = system.path(PATH);
    let failed = |e| LockError::Take(path.clone(), e);
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(failed)?;
    }
    let began = Instant::now();
    loop {
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(failed)?;
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(file) => return Ok(Lock(file)),
            Err((_, Errno::EWOULDBLOCK)) if began.elapsed() < PATIENCE => {}
            Err((_, Errno::EWOULDBLOCK)) => return Err(LockError::Busy(path)),
            Err((_, errno)) => return Err(failed(errno.into())),
        }
        tokio::time::sleep(PAUSE).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_has_it_at_a_time() {
        let root = tempfile::tempdir().unwrap();
        let system = System::new(root.path(), Vec::new());
        let first = take(&system).await.unwrap();
        let second = tokio::time::timeout(PAUSE * 3, take(&system)).await;
        assert!(second.is_err(), "two have it");
        drop(first);
        take(&system).await.unwrap();
    }
}
