//! Processes of ours, found by what they were started with: a path below the state directory stands in
//! their arguments. No file says which they are, so none can be wrong about it.

use std::io;
use std::os::fd::{FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::Path;
use std::time::Duration;

use nix::libc;
use nix::sys::signal::Signal;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::error::Error;

/// A process at the time of the look.
#[derive(Debug)]
pub(crate) struct Process {
    pub pid: i32,
    pub arguments: Vec<Vec<u8>>,
    handle: OwnedFd,
}

/// All processes for which `wanted` says true of their arguments. Those that have ended and were not
/// waited for do not count.
pub(crate) fn find(wanted: impl Fn(&[Vec<u8>]) -> bool) -> Result<Vec<Process>, Error> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").map_err(Error::Processes)? {
        let name = entry.map_err(Error::Processes)?.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse::<i32>().ok()) else {
            continue;
        };
        let Some(first) = arguments(pid) else {
            continue;
        };
        if !wanted(&first) {
            continue;
        }
        // The handle first, then the look that counts: then both are of the same process.
        let Ok(handle) = open(pid) else { continue };
        if arguments(pid).as_ref() == Some(&first) {
            found.push(Process {
                pid,
                arguments: first,
                handle,
            });
        }
    }
    Ok(found)
}

/// None also for a process that has ended: its arguments are gone then.
fn arguments(pid: i32) -> Option<Vec<Vec<u8>>> {
    let text = std::fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let arguments: Vec<Vec<u8>> = text
        .split(|byte| *byte == 0)
        .filter(|part| !part.is_empty())
        .map(<[u8]>::to_vec)
        .collect();
    if arguments.is_empty() {
        None
    } else {
        Some(arguments)
    }
}

/// Whether an argument is a path below a folder, or an option with such a value.
pub(crate) fn is_below(argument: &[u8], folder: &Path) -> bool {
    let start = argument
        .iter()
        .position(|byte| *byte == b'/')
        .unwrap_or(argument.len());
    let path = std::ffi::OsString::from_vec(argument[start..].to_vec());
    Path::new(&path).starts_with(folder)
}

pub(crate) fn open(pid: i32) -> io::Result<OwnedFd> {
    // SAFETY: pidfd_open takes two integers and touches no memory of ours.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
    let fd = i32::try_from(fd).map_err(io::Error::other)?;
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just made this descriptor for us, and nobody else knows of it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// A pidfd can be read from when its process has ended (pidfd_open(2)).
fn watched(handle: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an OwnedFd is the same open descriptor for as long as it lives.
    let watched = unsafe { AsyncFd::register_with_interest(handle, Interest::READABLE) };
    watched.map_err(io::Error::from)
}

impl Process {
    pub fn signal(&self, signal: Signal) -> io::Result<()> {
        use std::os::fd::AsRawFd;
        let no_info = std::ptr::null::<libc::siginfo_t>();
        let handle = self.handle.as_raw_fd();
        // SAFETY: the descriptor is open, and a null siginfo asks for the one kill(2) would send.
        let sent = unsafe {
            libc::syscall(
                libc::SYS_pidfd_send_signal,
                handle,
                signal as i32,
                no_info,
                0,
            )
        };
        match sent {
            0 => Ok(()),
            _ => match io::Error::last_os_error() {
                e if e.raw_os_error() == Some(libc::ESRCH) => Ok(()),
                e => Err(e),
            },
        }
    }

    /// Returns when the process has ended.
    pub async fn ended(self) -> io::Result<()> {
        let handle = watched(self.handle)?;
        handle.readable().await.map(drop)
    }

    /// Asks it to end, then makes it.
    pub async fn stop(self) -> Result<(), Error> {
        const PATIENCE: Duration = Duration::from_secs(3);
        self.signal(Signal::SIGTERM).map_err(Error::Processes)?;
        let pid = self.pid;
        let handle = watched(self.handle).map_err(Error::Processes)?;
        if tokio::time::timeout(PATIENCE, handle.readable())
            .await
            .is_ok()
        {
            return Ok(());
        }
        let again = Self {
            pid,
            arguments: Vec::new(),
            handle: handle.into_inner(),
        };
        again.signal(Signal::SIGKILL).map_err(Error::Processes)?;
        match tokio::time::timeout(PATIENCE, again.ended()).await {
            Ok(ended) => ended.map_err(Error::Processes),
            Err(_) => Err(Error::Immortal(pid)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_below_a_folder_by_whole_names() {
        let folder = Path::new("/var/lib/rhyzome");
        assert!(is_below(b"--conf-file=/var/lib/rhyzome/a", folder));
        assert!(is_below(b"/var/lib/rhyzome/a", folder));
        assert!(!is_below(b"/var/lib/rhyzome2/a", folder));
        assert!(!is_below(b"var", folder));
    }
}
