//! Where the bytes of images are kept: one interface, with a folder and S3-compatible object storage
//! behind it.
//!
//! Bytes arrive in pieces, over as many requests and processes as it takes: what is staged is described
//! by a [`Staged`] that its owner keeps in a row, so whatever is half-made has a name before it has
//! bytes, and is finished or discarded by that name. Every upload has a key of its own, also of bytes
//! that are there already: nothing is ever written over, and removing one never touches another.
//!
//! Left out on purpose: digests are not computed here but by whoever reads and writes ([`verify`]);
//! who may have which bytes, and which keys belong to which digest, is the core's to know.

mod at;
#[cfg(test)]
mod contract;
mod error;
mod folder;
mod s3;
mod verify;

use std::fmt;
use std::ops::Range;
use std::pin::Pin;

use async_trait::async_trait;
use bytes::Bytes;
use rhyzome_model::Digest;
use serde::{Deserialize, Serialize};
use tokio::io::AsyncRead;

pub use at::Blocks;
pub use error::{Error, Result};
pub use folder::Folder;
pub use s3::{Credentials, S3, S3Options};
pub use verify::{digest_of, verify};

/// Bytes on their way out.
pub type Reader = Pin<Box<dyn AsyncRead + Send>>;

/// A place for bytes. All of it may be repeated, and any future may be dropped half-way.
#[async_trait]
pub trait Location: fmt::Debug + Send + Sync + 'static {
    /// What it is called in rows: the same for the same place, whatever else is configured.
    fn name(&self) -> &str;

    /// Sees whether it can be used, and makes of it what can be made.
    async fn prepare(&self) -> Result<()>;

    /// How many bytes a piece of a blob of `size` bytes has to have at least, but for the last one.
    fn least_piece(&self, size: u64) -> usize;

    /// Begins, or goes on with, an upload that is written down: `staged` says afterwards what there is.
    async fn open(&self, staged: &mut Staged) -> Result<()>;

    /// Writes the next piece. `staged` says afterwards that it is there.
    ///
    /// # Errors
    /// `staged` is unchanged then, and the piece can be written again.
    async fn write(&self, staged: &mut Staged, piece: Bytes) -> Result<()>;

    /// Makes a whole upload readable under its key.
    async fn finish(&self, staged: &Staged) -> Result<()>;

    /// Removes all there is of an upload, finished or not. Fine if there is nothing.
    async fn discard(&self, staged: &Staged) -> Result<()>;

    /// Reads a part of what was finished.
    ///
    /// # Errors
    /// [`Error::Missing`] where there is nothing under the key.
    async fn read(&self, key: &Key, range: Range<u64>) -> Result<Reader>;

    /// How many bytes are under a key; none where there is nothing.
    async fn size(&self, key: &Key) -> Result<Option<u64>>;
}

/// What finished bytes are found by in their location: a relative path.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Key(String);

impl Key {
    /// A key that nothing else has: `unique` is in it.
    pub fn new(digest: Digest, unique: impl fmt::Display) -> Self {
        let digest = digest.to_string();
        Self(format!("{}/{digest}-{unique}", &digest[..2]))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::str::FromStr for Key {
    type Err = std::convert::Infallible;
    fn from_str(text: &str) -> std::result::Result<Self, Self::Err> {
        Ok(Self(text.to_owned()))
    }
}

/// An upload as it is written down.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Staged {
    pub key: Key,
    /// How many bytes it shall have. At least one.
    pub size: u64,
    /// How many are there.
    pub offset: u64,
    /// What the object store calls it; none before it was told of it, and in a folder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    multipart: Option<Multipart>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Multipart {
    id: String,
    /// What the object store answered to each part.
    parts: Vec<String>,
}

impl Staged {
    pub fn new(key: Key, size: u64) -> Self {
        Self {
            key,
            size,
            offset: 0,
            multipart: None,
        }
    }

    /// What is to be discarded of finished bytes.
    pub fn of_finished(key: Key) -> Self {
        Self::new(key, 0)
    }

    pub fn is_whole(&self) -> bool {
        self.offset == self.size
    }
}
