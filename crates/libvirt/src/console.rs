//! An instance's serial console: two pipes to QEMU, and a recording that is bounded.
//!
//! QEMU holds the pipes open, and the kernel keeps up to 1 MiB in them while this component is away:
//! a restart of the component loses nothing that fits there, and never holds up a guest (what does not
//! fit is dropped by QEMU). Lost is only what nobody had read when QEMU ended without this component.
//! What is read goes into a [`Ring`] of at most 1 MiB on disk, of which the last 448 KiB are always kept.
//! QEMU's own log file would grow without bound under a guest that floods it.

mod heard;
pub mod identity;
mod live;
mod ring;
mod text;

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::stat::Mode;
use rhyzome_component::Console;
use rhyzome_model::Timestamp;
use rhyzome_model::console::{ConsoleFrom, ConsolePiece};
use rhyzome_model::instance::SshIdentity;
use tokio::net::unix::pipe::{OpenOptions, Receiver};
use tokio::sync::{mpsc, oneshot};

use heard::Ear;
pub use heard::Heard;
use identity::Scanner;
use live::Readers;
pub use ring::Ring;
pub use text::{last_boot, last_lines, lines};

/// How much the kernel keeps in a pipe that nobody reads, where it allows as much.
const PIPE: i32 = 1 << 20;
const CHUNK: usize = 64 << 10;
/// How long reading rests after a full chunk, so that a flood takes neither a processor nor the disk.
const REST: Duration = Duration::from_millis(20);

/// The path that libvirt is given: QEMU puts `.in` and `.out` behind it.
pub fn pipes(folder: &Path) -> PathBuf {
    folder.join("console")
}

/// Makes the pipes where they are not there.
pub fn prepare(folder: &Path) -> io::Result<()> {
    for ending in ["in", "out"] {
        match nix::unistd::mkfifo(
            &pipes(folder).with_extension(ending),
            Mode::S_IRUSR | Mode::S_IWUSR,
        ) {
            Ok(()) | Err(nix::errno::Errno::EEXIST) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Reads a console as long as it exists. Dropping it stops the reading, and loses nothing.
#[derive(Debug)]
pub struct Recorder {
    folder: PathBuf,
    requests: mpsc::Sender<Request>,
    ear: Ear,
    task: tokio::task::JoinHandle<()>,
}

enum Request {
    /// Answers with the last bytes, after all that is in the pipe was read.
    Tail(usize, oneshot::Sender<io::Result<Vec<u8>>>),
    /// Lets somebody read from a position on.
    Attach(ConsoleFrom, oneshot::Sender<mpsc::Receiver<ConsolePiece>>),
    /// Notes that a guest starts.
    Starts {
        now: Timestamp,
        watched: bool,
        answer: oneshot::Sender<()>,
    },
}

/// What becomes of a guest's SSH identity once its console has said it.
pub struct Watch {
    /// When the guest that runs was started; none where none runs, or nothing is looked for any more.
    pub since: Option<Timestamp>,
    /// Told once.
    pub found: Box<dyn FnMut(SshIdentity) + Send>,
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Recorder {
    /// Opens the pipe of an instance's folder and begins to record.
    pub fn start(folder: &Path, watch: Watch) -> io::Result<Self> {
        prepare(folder)?;
        // Opened for writing too: QEMU may come and go without an end of the stream.
        let pipe = OpenOptions::new()
            .read_write(true)
            .open_receiver(pipes(folder).with_extension("out"))?;
        // SAFETY: a call that only reads its arguments, on a descriptor that is open. Where the kernel
        // allows less, the pipe stays as it is.
        unsafe { nix::libc::fcntl(pipe.as_raw_fd(), nix::libc::F_SETPIPE_SZ, PIPE) };
        let ring = Ring::open(folder.join("console.log"));
        let ear = Ear::new();
        let mut recording = Recording {
            ring,
            ear: ear.clone(),
            readers: Readers::default(),
            scanner: watch.since.map(Scanner::new),
            found: watch.found,
        };
        recording.scan_recorded();
        let (requests, inbox) = mpsc::channel(4);
        Ok(Self {
            folder: folder.to_owned(),
            requests,
            ear,
            task: tokio::spawn(record(pipe, recording, inbox)),
        })
    }

    /// What was heard of the guest up to now.
    pub fn heard(&self) -> Heard {
        self.ear.heard()
    }

    /// The last bytes that the guest wrote, up to now.
    pub async fn tail(&self, bytes: usize) -> io::Result<Vec<u8>> {
        let (answer, answered) = oneshot::channel();
        let _ = self.requests.send(Request::Tail(bytes, answer)).await;
        answered
            .await
            .unwrap_or_else(|_| Err(io::ErrorKind::BrokenPipe.into()))
    }

    /// Attaches somebody: what was recorded from a position on, then all that comes, and what is typed.
    pub async fn attach(&self, from: ConsoleFrom) -> io::Result<Console> {
        let (answer, answered) = oneshot::channel();
        let _ = self.requests.send(Request::Attach(from, answer)).await;
        let output = answered
            .await
            .map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))?;
        Ok(live::attached(&self.folder, output))
    }

    /// Notes in the recording that a guest starts now, which is where its last words begin. Where it is
    /// `watched`, its SSH identity is looked for.
    pub async fn starts(&self, now: Timestamp, watched: bool) {
        let (answer, answered) = oneshot::channel();
        let starts = Request::Starts {
            now,
            watched,
            answer,
        };
        let _ = self.requests.send(starts).await;
        let _ = answered.await;
    }
}

/// What is kept of a console, and what is looked for in it.
struct Recording {
    ring: Ring,
    ear: Ear,
    readers: Readers,
    scanner: Option<Scanner>,
    found: Box<dyn FnMut(SshIdentity) + Send>,
}

impl Recording {
    /// A full disk costs the recording, not the guest.
    fn keep(&mut self, bytes: &[u8]) {
        self.ear.hear(bytes.len());
        self.append(bytes);
        self.scan(bytes);
    }

    fn append(&mut self, bytes: &[u8]) {
        let position = self.ring.end();
        if let Err(error) = self.ring.append(bytes) {
            tracing::warn!(%error, path = %self.ring.path().display(), "a console could not be recorded");
        }
        self.readers.tell(position, bytes);
    }

    fn scan(&mut self, bytes: &[u8]) {
        let Some(scanner) = &mut self.scanner else {
            return;
        };
        let over = scanner.is_over(crate::instances::now());
        let found = if over { None } else { scanner.feed(bytes) };
        if over || found.is_some() {
            self.scanner = None;
        }
        if let Some(found) = found {
            (self.found)(found);
        }
    }

    /// What came of this boot before this recorder.
    fn scan_recorded(&mut self) {
        if self.scanner.is_some()
            && let Ok(bytes) = self.ring.tail(usize::MAX)
        {
            self.scan(last_boot(&bytes));
        }
    }

    /// A guest starts: where nothing was found so far, this boot may say it.
    fn starts(&mut self, now: Timestamp, watched: bool) {
        self.ear.hear(1);
        self.append(text::boot_line(now).as_bytes());
        self.scanner = watched.then(|| Scanner::new(now));
    }
}

async fn record(pipe: Receiver, mut recording: Recording, mut inbox: mpsc::Receiver<Request>) {
    let mut buffer = vec![0; CHUNK];
    loop {
        tokio::select! {
            ready = pipe.readable() => {
                let read = ready.and_then(|()| pipe.try_read(&mut buffer));
                if let Ok(count) = read {
                    recording.keep(&buffer[..count]);
                    if count == CHUNK {
                        tokio::time::sleep(REST).await;
                    }
                }
            }
            request = inbox.recv() => {
                // A flood never ends: as much as the pipe holds was there when it was asked.
                for _ in 0..=(PIPE as usize / CHUNK) {
                    // Past tokio, which knows only later that there is something to read.
                    match nix::unistd::read(&pipe, &mut buffer) {
                        Ok(count) if count > 0 => recording.keep(&buffer[..count]),
                        _ => break,
                    }
                }
                match request {
                    Some(Request::Tail(bytes, answer)) => drop(answer.send(recording.ring.tail(bytes))),
                    Some(Request::Attach(from, answer)) => {
                        let reader = recording.readers.add(&recording.ring, from);
                        drop(answer.send(reader));
                    }
                    Some(Request::Starts { now, watched, answer }) => {
                        recording.starts(now, watched);
                        let _ = answer.send(());
                    }
                    None => return,
                }
            }
        }
    }
}

/// The last bytes of a recording whose guest's folder is known, without a recorder.
pub fn read_recording(folder: &Path, bytes: usize) -> io::Result<Vec<u8>> {
    Ring::open(folder.join("console.log")).tail(bytes)
}

/// The size of a file; 0 where it is not there.
fn length(path: &Path) -> u64 {
    File::open(path)
        .and_then(|file| file.metadata())
        .map_or(0, |metadata| metadata.len())
}

#[cfg(test)]
mod tests;
