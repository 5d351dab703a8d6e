//! A network namespace that a test made: gone when dropped, with every process that is still in it.

use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sched::{CloneFlags, setns};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::host::{self, Process};
use crate::wait::eventually;

/// How long processes may take to be gone after SIGKILL.
const KILLED: Duration = Duration::from_secs(10);

pub struct Place {
    name: String,
    inode: u64,
}

impl Place {
    /// # Panics
    /// Where the namespace cannot be made.
    pub fn new(name: String) -> Self {
        host::command("ip", &["netns", "add", &name], None);
        let inode = inode(&name).expect("it was just made");
        let place = Self { name, inode };
        place.ip("link set lo up");
        place
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// The number by which the kernel tells namespaces apart.
    pub fn inode(&self) -> u64 {
        self.inode
    }

    /// Takes the calling thread, and those that it starts from now on, into the namespace.
    ///
    /// # Panics
    /// Where that is not possible.
    pub fn enter(&self) {
        enter(&self.name);
    }

    /// Does something inside, on a thread of its own.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        run_in(&self.name, work)
    }

    /// Does something inside, on a thread and a runtime of its own.
    pub fn block_on<T: Send>(&self, work: impl AsyncFnOnce() -> T + Send) -> T {
        self.run(|| {
            let mut builder = tokio::runtime::Builder::new_current_thread();
            let runtime = builder.enable_all().build();
            runtime.expect("a runtime").block_on(work())
        })
    }

    /// Runs `ip` inside, with these arguments.
    pub fn ip(&self, arguments: &str) -> String {
        let words: Vec<&str> = arguments.split_whitespace().collect();
        self.run(|| host::command("ip", &words, None))
    }

    /// Loads nftables rules inside.
    pub fn nft(&self, rules: &str) {
        self.run(|| host::command("nft", &["-f", "-"], Some(rules)));
    }

    /// The processes inside.
    pub fn processes(&self) -> Vec<Process> {
        host::processes(|process| process.namespace == Some(self.inode))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        for process in self.processes() {
            eprintln!("killing what was left behind in {}: {process}", self.name);
            // It may have ended by itself meanwhile.
            let _gone = kill(Pid::from_raw(process.pid), Signal::SIGKILL);
        }
        if !eventually(KILLED, || self.processes().is_empty()) {
            eprintln!("{} still has {:?}", self.name, self.processes());
        }
        delete(&self.name);
    }
}

/// Removes a namespace, or says that it stays.
pub fn delete(name: &str) {
    if let Err(error) = host::attempt("ip", &["netns", "del", name], None) {
        eprintln!("the namespace {name} was left behind: {error}");
    }
}

/// Does something in the namespace of this name, on a thread of its own.
///
/// # Panics
/// With what the work panicked with.
pub fn run_in<T: Send>(name: &str, work: impl FnOnce() -> T + Send) -> T {
    let inside = || {
        enter(name);
        work()
    };
    match std::thread::scope(|scope| scope.spawn(inside).join()) {
        Ok(done) => done,
        Err(panic) => std::panic::resume_unwind(panic),
    }
}

/// The number by which the kernel tells a namespace apart; none where there is no such namespace.
pub fn inode(name: &str) -> Option<u64> {
    std::fs::metadata(path(name)).ok().map(|meta| meta.ino())
}

/// Takes the calling thread into the namespace of this name.
///
/// # Panics
/// Where that is not possible.
pub fn enter(name: &str) {
    let entered = File::open(path(name)).and_then(|file| {
        setns(file, CloneFlags::CLONE_NEWNET)?;
        Ok(())
    });
    if let Err(error) = entered {
        panic!("cannot enter the network namespace {name}: {error}");
    }
}

/// See ip-netns(8).
fn path(name: &str) -> PathBuf {
    Path::new("/run/netns").join(name)
}
