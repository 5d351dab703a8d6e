//! The process that holds a router's namespaces, and the pipe on which its life hangs.
//!
//! ```text
//!   new ── "ready LOOP" ──► cards are plugged ── boot ── "init PID" ──► "booted" ──► … ── end: the pipe closes
//! ```

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use super::{BOUND, Written};

/// The program of this package. Cargo puts it beside the folder of the tests.
pub fn program() -> PathBuf {
    let own = std::env::current_exe().expect("a process has a program");
    let found = own
        .ancestors()
        .skip(1)
        .take(3)
        .map(|folder| folder.join("rhyzome-test-router"))
        .find(|path| path.is_file());
    found.unwrap_or_else(|| {
        panic!(
            "no rhyzome-test-router above {}: cargo build --workspace --bins",
            own.display()
        )
    })
}

#[derive(Debug)]
pub struct Cage {
    process: Child,
    /// Closed, it ends the process and all in its namespaces.
    pipe: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
    /// Where the image is, `/dev/loop3`.
    device: PathBuf,
    /// What was written to it before, by whomever.
    before: Written,
    /// The process of the router's `init`, 0 before there is one.
    init: i32,
    network: File,
    mounts: File,
}

impl Cage {
    /// Makes namespaces with the image of a folder mounted in them, and nothing running yet.
    pub fn new(folder: &Path) -> Self {
        let mut process = Command::new(program())
            .arg("cage")
            .arg(folder)
            // What is sent to all of the test's processes is not meant for the router's.
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the program of this package runs");
        let pipe = process.stdin.take();
        let answers = process.stdout.take().expect("it is piped");
        let namespace = |kind: &str| {
            let path = format!("/proc/{}/ns/{kind}", process.id());
            File::open(path).expect("a process has namespaces")
        };
        let mut answers = BufReader::new(answers);
        let device = PathBuf::from(expect(&mut answers, "ready"));
        Self {
            network: namespace("net"),
            mounts: namespace("mnt"),
            before: Written::ever(&device),
            device,
            init: 0,
            pipe,
            answers,
            process,
        }
    }

    /// Starts `init`, and waits until its scripts have run.
    pub fn boot(&mut self) {
        let pipe = self.pipe.as_mut().expect("it is open until the end");
        pipe.write_all(b"boot\n").expect("the cage is there");
        let init = expect(&mut self.answers, "init");
        self.init = init.parse().expect("it is a process' number");
        let booted = self.root().join("tmp/booted");
        let begin = Instant::now();
        while !booted.exists() {
            assert!(begin.elapsed() < BOUND, "the router does not start");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// The process that is in the router's network namespace.
    pub fn holder(&self) -> u32 {
        self.process.id()
    }

    pub fn init(&self) -> i32 {
        self.init
    }

    pub fn root(&self) -> PathBuf {
        PathBuf::from(format!("/proc/{}/root", self.init))
    }

    pub fn network(&self) -> BorrowedFd<'_> {
        self.network.as_fd()
    }

    pub fn mounts(&self) -> BorrowedFd<'_> {
        self.mounts.as_fd()
    }

    pub fn before(&self) -> Written {
        self.before
    }

    pub fn device(&self) -> &Path {
        &self.device
    }

    /// Ends all that runs in it, and waits until its file system is not mounted any more.
    pub fn end(&mut self) {
        let Some(pipe) = self.pipe.take() else {
            return;
        };
        drop(pipe);
        let _ = self.process.wait();
        // What is open of a namespace keeps it.
        let null = File::open("/dev/null").expect("there is /dev/null");
        self.network = null.try_clone().expect("there are file descriptors");
        self.mounts = null;
        let name = self.device.file_name().unwrap_or_default();
        let backing = Path::new("/sys/block").join(name).join("loop/backing_file");
        let image = fs::read_to_string(&backing).ok();
        let begin = Instant::now();
        while image.is_some() && fs::read_to_string(&backing).ok() == image {
            if begin.elapsed() > BOUND {
                let device = self.device.display();
                eprintln!("{device} is still in use: is something of the router's open?");
                return;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

impl Drop for Cage {
    fn drop(&mut self) {
        self.end();
    }
}

/// The rest of the next line, which begins with a word.
fn expect(answers: &mut BufReader<ChildStdout>, word: &str) -> String {
    let mut line = String::new();
    answers.read_line(&mut line).expect("lines are text");
    let rest = line.strip_prefix(word);
    let rest = rest.unwrap_or_else(|| panic!("the router ended before {word}: {line}"));
    rest.trim().to_owned()
}
