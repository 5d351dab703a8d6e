//! Blobs: the bytes of images, uploaded under their digest.

use futures::StreamExt;
use reqwest::Method;
use reqwest::header::{CONTENT_LENGTH, CONTENT_TYPE};
use rhyzome_model::Digest;
use rhyzome_model::image::Blob;
use tokio::io::AsyncRead;
use tokio_util::io::ReaderStream;

use crate::{Client, Error};

/// Bytes a piece of an upload has.
const PIECE: usize = 128 << 10;

#[derive(Clone)]
pub struct Blobs {
    client: Client,
    path: String,
}

impl Blobs {
    pub(crate) fn new(client: Client, path: String) -> Self {
        Self { client, path }
    }

    /// Whether the bytes are there already.
    pub async fn exists(&self, digest: &Digest) -> Result<bool, Error> {
        match self
            .client
            .call(Method::HEAD, &self.at(digest))
            .send()
            .await
        {
            Ok(_) => Ok(true),
            Err(e) if e.is_not_found() => Ok(false),
            Err(e) => Err(e),
        }
    }

    /// Uploads `size` bytes from `source`; `progress` hears how many have gone out so far.
    ///
    /// It is tried once, since the source cannot be read again: the caller may, with a fresh one.
    pub async fn upload(
        &self,
        digest: &Digest,
        size: u64,
        source: impl AsyncRead + Send + 'static,
        progress: impl Fn(u64) + Send + 'static,
    ) -> Result<Blob, Error> {
        let mut sent = 0u64;
        let pieces = ReaderStream::with_capacity(source, PIECE).inspect(move |piece| {
            sent += piece.as_ref().map_or(0, |bytes| bytes.len() as u64);
            progress(sent);
        });
        let call = self.client.call(Method::PUT, &self.at(digest));
        let call = call.header(CONTENT_TYPE, "application/octet-stream");
        let call = call.header(CONTENT_LENGTH, &size.to_string());
        call.upload(reqwest::Body::wrap_stream(pieces))
            .await?
            .json()
    }

    fn at(&self, digest: &Digest) -> String {
        format!("{}/{digest}", self.path)
    }
}
