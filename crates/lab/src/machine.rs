//! A running guest: QEMU, and scripts that run in it one after the other.

use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel, sync_channel};
use std::time::{Duration, Instant};

use crate::Luggage;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// How long a boot may take: some seconds where a processor is free for it.
const BOOT: Duration = Duration::from_secs(180);
/// After which it is begun anew, once: one in very many does not come up.
const STILL: Duration = Duration::from_secs(60);

/// Memory besides what the files take, in MiB.
const MEMORY: u64 = 512;

/// What the kernel is told. Its tests of itself, and waiting for what only real processors have, take time.
const COMMAND_LINE: &str = "console=ttyS0 quiet panic=-1 tsc=reliable no_timer_check nokaslr mitigations=off \
     random.trust_cpu=on cryptomgr.notests";

/// A guest that runs scripts. It is killed when this is dropped, and when this process ends in whatever way.
pub struct Machine {
    qemu: Child,
    output: Receiver<Vec<u8>>,
    /// What was said since the last script ended.
    said: Vec<u8>,
    scripts: u32,
    console: File,
}

/// How a script ended.
#[derive(Debug)]
pub struct Output {
    pub status: i32,
    /// What it wrote, errors among it.
    pub text: String,
}

impl Machine {
    /// Boots a guest with these files in it.
    ///
    /// # Panics
    /// Where it does not come up in time, with what it said.
    pub fn boot(luggage: &Luggage) -> Self {
        let folder = tempfile::Builder::new().prefix("rhyzome-lab").tempdir();
        let folder = folder.expect("a folder for what is temporary");
        let files = folder.path().join("files");
        let packed = luggage.pack(&built("lab.img"), &files);
        packed.unwrap_or_else(|error| panic!("cannot pack what the guest needs: {error}"));
        let console = folder.path().join("console");
        let reader = File::create_new(&console).and_then(|_| File::open(&console));
        let reader = reader.expect("the folder is this process's own");
        let begin = || {
            let (qemu, output) = start(qemu(&files, &console));
            let console = reader.try_clone().expect("a file is cloned");
            Self {
                qemu,
                output,
                said: Vec::new(),
                scripts: 0,
                console,
            }
        };
        let mut machine = begin();
        let ready = "ready\n";
        if machine.listen(ready, STILL) == Err(RecvTimeoutError::Timeout) {
            drop(machine);
            machine = begin();
            machine.hear(ready, BOOT, "it boots");
        }
        // All of it is read or open: nothing of the folder is left if this process is killed from now on.
        machine
    }

    /// Runs a shell script in the guest, as root.
    ///
    /// # Panics
    /// Where it does not end within the bound, or the guest has ended, with what both said. The guest is of no use
    /// afterwards.
    pub fn run(&mut self, script: &str, bound: Duration) -> Output {
        self.scripts += 1;
        // Nothing else says this.
        let mark = format!("end-of-script-{}-{}", self.scripts, std::process::id());
        let line = format!("{mark} {}\n", STANDARD.encode(script));
        let input = self.qemu.stdin.as_mut().expect("it is piped");
        let written = input.write_all(line.as_bytes());
        if written.is_err() {
            self.complain("has ended");
        }
        let text = self.hear(&format!("\n{mark} "), bound, script);
        let status = self.hear("\n", bound, script);
        Output {
            status: status.parse().expect("a shell's status is a number"),
            text,
        }
    }

    /// Waits until the guest says something; gives what it said before.
    ///
    /// # Panics
    /// Where it does not say that in time.
    fn hear(&mut self, what: &str, bound: Duration, why: &str) -> String {
        match self.listen(what, bound) {
            Ok(said) => said,
            Err(RecvTimeoutError::Timeout) => {
                self.complain(&format!("took more than {} s: {why}", bound.as_secs()))
            }
            Err(RecvTimeoutError::Disconnected) => self.complain("has ended"),
        }
    }

    fn listen(&mut self, what: &str, bound: Duration) -> Result<String, RecvTimeoutError> {
        let until = Instant::now() + bound;
        loop {
            let found = self
                .said
                .windows(what.len())
                .position(|part| part == what.as_bytes());
            if let Some(at) = found {
                let rest = self.said.split_off(at + what.len());
                let said = std::mem::replace(&mut self.said, rest);
                return Ok(String::from_utf8_lossy(&said[..at]).into_owned());
            }
            let left = until.saturating_duration_since(Instant::now());
            self.said.extend(self.output.recv_timeout(left)?);
        }
    }

    fn complain(&mut self, what: &str) -> ! {
        let mut console = Vec::new();
        if let Err(error) = self.console.read_to_end(&mut console) {
            console = error.to_string().into_bytes();
        }
        panic!(
            "the guest {what}\n---- it said\n{}\n---- its console\n{}\n----",
            String::from_utf8_lossy(&self.said),
            String::from_utf8_lossy(&console),
        );
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ended = self.qemu.kill();
        let _waited = self.qemu.wait();
    }
}

/// A file of those that `images/linux/build` makes.
///
/// # Panics
/// Where it was not made.
fn built(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../target/linux")
        .join(name);
    let shown = path.display();
    assert!(
        path.exists(),
        "{shown} is not there: run `images/linux/build` before"
    );
    path
}

fn qemu(files: &Path, console: &Path) -> Command {
    let size = std::fs::metadata(files).expect("it was just written").len();
    // They are there twice while they are unpacked.
    let memory = MEMORY + 2 * (size >> 20);
    // The kernel ends it with the thread that starts it, and so with this process.
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "qemu-system-x86_64"]);
    command.args([
        "-machine",
        "q35",
        "-accel",
        "tcg",
        "-cpu",
        "qemu64,+rdrand",
        "-smp",
        "2",
    ]);
    command.args([
        "-nodefaults",
        "-no-user-config",
        "-display",
        "none",
        "-no-reboot",
    ]);
    command.arg("-m").arg(memory.to_string());
    command.arg("-kernel").arg(built("vmlinuz"));
    command.arg("-initrd").arg(files);
    command.args(["-append", COMMAND_LINE]);
    command
        .arg("-serial")
        .arg(format!("file:{}", console.display()));
    command.args([
        "-device",
        "virtio-serial-pci",
        "-chardev",
        "stdio,id=port,signal=off",
    ]);
    command.args(["-device", "virtserialport,chardev=port,name=lab"]);
    command
}

/// Starts QEMU from a thread of its own, which hands on what the guest says and lives as long as QEMU does.
fn start(mut command: Command) -> (Child, Receiver<Vec<u8>>) {
    let (started, child) = sync_channel(1);
    let (say, said) = channel();
    std::thread::spawn(move || {
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let spawned = command.spawn();
        let mut child = spawned.unwrap_or_else(|error| panic!("cannot start QEMU: {error}"));
        let mut output = child.stdout.take().expect("it is piped");
        let mut buffer = [0; 8192];
        if started.send(child).is_err() {
            return;
        }
        while let Ok(size @ 1..) = output.read(&mut buffer) {
            // Nobody listens any more when the guest is being killed.
            let _heard = say.send(buffer[..size].to_vec());
        }
    });
    (child.recv().expect("it is sent, or has said why not"), said)
}
