//! What is at the other end of a router's cable: a namespace with a bridge, `wire`, that the cable is in.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::fd::AsFd;
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};

use nix::sched::{CloneFlags, unshare};

use super::inside::inside;

/// A namespace on a wire. It ends when this is dropped.
#[derive(Debug)]
pub struct Neighbour {
    network: File,
    /// Of cables that were plugged: a name may still be in use when the next one is.
    plugged: AtomicU32,
}

impl Neighbour {
    pub(super) fn new() -> Self {
        let made = std::thread::spawn(|| {
            unshare(CloneFlags::CLONE_NEWNET).expect("tests run as root");
            File::open("/proc/thread-self/ns/net").expect("a thread has namespaces")
        });
        let made = Self {
            network: made.join().expect("it does not panic"),
            plugged: AtomicU32::new(0),
        };
        made.inside(|| {
            // Frames inside a bridge are not the business of IP's filters; and addresses are there at once.
            for (key, value) in [
                ("net/bridge/bridge-nf-call-iptables", "0"),
                ("net/bridge/bridge-nf-call-ip6tables", "0"),
                ("net/ipv6/conf/default/accept_dad", "0"),
            ] {
                // Where the kernel has none of it, there is nothing to switch off.
                let _ = fs::write(format!("/proc/sys/{key}"), value);
            }
        });
        made.ip("link add wire type bridge forward_delay 0 mcast_snooping 0");
        made.ip("link set wire up");
        made.ip("link set lo up");
        made
    }

    /// Cuts the cable that was plugged last.
    pub(super) fn unplug(&self) {
        let last = self.plugged.load(Ordering::Relaxed).saturating_sub(1);
        self.ip(&format!("link del end{last}"));
    }

    /// Makes a cable to a card in the namespace of a process.
    pub(super) fn plug(&self, card: &str, mac: &str, holder: u32) {
        let end = format!("end{}", self.plugged.fetch_add(1, Ordering::Relaxed));
        self.ip(&format!(
            "link add {end} type veth peer name {card} address {mac} netns {holder}"
        ));
        self.ip(&format!("link set {end} master wire up"));
    }

    /// Does something in its network namespace, on a thread of its own.
    pub fn inside<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        inside(&[self.network.as_fd()], work)
    }

    /// Runs a program of this machine in its network namespace.
    pub fn run<S: AsRef<OsStr>>(&self, words: impl IntoIterator<Item = S>) -> Output {
        let words: Vec<S> = words.into_iter().collect();
        let (program, arguments) = words.split_first().expect("a program to run");
        let mut command = Command::new(program);
        command.args(arguments);
        let run = || command.output();
        self.inside(run).expect("the program runs")
    }

    /// Runs `ip` with words, which has to end well. Returns what it wrote.
    pub fn ip(&self, words: &str) -> String {
        let output = self.run(std::iter::once("ip").chain(words.split_whitespace()));
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "ip {words}: {errors}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }
}
