//! Programs that run beside a test: started in a namespace, with their output in a file, ended when
//! dropped.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::Place;
use crate::wait::eventually;

/// How long a program may take to end after SIGTERM.
const GRACE: Duration = Duration::from_secs(15);

/// A program that runs until it is told to end.
pub struct Running {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Running {
    /// Starts a program in a namespace. What it writes is appended to the file.
    ///
    /// # Panics
    /// Where it cannot be started.
    pub fn start(place: &Place, mut command: Command, log: &Path) -> Self {
        let name = command.get_program().to_string_lossy().into_owned();
        let name = name.rsplit('/').next().unwrap_or(&name).to_owned();
        let file = File::options().create(true).append(true).open(log);
        let file = file.unwrap_or_else(|error| panic!("{}: {error}", log.display()));
        let again = file.try_clone().expect("another handle of an open file");
        command.stdin(Stdio::null()).stdout(file).stderr(again);
        let started = place.run(move || command.spawn());
        let child = started.unwrap_or_else(|error| panic!("cannot start {name}: {error}"));
        Self {
            name,
            child,
            log: log.to_owned(),
        }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it has written so far, over all its starts.
    pub fn output(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// How it ended, if it has.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child
            .try_wait()
            .expect("it is a child of this process")
    }

    /// Ends it without its having a say: what SIGKILL, a crash and the kernel's out-of-memory do.
    pub fn kill_hard(mut self) {
        self.child.kill().expect("it is a child of this process");
        self.child.wait().expect("it is a child of this process");
    }

    /// Asks it to end, and returns how it did.
    ///
    /// # Panics
    /// Where it does not end in time.
    pub fn stop(mut self) -> ExitStatus {
        self.ask_to_end();
        match self.ended() {
            Some(status) => status,
            None => panic!("{} did not end after SIGTERM", self.name),
        }
    }

    fn ask_to_end(&mut self) {
        let pid = Pid::from_raw(self.child.id().cast_signed());
        // It may have ended by itself; it stays a zombie until it is waited for.
        let _ended = kill(pid, Signal::SIGTERM);
        eventually(GRACE, || self.ended().is_some());
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.ended().is_some() {
            return;
        }
        self.ask_to_end();
        if self.ended().is_none() {
            eprintln!("{} did not end after SIGTERM and is killed", self.name);
            // A child that is not waited for cannot be anybody else.
            let _killed = self.child.kill();
            let _ended = self.child.wait();
        }
    }
}

/// The last lines of a program's output, for people who look why a test failed.
pub fn tail(name: &str, log: &Path) -> String {
    const LINES: usize = 60;
    let text = std::fs::read_to_string(log).unwrap_or_else(|error: io::Error| error.to_string());
    let lines: Vec<&str> = text.lines().collect();
    let last = &lines[lines.len().saturating_sub(LINES)..];
    format!("---- {name}\n{}\n----", last.join("\n"))
}
