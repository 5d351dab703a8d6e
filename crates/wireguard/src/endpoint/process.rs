//! Which process an endpoint is, in a way that survives the reuse of process ids.
//!
//! A process is named by its id, the time it started (field 22 of proc_pid_stat(5)) and the boot
//! it belongs to. A signal goes through a descriptor of that very process (pidfd_open(2)), so it
//! cannot reach another one that took the id meanwhile.

use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};

use nix::poll::{PollFd, PollFlags, PollTimeout};
use nix::sys::signal::Signal;
use serde::{Deserialize, Serialize};

use super::state::{StateDir, StateError};

/// Why a process cannot be looked at or ended.
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    /// What /proc says about the process cannot be read.
    #[error("the process {pid} cannot be looked at")]
    Look {
        /// The process.
        pid: u32,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The signal cannot be sent.
    #[error("{signal} cannot be sent to the process {pid}")]
    Signal {
        /// The process.
        pid: u32,
        /// The signal.
        signal: Signal,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// One process of one boot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ProcessName {
    pub(super) pid: u32,
    /// Clock ticks between boot and the process's start.
    start_time: u64,
    boot_id: String,
}

const FILE: &str = "process.json";

impl ProcessName {
    /// The calling process.
    pub(super) fn own() -> Result<Self, ProcessError> {
        let pid = std::process::id();
        let wrong = |source| ProcessError::Look { pid, source };
        let start_time = start_time(pid).map_err(wrong)?;
        let boot_id = boot_id().map_err(wrong)?;
        Ok(Self {
            pid,
            start_time,
            boot_id,
        })
    }

    /// The process that last ran in the folder, whether or not it still does.
    pub(super) fn read(state: &StateDir) -> Result<Option<Self>, StateError> {
        state.read_json(FILE)
    }

    pub(super) fn write(&self, state: &StateDir) -> Result<(), StateError> {
        state.write_json(FILE, self)
    }

    /// Whether this very process still runs. One that ended and was not waited for does not.
    pub(super) fn runs(&self) -> Result<bool, ProcessError> {
        Ok(self.handle()?.is_some())
    }

    /// A descriptor of this very process, if it runs.
    fn handle(&self) -> Result<Option<OwnedFd>, ProcessError> {
        let wrong = |source| ProcessError::Look {
            pid: self.pid,
            source,
        };
        if boot_id().map_err(wrong)? != self.boot_id {
            return Ok(None);
        }
        // First the descriptor, then the look: what the look finds is what the descriptor is of.
        let found = pidfd(self.pid).and_then(|handle| Ok((start_time(self.pid)?, handle)));
        match found {
            Ok((start, handle)) => {
                let runs = start == self.start_time && !ended(&handle).map_err(wrong)?;
                Ok(runs.then_some(handle))
            }
            Err(error) if is_gone(&error) => Ok(None),
            Err(source) => Err(wrong(source)),
        }
    }

    /// Sends a signal to this very process, and says whether it was there to get it.
    pub(super) fn signal(&self, signal: Signal) -> Result<bool, ProcessError> {
        let wrong = |source| ProcessError::Signal {
            pid: self.pid,
            signal,
            source,
        };
        let Some(handle) = self.handle()? else {
            return Ok(false);
        };
        match send(&handle, signal) {
            Ok(()) => Ok(true),
            Err(error) if is_gone(&error) => Ok(false),
            Err(source) => Err(wrong(source)),
        }
    }
}

fn is_gone(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(nix::libc::ESRCH)
}

/// When a process started, in clock ticks since the boot.
fn start_time(pid: u32) -> io::Result<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    parse_stat(&text).ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, text.clone()))
}

/// The name in the second field may hold blanks and brackets, so counting starts behind it.
fn parse_stat(text: &str) -> Option<u64> {
    let (_, rest) = text.rsplit_once(')')?;
    rest.split_whitespace().nth(19)?.parse().ok()
}

/// Whether all threads of the process have ended: its first thread may be a zombie while others
/// still hold what it had open. The descriptor can be read from then on (pidfd_open(2)).
fn ended(handle: &OwnedFd) -> io::Result<bool> {
    let mut fds = [PollFd::new(handle.as_fd(), PollFlags::POLLIN)];
    let ready = nix::poll::poll(&mut fds, PollTimeout::ZERO).map_err(io::Error::from)?;
    Ok(ready > 0)
}

fn boot_id() -> io::Result<String> {
    let text = fs::read_to_string("/proc/sys/kernel/random/boot_id")?;
    Ok(text.trim().to_owned())
}

fn pidfd(pid: u32) -> io::Result<OwnedFd> {
    let pid = nix::libc::pid_t::try_from(pid).map_err(io::Error::other)?;
    // SAFETY: pidfd_open takes two integers and touches no memory of ours.
    let fd = unsafe { nix::libc::syscall(nix::libc::SYS_pidfd_open, pid, 0) };
    let fd = i32::try_from(fd).map_err(io::Error::other)?;
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just made this descriptor for us, and nobody else knows of it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn send(handle: &OwnedFd, signal: Signal) -> io::Result<()> {
    let no_info = std::ptr::null::<nix::libc::siginfo_t>();
    // SAFETY: the descriptor is open, and a null siginfo asks for the one kill(2) would send.
    let sent = unsafe {
        nix::libc::syscall(
            nix::libc::SYS_pidfd_send_signal,
            handle.as_raw_fd(),
            signal as i32,
            no_info,
            0,
        )
    };
    match sent {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn a_name_with_blanks_and_brackets_does_not_shift_the_fields() {
        let text = "7 (a) R (b) c) S 1 7 7 0 -1 4 1 0 0 0 1 2 3 4 20 0 1 0 98765 1 2\n";
        assert_eq!(parse_stat(text), Some(98765));
        assert_eq!(parse_stat("7 (short) S 1"), None);
    }

    #[test]
    fn a_process_that_took_the_id_of_another_is_not_signalled() {
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        let own = ProcessName::own().unwrap();
        let start_time = start_time(child.id()).unwrap();
        let another = ProcessName {
            pid: child.id(),
            start_time: start_time + 1,
            boot_id: own.boot_id.clone(),
        };
        assert!(!another.runs().unwrap());
        assert!(!another.signal(Signal::SIGKILL).unwrap());
        let last_boot = ProcessName {
            start_time,
            boot_id: "another".to_owned(),
            ..another.clone()
        };
        assert!(!last_boot.signal(Signal::SIGKILL).unwrap());

        let itself = ProcessName {
            start_time,
            ..another
        };
        assert!(itself.runs().unwrap());
        assert!(itself.signal(Signal::SIGKILL).unwrap());
        let status = child.wait().unwrap();
        assert_eq!(status.code(), None, "only the last signal reached it");
        assert!(!itself.runs().unwrap());
    }

    #[test]
    fn a_process_that_ended_and_was_not_waited_for_does_not_run() {
        let mut child = Command::new("true").spawn().unwrap();
        let start_time = start_time(child.id()).unwrap();
        let name = ProcessName {
            pid: child.id(),
            start_time,
            boot_id: boot_id().unwrap(),
        };
        let bound = std::time::Instant::now() + std::time::Duration::from_secs(10);
        while name.runs().unwrap() {
            assert!(std::time::Instant::now() < bound, "true does not end");
            std::thread::yield_now();
        }
        assert!(fs::exists(format!("/proc/{}", child.id())).unwrap());
        child.wait().unwrap();
    }
}
