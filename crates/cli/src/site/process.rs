//! Processes of this machine: who one is, which are a site's, and ending them.
//!
//! A site's processes are found by their arguments, which name the state folder.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::Duration;
use std::{fs, io};

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep};

use super::layout::Layout;

/// The pause between two looks at whether a process has ended.
const LOOK: Duration = Duration::from_millis(20);

/// One process, and no later one of the same number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Process {
    pub pid: i32,
    /// In clock ticks since the machine started, proc_pid_stat(5).
    pub started: u64,
}

impl Process {
    pub fn current() -> io::Result<Self> {
        Self::of(nix::unistd::getpid().as_raw())
    }

    /// The process that has this number now.
    pub fn of(pid: i32) -> io::Result<Self> {
        let text = fs::read_to_string(format!("/proc/{pid}/stat"))?;
        let started = started(&text).ok_or(io::ErrorKind::InvalidData)?;
        Ok(Self { pid, started })
    }

    /// Whether it runs. One that ended and was not waited for yet does not.
    pub fn is_alive(self) -> bool {
        let text = fs::read_to_string(format!("/proc/{}/stat", self.pid)).unwrap_or_default();
        started(&text) == Some(self.started) && state(&text) != Some("Z")
    }

    /// Sends a signal; one that has ended needs none.
    pub fn signal(self, signal: Signal) {
        if self.is_alive() {
            match kill(Pid::from_raw(self.pid), signal) {
                // Not ours to end: whoever waits for it says so.
                Ok(()) | Err(Errno::ESRCH | Errno::EPERM) => {}
                Err(errno) => debug_assert!(false, "kill: {errno}"),
            }
        }
    }

    /// Waits until it has ended, for so long at most; whether it has.
    pub async fn ended(self, within: Duration) -> bool {
        let until = Instant::now() + within;
        while self.is_alive() {
            if Instant::now() >= until {
                return false;
            }
            sleep(LOOK).await;
        }
        true
    }
}

/// Ends processes: asks them, and after a while forces them. Gives those that go on all the same.
pub async fn end(processes: &[Process], within: Duration) -> Vec<Process> {
    for signal in [Signal::SIGTERM, Signal::SIGKILL] {
        for process in processes {
            process.signal(signal);
        }
        let until = Instant::now() + within;
        for process in processes {
            process
                .ended(until.saturating_duration_since(Instant::now()))
                .await;
        }
    }
    processes
        .iter()
        .copied()
        .filter(|process| process.is_alive())
        .collect()
}

/// The programs of a site that run now, whoever started them; this process is not among them.
pub fn of_site(layout: &Layout) -> Vec<Process> {
    with(|arguments| belongs(arguments, layout))
}

/// Every `rhyzome up` of a site, also one whose lock is lost with its folder.
pub fn supervisors(layout: &Layout) -> Vec<Process> {
    with(|arguments| supervises(arguments, layout))
}

/// QEMU's processes whose files are in a site's folder. The component knows them by its records, which
/// may be lost.
pub fn guests(layout: &Layout) -> Vec<Process> {
    let folder = layout.libvirt();
    with(|arguments| is_guest(arguments, folder.as_os_str().as_bytes()))
}

/// The processes whose arguments are of a kind.
fn with(wanted: impl Fn(&[u8]) -> bool) -> Vec<Process> {
    let own = nix::unistd::getpid().as_raw();
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    let pids = entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(|pid| *pid != own)
        .filter(|pid| {
            let arguments = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            wanted(&arguments)
        })
        .filter_map(|pid| Process::of(pid).ok())
        .filter(|process| process.is_alive())
        .collect()
}

/// Whether arguments are those that a site's programs are started with.
fn belongs(arguments: &[u8], layout: &Layout) -> bool {
    let mut arguments = arguments.split(|byte| *byte == 0);
    let program = arguments
        .next()
        .map(|path| Path::new(OsStr::from_bytes(path)));
    let name = program
        .and_then(Path::file_name)
        .and_then(OsStr::to_str)
        .unwrap_or_default();
    let given = |wanted: &Path| {
        arguments
            .clone()
            .any(|a| a == wanted.as_os_str().as_bytes())
    };
    match name {
        "rhyzome-api" => given(&layout.config("api")),
        "rhyzome-libvirt" => given(&layout.config("libvirt")),
        "rhyzome-linux" => given(&layout.config("linux")),
        "rhyzome" => given(Path::new("simulate")) && given(&layout.simulated()),
        _ => false,
    }
}

fn supervises(arguments: &[u8], layout: &Layout) -> bool {
    let mut arguments = arguments.split(|byte| *byte == 0);
    let program = arguments.next().unwrap_or_default();
    let given = |wanted: &[u8]| arguments.clone().any(|argument| argument == wanted);
    program.rsplit(|byte| *byte == b'/').next() == Some(b"rhyzome")
        && given(b"up")
        && given(layout.root().as_os_str().as_bytes())
}

fn is_guest(arguments: &[u8], folder: &[u8]) -> bool {
    let mut arguments = arguments.split(|byte| *byte == 0);
    let program = arguments.next().unwrap_or_default();
    let name = program
        .rsplit(|byte| *byte == b'/')
        .next()
        .unwrap_or_default();
    let below = [folder, b"/"].concat();
    let names = |argument: &[u8]| argument.windows(below.len()).any(|part| part == below);
    name.starts_with(b"qemu-system-") && arguments.any(names)
}

/// The 22nd field. The second one is a name that may hold spaces and brackets.
fn started(stat: &str) -> Option<u64> {
    stat.rsplit_once(')')?
        .1
        .split_whitespace()
        .nth(19)?
        .parse()
        .ok()
}

fn state(stat: &str) -> Option<&str> {
    stat.rsplit_once(')')?.1.split_whitespace().next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_told_from_a_later_one_of_its_number() {
        let current = Process::current().unwrap();
        assert!(current.is_alive());
        let earlier = Process {
            started: current.started - 1,
            ..current
        };
        assert!(!earlier.is_alive());
        let stat = "12 (a) b)) S 1 12 12 0 -1 4194304 1 0 0 0 0 0 0 0 20 0 1 0 777 1 1";
        assert_eq!((started(stat), state(stat)), (Some(777), Some("S")));
    }

    #[tokio::test]
    async fn a_process_that_does_not_listen_is_forced() {
        let mut child = std::process::Command::new("sh")
            .args(["-c", "trap '' TERM; echo; while :; do sleep 1; done"])
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = [0];
        io::Read::read_exact(child.stdout.as_mut().unwrap(), &mut line).unwrap();
        let process = Process::of(child.id().cast_signed()).unwrap();
        assert_eq!(end(&[process], Duration::from_millis(100)).await, []);
        assert!(!process.is_alive());
        child.wait().unwrap();
    }

    #[test]
    fn a_site_knows_its_programs_by_their_arguments() {
        let layout = Layout::of(Some(Path::new("/s"))).unwrap();
        let check = |arguments: &str, expect: bool| {
            let joined = arguments.replace(' ', "\0");
            assert_eq!(belongs(joined.as_bytes(), &layout), expect, "{arguments}");
        };
        check("/opt/rhyzome-api --config /s/config/api.toml", true);
        check("rhyzome-linux --config /s/config/linux.toml run", true);
        check("/opt/rhyzome simulate /s/simulated", true);
        check("rhyzome-api --config /s2/config/api.toml", false);
        check("vi /s/config/api.toml", false);
        check("rhyzome up --state /s", false);
        assert!(supervises(b"/opt/rhyzome\0up\0--state\0/s\0", &layout));
        assert!(!supervises(b"/opt/rhyzome\0up\0--state\0/s2\0", &layout));
        check("rhyzome down --state /s", false);
        let guest = |line: &str| is_guest(line.replace(' ', "\0").as_bytes(), b"/s/libvirt");
        assert!(guest(
            "/usr/bin/qemu-system-x86_64 -chardev socket,path=/s/libvirt/libvirt/run/m"
        ));
        assert!(!guest(
            "/usr/bin/qemu-system-x86_64 -chardev socket,path=/s/libvirt2/run/m"
        ));
        assert!(!guest("tail /s/libvirt/log"));
    }
}
