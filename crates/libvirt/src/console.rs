//! An instance's serial console: two pipes to QEMU, and a recording that is bounded.
//!
//! QEMU holds the pipes open, and the kernel keeps up to 1 MiB in them while this component is away:
//! a restart of the component loses nothing that fits there, and never holds up a guest (what does not
//! fit is dropped by QEMU). Lost is only what nobody had read when QEMU ended without this component.
//! What is read goes into a [`Ring`] of at most 1 MiB on disk, of which the last 448 KiB are always kept.
//! QEMU's own log file would grow without bound under a guest that floods it.

mod ring;
mod text;

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::stat::Mode;
use rhyzome_model::Timestamp;
use tokio::net::unix::pipe::{OpenOptions, Receiver};
use tokio::sync::{mpsc, oneshot};

pub use ring::Ring;
pub use text::{last_boot, last_lines};

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
    requests: mpsc::Sender<Request>,
    task: tokio::task::JoinHandle<()>,
}

enum Request {
    /// Answers with the last bytes, after all that is in the pipe was read.
    Tail(usize, oneshot::Sender<io::Result<Vec<u8>>>),
    /// Notes that a guest starts.
    Starts(Timestamp, oneshot::Sender<()>),
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Recorder {
    /// Opens the pipe of an instance's folder and begins to record.
    pub fn start(folder: &Path) -> io::Result<Self> {
        prepare(folder)?;
        // Opened for writing too: QEMU may come and go without an end of the stream.
        let pipe = OpenOptions::new()
            .read_write(true)
            .open_receiver(pipes(folder).with_extension("out"))?;
        // SAFETY: a call that only reads its arguments, on a descriptor that is open. Where the kernel
        // allows less, the pipe stays as it is.
        unsafe { nix::libc::fcntl(pipe.as_raw_fd(), nix::libc::F_SETPIPE_SZ, PIPE) };
        let ring = Ring::open(folder.join("console.log"));
        let (requests, inbox) = mpsc::channel(4);
        Ok(Self {
            requests,
            task: tokio::spawn(record(pipe, ring, inbox)),
        })
    }

    /// The last bytes that the guest wrote, up to now.
    pub async fn tail(&self, bytes: usize) -> io::Result<Vec<u8>> {
        let (answer, answered) = oneshot::channel();
        let _ = self.requests.send(Request::Tail(bytes, answer)).await;
        answered
            .await
            .unwrap_or_else(|_| Err(io::ErrorKind::BrokenPipe.into()))
    }

    /// Notes in the recording that a guest starts now, which is where its last words begin.
    pub async fn starts(&self, now: Timestamp) {
        let (answer, answered) = oneshot::channel();
        let _ = self.requests.send(Request::Starts(now, answer)).await;
        let _ = answered.await;
    }
}

async fn record(pipe: Receiver, mut ring: Ring, mut inbox: mpsc::Receiver<Request>) {
    let mut buffer = vec![0; CHUNK];
    loop {
        tokio::select! {
            ready = pipe.readable() => {
                let read = ready.and_then(|()| pipe.try_read(&mut buffer));
                if let Ok(count) = read {
                    keep(&mut ring, &buffer[..count]);
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
                        Ok(count) if count > 0 => keep(&mut ring, &buffer[..count]),
                        _ => break,
                    }
                }
                match request {
                    Some(Request::Tail(bytes, answer)) => drop(answer.send(ring.tail(bytes))),
                    Some(Request::Starts(now, answer)) => {
                        keep(&mut ring, text::boot_line(now).as_bytes());
                        let _ = answer.send(());
                    }
                    None => return,
                }
            }
        }
    }
}

/// A full disk costs the recording, not the guest.
fn keep(ring: &mut Ring, bytes: &[u8]) {
    if let Err(error) = ring.append(bytes) {
        tracing::warn!(%error, path = %ring.path().display(), "a console could not be recorded");
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
