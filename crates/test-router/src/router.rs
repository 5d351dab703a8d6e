//! A router from outside.

mod builder;
mod cage;
mod flash;
mod image;
mod inside;
mod neighbour;

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::Fault;
use cage::Cage;

pub use builder::Builder;
pub use flash::Written;
pub use neighbour::Neighbour;

/// How long a router may take to come up, and to be gone.
const BOUND: Duration = Duration::from_secs(60);

/// A router that is running. What cannot be done with it panics: it is the test's machine that fails then.
#[derive(Debug)]
pub struct Router {
    cage: Cage,
    nics: Vec<Nic>,
    /// Its image and the faults that there are.
    folder: TempDir,
}

/// A network card, and what its cable leads to.
#[derive(Debug)]
struct Nic {
    mac: String,
    wire: Neighbour,
}

impl Router {
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// One as it comes: 24.10, with rpcd, a LAN, an uplink and a trunk that nobody uses.
    pub fn start() -> Self {
        Self::builder().start()
    }

    /// The programs that a machine has to have for a router to start on it, at the same paths as here, with the
    /// libraries that they need.
    pub fn needs() -> Vec<PathBuf> {
        image::needs()
    }

    fn boot(folder: TempDir, nics: Vec<Nic>) -> Self {
        let cage = boot(folder.path(), &nics);
        Self { cage, nics, folder }
    }

    /// What its root has under a path, as seen from outside. It holds until the next start.
    pub fn path(&self, inside: impl AsRef<Path>) -> PathBuf {
        let inside = inside.as_ref();
        let inside = inside.strip_prefix("/").unwrap_or(inside);
        self.cage.root().join(inside)
    }

    /// A program of the router's, in all its namespaces. It ends with the command's process.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(cage::program());
        command.arg("enter").arg(self.cage.init().to_string());
        command.arg(program);
        command
    }

    /// Runs a program of the router's to its end.
    pub fn run<S: AsRef<OsStr>>(&self, words: impl IntoIterator<Item = S>) -> Output {
        let mut words = words.into_iter();
        let program = words.next().expect("a program to run");
        let mut command = self.command(program);
        command.args(words);
        command.output().expect("the program of this package runs")
    }

    /// Runs a program of the router's, which has to end well. Returns what it wrote.
    pub fn output<S: AsRef<OsStr>>(&self, words: impl IntoIterator<Item = S>) -> String {
        let words: Vec<S> = words.into_iter().collect();
        let output = self.run(&words);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let words: Vec<&OsStr> = words.iter().map(AsRef::as_ref).collect();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success(),
            "{words:?}: {}: {text}{errors}",
            output.status
        );
        text
    }

    /// Does something in the router's network namespace, on a thread of its own.
    pub fn inside<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        inside::inside(&[self.cage.network()], work)
    }

    /// Does something in the router's network namespace and with its root as `/`, on a thread of its own: a program
    /// that is started there is one of the router's.
    pub fn aboard<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        inside::inside(&[self.cage.network(), self.cage.mounts()], work)
    }

    pub fn fault(&self, fault: Fault) {
        fs::write(self.faults().join(fault.file()), "").expect("the folder of faults is ours");
    }

    pub fn mend(&self, fault: Fault) {
        fs::remove_file(self.faults().join(fault.file())).expect("there is the fault");
    }

    fn faults(&self) -> PathBuf {
        self.folder.path().join("faults")
    }

    /// Waits until something is so.
    ///
    /// # Panics
    /// Where it takes a minute; with what the router's log says.
    pub fn wait_for(&self, what: &str, mut is_so: impl FnMut(&Self) -> bool) {
        let begin = Instant::now();
        while !is_so(self) {
            if begin.elapsed() > BOUND {
                let log = self.run(["logread"]).stdout;
                panic!("still not so: {what}\n{}", String::from_utf8_lossy(&log));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Stops it in good order, with everything written, and starts it again.
    pub fn reboot(&mut self) {
        self.sync();
        self.again();
    }

    /// Takes its power away, and starts it again: it has what was synced.
    pub fn lose_power(&mut self) {
        self.shut_flash();
        self.again();
    }

    fn again(&mut self) {
        self.cage.end();
        self.cage = boot(self.folder.path(), &self.nics);
    }

    /// What is at the other end of a card's cable: 0 is the LAN, 1 the uplink.
    pub fn neighbour(&self, card: usize) -> &Neighbour {
        &self.nics[card].wire
    }

    /// Plugs another card in. Returns its number, which is that of its name until the next start.
    pub fn plug(&mut self, mac: &str) -> usize {
        let number = self.nics.len();
        let nic = Nic {
            mac: mac.to_owned(),
            wire: Neighbour::new(),
        };
        // A number that is still in use by a card that was there before.
        let taken = |number: &usize| self.path(format!("/sys/class/net/eth{number}")).exists();
        let mut free = (number..).filter(|number| !taken(number));
        let name = format!("eth{}", free.next().unwrap_or(number));
        nic.wire.plug(&name, mac, self.cage.holder());
        self.nics.push(nic);
        number
    }

    /// Pulls a card out. At the next start those behind it have other names.
    pub fn unplug(&mut self, mac: &str) {
        let at = self.nics.iter().position(|nic| nic.mac == mac);
        let nic = self.nics.remove(at.expect("there is the card"));
        nic.wire.unplug();
    }
}

/// Cards have names by their order.
fn boot(folder: &Path, nics: &[Nic]) -> Cage {
    let mut cage = Cage::new(folder);
    for (number, nic) in nics.iter().enumerate() {
        nic.wire
            .plug(&format!("eth{number}"), &nic.mac, cage.holder());
    }
    cage.boot();
    cage
}
