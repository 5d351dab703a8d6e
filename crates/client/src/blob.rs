//! Blobs: the bytes of images, under their digest.

use futures::StreamExt;
use reqwest::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderName, RANGE};
use reqwest::{Method, StatusCode};
use rhyzome_model::Digest;
use rhyzome_model::image::{Blob, Upload};
use tokio::io::AsyncRead;
use tokio_util::io::ReaderStream;

use crate::collection::pages;
use crate::download::Download;
use crate::{Client, Error};

/// Bytes a piece of an upload has.
const PIECE: usize = 128 << 10;

const OFFSET: HeaderName = HeaderName::from_static("upload-offset");
const LENGTH: HeaderName = HeaderName::from_static("upload-length");

#[derive(Clone)]
pub struct Blobs {
    client: Client,
    root: String,
}

/// What there is after bytes were sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sent {
    Partly(Upload),
    Wholly(Blob),
}

impl Blobs {
    pub(crate) fn new(client: Client, root: String) -> Self {
        Self { client, root }
    }

    /// Whether the bytes are there already.
    pub async fn exists(&self, digest: &Digest) -> Result<bool, Error> {
        let call = self.client.call(Method::HEAD, &self.at(digest));
        found(call.send().await).map(|found| found.is_some())
    }

    /// How many bytes a blob has.
    pub async fn size(&self, digest: &Digest) -> Result<u64, Error> {
        let call = self.client.call(Method::HEAD, &self.at(digest));
        let answer = call.send().await?;
        let length = answer.headers.get(CONTENT_LENGTH);
        let length = length.and_then(|length| length.to_str().ok()?.parse().ok());
        Ok(length.unwrap_or_default())
    }

    /// How far an upload is; none where there is none.
    pub async fn upload_get(&self, digest: &Digest) -> Result<Option<Upload>, Error> {
        match found(self.client.get(&self.upload_at(digest)).send().await)? {
            Some(answer) => answer.json().map(Some),
            None => Ok(None),
        }
    }

    /// Uploads that were not finished.
    pub async fn uploads(&self) -> Result<Vec<Upload>, Error> {
        use futures::TryStreamExt as _;
        pages(self.client.clone(), format!("{}/uploads", self.root))
            .try_collect()
            .await
    }

    /// Throws away what has come of an upload.
    pub async fn upload_delete(&self, digest: &Digest) -> Result<(), Error> {
        let call = self.client.call(Method::DELETE, &self.upload_at(digest));
        call.send().await.map(drop)
    }

    /// Sends what `source` has as the bytes from `offset` on, of `size` in all; `progress` hears how many
    /// of the whole have gone out so far.
    ///
    /// It is tried once, since the source cannot be read again: [`Blobs::upload_get`] says how far it
    /// came, and it goes on from there.
    pub async fn upload_append(
        &self,
        digest: &Digest,
        (offset, size): (u64, u64),
        source: impl AsyncRead + Send + 'static,
        progress: impl Fn(u64) + Send + 'static,
    ) -> Result<Sent, Error> {
        let pieces = pieces(source, offset, progress);
        let call = self.client.call(Method::PATCH, &self.upload_at(digest));
        let call = call.header(CONTENT_TYPE, "application/octet-stream");
        let call = call.header(OFFSET, &offset.to_string());
        let call = call.header(LENGTH, &size.to_string());
        let answer = call.upload(pieces).await?;
        match answer.status {
            StatusCode::ACCEPTED => answer.json().map(Sent::Partly),
            _ => answer.json().map(Sent::Wholly),
        }
    }

    /// Uploads `size` bytes in one go, whatever has come before; for what is small.
    pub async fn upload(
        &self,
        digest: &Digest,
        size: u64,
        source: impl AsyncRead + Send + 'static,
        progress: impl Fn(u64) + Send + 'static,
    ) -> Result<Blob, Error> {
        let call = self.client.call(Method::PUT, &self.at(digest));
        let call = call.header(CONTENT_TYPE, "application/octet-stream");
        let call = call.header(CONTENT_LENGTH, &size.to_string());
        call.upload(pieces(source, 0, progress)).await?.json()
    }

    /// Begins to download bytes, from an offset on.
    pub async fn download(&self, digest: &Digest, offset: u64) -> Result<Download, Error> {
        let path = self.at(digest);
        let call = self.client.get(&path);
        let call = call.header(RANGE, &format!("bytes={offset}-"));
        Ok(Download::of(path, call.stream().await?, offset))
    }

    fn at(&self, digest: &Digest) -> String {
        format!("{}/blobs/{digest}", self.root)
    }

    fn upload_at(&self, digest: &Digest) -> String {
        format!("{}/uploads/{digest}", self.root)
    }
}

/// A body that says how much of it has been taken.
fn pieces(
    source: impl AsyncRead + Send + 'static,
    offset: u64,
    progress: impl Fn(u64) + Send + 'static,
) -> reqwest::Body {
    let mut sent = offset;
    reqwest::Body::wrap_stream(
        ReaderStream::with_capacity(source, PIECE).inspect(move |piece| {
            sent += piece.as_ref().map_or(0, |bytes| bytes.len() as u64);
            progress(sent);
        }),
    )
}

fn found<T>(answer: Result<T, Error>) -> Result<Option<T>, Error> {
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(e) if e.is_not_found() => Ok(None),
        Err(e) => Err(e),
    }
}
