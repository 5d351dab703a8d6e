//! A console that says back what is typed.

use rhyzome_model::console::{ConsoleFrom, ConsolePiece};
use tokio::sync::mpsc;

use crate::driver::Console;

/// Begins with a text, and then echoes.
pub fn console(text: String, from: ConsoleFrom) -> Console {
    let (output, outlet) = mpsc::channel(16);
    let (input, mut inlet) = mpsc::channel::<Vec<u8>>(16);
    let mut written = text.into_bytes();
    let begin = match from {
        ConsoleFrom::Position(position) => usize::try_from(position).unwrap_or(usize::MAX),
        ConsoleFrom::Last(last) => written
            .len()
            .saturating_sub(usize::try_from(last).unwrap_or(usize::MAX)),
    };
    tokio::spawn(async move {
        let mut position = begin.min(written.len());
        let mut bytes = written.split_off(position);
        loop {
            let length = bytes.len();
            let piece = ConsolePiece {
                position: position as u64,
                bytes,
            };
            if output.send(piece).await.is_err() {
                return;
            }
            position += length;
            bytes = tokio::select! {
                typed = inlet.recv() => match typed {
                    Some(typed) => typed,
                    None => return output.closed().await,
                },
                () = output.closed() => return,
            };
        }
    });
    Console {
        output: outlet,
        input,
    }
}
