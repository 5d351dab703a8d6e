//! One `rhyzome up` a state folder: a lock that ends with the process, and who holds it.

use std::fs::{self, File, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use rhyzome_model::Timestamp;
use serde::{Deserialize, Serialize};

use super::Error;
use super::layout::Layout;
use super::process::Process;
use crate::output::time;

/// How long the lock may be taken by somebody who does not hold the site.
const PASSING: Duration = Duration::from_secs(1);
const LOOK: Duration = Duration::from_millis(10);

/// How far the holder is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    Starting,
    Up,
    Stopping,
    /// `rhyzome down` holds it.
    Down,
}

/// Who holds the lock. Pid and start time together are one process and no later one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    pub process: Process,
    pub since: Timestamp,
    pub phase: Phase,
}

/// The lock, held until this is dropped.
pub struct Lock {
    file: File,
    holder: Holder,
}

impl Lock {
    /// Takes the lock; the folder is there.
    ///
    /// # Errors
    /// [`Error::Running`] or [`Error::Stopping`] where somebody else holds it.
    pub fn take(layout: &Layout, phase: Phase) -> Result<Self, Error> {
        let path = layout.lock();
        let file = open(&path).map_err(Error::file(&path))?;
        lock(&file, layout)?;
        let process = Process::current().map_err(Error::file("/proc/self/stat"))?;
        let holder = Holder {
            process,
            since: time::now(),
            phase,
        };
        let mut lock = Self { file, holder };
        lock.write().map_err(Error::file(&path))?;
        Ok(lock)
    }

    /// Tells others how far it is.
    pub fn reached(&mut self, phase: Phase) -> Result<(), Error> {
        self.holder.phase = phase;
        self.write().map_err(Error::file("up.lock"))
    }

    fn write(&mut self) -> io::Result<()> {
        let text = serde_json::to_vec(&self.holder)?;
        self.file.set_len(0)?;
        self.file.rewind()?;
        self.file.write_all(&text)
    }
}

/// Who holds the lock now; none if nobody does.
pub fn holder(layout: &Layout) -> Result<Option<Holder>, Error> {
    let path = layout.lock();
    let mut file = match File::open(&path) {
        Ok(file) => file,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(Error::file(path)(e)),
    };
    match file.try_lock_shared() {
        Ok(()) => return Ok(None),
        Err(TryLockError::WouldBlock) => {}
        Err(TryLockError::Error(source)) => return Err(Error::File { path, source }),
    }
    let mut text = String::new();
    file.read_to_string(&mut text).map_err(Error::file(&path))?;
    // Half-written where it is being written this very moment: whoever asks, asks again.
    Ok(serde_json::from_str(&text).ok())
}

/// Locks the file. [`holder`] has it locked for a moment too, and so does who took it and has not yet
/// written that down: whoever is refused without a holder that runs tries again.
fn lock(file: &File, layout: &Layout) -> Result<(), Error> {
    let path = layout.lock();
    let until = Instant::now() + PASSING;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(()),
            Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(source)) => return Err(Error::File { path, source }),
        }
        if let Some(holder) = holder(layout)?
            && holder.process.is_alive()
        {
            return Err(held(&holder, layout));
        }
        if Instant::now() >= until {
            return Err(Error::Locked { path });
        }
        thread::sleep(LOOK);
    }
}

fn held(holder: &Holder, layout: &Layout) -> Error {
    let pid = holder.process.pid;
    match holder.phase {
        Phase::Stopping | Phase::Down => Error::Stopping { pid },
        Phase::Starting | Phase::Up => Error::Running {
            pid,
            since: holder.since.to_string(),
            folder: layout.root().to_owned(),
        },
    }
}

fn open(path: &Path) -> io::Result<File> {
    fs::OpenOptions::new()
        .create(true)
        .truncate(false)
        .read(true)
        .write(true)
        .open(path)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    #[test]
    fn the_second_one_is_told_who_was_first() {
        let folder = tempfile::tempdir().unwrap();
        let layout = Layout::of(Some(folder.path())).unwrap();
        assert_eq!(holder(&layout).unwrap(), None);
        let mut lock = Lock::take(&layout, Phase::Starting).unwrap();
        lock.reached(Phase::Up).unwrap();
        let found = holder(&layout).unwrap().unwrap();
        assert_eq!(
            (found.process, found.phase),
            (Process::current().unwrap(), Phase::Up)
        );
        let Err(Error::Running { pid, .. }) = Lock::take(&layout, Phase::Starting) else {
            panic!("the lock was taken twice");
        };
        assert_eq!(pid, Process::current().unwrap().pid);
        drop(lock);
        assert_eq!(holder(&layout).unwrap(), None);
        assert!(Lock::take(&layout, Phase::Starting).is_ok());
    }

    #[test]
    fn who_only_looks_keeps_nobody_from_the_lock() {
        let folder = tempfile::tempdir().unwrap();
        let layout = Layout::of(Some(folder.path())).unwrap();
        let done = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    holder(&layout).unwrap();
                }
            });
            let refused = (0..50).find_map(|_| Lock::take(&layout, Phase::Starting).err());
            done.store(true, Ordering::Relaxed);
            assert!(refused.is_none(), "{refused:?}");
        });
    }

    #[test]
    fn a_lock_that_nobody_lets_go_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let layout = Layout::of(Some(folder.path())).unwrap();
        let reader = open(&layout.lock()).unwrap();
        reader.try_lock_shared().unwrap();
        let Err(Error::Locked { path }) = Lock::take(&layout, Phase::Starting) else {
            panic!("the lock was taken, or has a holder");
        };
        assert_eq!(path, layout.lock());
    }
}
