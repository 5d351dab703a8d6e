//! Whoever is attached to a console: readers, each with a bounded queue, and what they type.

use std::path::{Path, PathBuf};

use rhyzome_component::Console;
use rhyzome_model::console::{ConsoleFrom, ConsolePiece};
use tokio::io::AsyncWriteExt as _;
use tokio::net::unix::pipe::{OpenOptions, Sender};
use tokio::sync::mpsc;

use super::Ring;

/// How many pieces wait for a reader that is slow; further ones it loses.
const QUEUE: usize = 64;

/// The readers of one console.
#[derive(Debug, Default)]
pub struct Readers(Vec<mpsc::Sender<ConsolePiece>>);

impl Readers {
    /// Lets somebody read from a position on: what is recorded first, then all that comes.
    pub fn add(&mut self, ring: &Ring, from: ConsoleFrom) -> mpsc::Receiver<ConsolePiece> {
        let end = ring.end();
        let wanted = match from {
            ConsoleFrom::Position(position) => end.saturating_sub(position),
            ConsoleFrom::Last(bytes) => u64::from(bytes),
        };
        let bytes = ring
            .tail(usize::try_from(wanted).unwrap_or(usize::MAX))
            .unwrap_or_default();
        let (sender, receiver) = mpsc::channel(QUEUE);
        let first = ConsolePiece {
            position: end - bytes.len() as u64,
            bytes,
        };
        // The queue is empty, and its other end is in our hands.
        let _ = sender.try_send(first);
        self.0.push(sender);
        receiver
    }

    /// Passes on what the guest wrote. A full queue loses it.
    pub fn tell(&mut self, position: u64, bytes: &[u8]) {
        self.0.retain(|reader| !reader.is_closed());
        for reader in &self.0 {
            let _ = reader.try_send(ConsolePiece {
                position,
                bytes: bytes.to_vec(),
            });
        }
    }
}

/// What is attached: the readers' end, and a task that types into the pipe that QEMU reads.
pub fn attached(folder: &Path, output: mpsc::Receiver<ConsolePiece>) -> Console {
    let (input, inlet) = mpsc::channel(QUEUE);
    let pipe = super::pipes(folder).with_extension("in");
    tokio::spawn(type_in(pipe, inlet));
    Console { output, input }
}

/// Types until nobody is attached. Where no guest runs, what is typed goes nowhere: it is not for the
/// next one.
async fn type_in(path: PathBuf, mut inlet: mpsc::Receiver<Vec<u8>>) {
    let mut pipe: Option<Sender> = None;
    while let Some(bytes) = inlet.recv().await {
        if pipe.is_none() {
            pipe = OpenOptions::new().open_sender(&path).ok();
        }
        if let Some(open) = &mut pipe
            && open.write_all(&bytes).await.is_err()
        {
            pipe = None;
        }
    }
}
