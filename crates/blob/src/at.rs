//! Bytes in a location, read here and there: for recognising what they are.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use rhyzome_model::image::recognise::ReadAt;
use tokio::io::AsyncReadExt as _;
use tokio::runtime::Handle;

use crate::{Key, Location};

/// Bytes are fetched in blocks of this size, of which the last one is kept.
const BLOCK: u64 = 256 << 10;

/// Reads what is under a key, from a thread that may block.
pub struct Blocks {
    location: Arc<dyn Location>,
    key: Key,
    size: u64,
    runtime: Handle,
    /// The number of a block, and its bytes.
    last: Mutex<Option<(u64, Vec<u8>)>>,
}

impl Blocks {
    pub fn new(location: Arc<dyn Location>, key: Key, size: u64, runtime: Handle) -> Self {
        Self {
            location,
            key,
            size,
            runtime,
            last: Mutex::default(),
        }
    }

    fn fetch(&self, number: u64) -> io::Result<Vec<u8>> {
        let range = number * BLOCK..((number + 1) * BLOCK).min(self.size);
        self.runtime.block_on(async {
            let mut block = Vec::new();
            let reader = self.location.read(&self.key, range).await;
            let mut reader = reader.map_err(io::Error::other)?;
            reader.read_to_end(&mut block).await?;
            Ok(block)
        })
    }
}

impl ReadAt for Blocks {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let mut filled = 0;
        while filled < buffer.len() {
            let at = offset.saturating_add(filled as u64);
            if at >= self.size {
                break;
            }
            let number = at / BLOCK;
            let block = match &mut *last {
                Some((kept, block)) if *kept == number => block,
                other => &mut other.insert((number, self.fetch(number)?)).1,
            };
            let start = usize::try_from(at % BLOCK).unwrap_or(usize::MAX);
            let rest = block.get(start..).unwrap_or_default();
            if rest.is_empty() {
                break;
            }
            let count = rest.len().min(buffer.len() - filled);
            buffer[filled..filled + count].copy_from_slice(&rest[..count]);
            filled += count;
        }
        Ok(filled)
    }
}
