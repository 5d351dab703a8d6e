//! Bytes that go out whole, and are verified on their way: the last piece is held back until all of them
//! are known to be the right ones.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use rhyzome_blob::Reader;
use rhyzome_model::Digest;
use rhyzome_store::blob::Place;
use sha2::Digest as _;
use tokio::io::{AsyncRead, ReadBuf};

use crate::Core;

/// Whoever reads it gets an error instead of the end of damaged bytes, which are marked so.
pub(super) struct Whole {
    bytes: Reader,
    hash: sha2::Sha256,
    read: u64,
    core: Core,
    place: Place,
}

impl Whole {
    pub(super) fn new(bytes: Reader, core: &Core, place: Place) -> Self {
        Self {
            bytes,
            hash: sha2::Sha256::new(),
            read: 0,
            core: core.clone(),
            place,
        }
    }

    fn damage(&self) -> Option<String> {
        let (read, size) = (self.read, self.place.size.as_bytes());
        if read < size {
            return Some(format!("it has {read} bytes where {size} are right"));
        }
        let found = Digest::from_bytes(self.hash.clone().finalize().into());
        (found != self.place.digest).then(|| format!("its bytes have the digest {found} by now"))
    }

    fn refuse(&self, damage: String) -> io::Error {
        let (core, place, told) = (self.core.clone(), self.place.clone(), damage.clone());
        tokio::spawn(async move {
            if let Err(error) = super::note(&core, &place, Some(&told)).await {
                tracing::error!(digest = %place.digest, %error, "damage is not noted");
            }
        });
        io::Error::new(io::ErrorKind::InvalidData, damage)
    }
}

impl AsyncRead for Whole {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(self.bytes.as_mut().poll_read(cx, buffer))?;
        let piece = &buffer.filled()[before..];
        let (count, ended) = (piece.len() as u64, piece.is_empty());
        self.hash.update(piece);
        self.read += count;
        let complete = self.read >= self.place.size.as_bytes();
        // Nobody asks for nothing, so that nothing is the end; what is complete was looked at before.
        let due = if ended {
            !complete && buffer.remaining() > 0
        } else {
            complete
        };
        if due && let Some(damage) = self.damage() {
            buffer.set_filled(before);
            return Poll::Ready(Err(self.refuse(damage)));
        }
        Poll::Ready(Ok(()))
    }
}
