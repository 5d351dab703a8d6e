//! Bytes from elsewhere: an image that somebody publishes at a URL. No token of ours goes there.

use std::time::Duration;

use bytes::Bytes;
use reqwest::StatusCode;
use reqwest::header::{CONTENT_RANGE, ETAG, IF_RANGE, LAST_MODIFIED, RANGE};
use reqwest::redirect::Policy;

use crate::{Error, tls};

/// So many redirects are followed, and none from https to http.
const REDIRECTS: usize = 5;

/// A download that has begun.
pub struct Download {
    url: String,
    response: reqwest::Response,
    /// The place of its first byte in the whole.
    offset: u64,
}

/// Begins to download an `http` or `https` URL, following redirects.
pub async fn download(url: &str) -> Result<Download, Error> {
    let response = ask(open(url)?.get(url), url).await?;
    Ok(Download::of(url.to_owned(), response, 0))
}

/// Goes on with a download from an offset, if what is there is still what `seen` names: the
/// [`Download::validator`] of the one before. Otherwise it begins anew, which its offset says.
pub async fn download_from(url: &str, offset: u64, seen: &str) -> Result<Download, Error> {
    let request = open(url)?
        .get(url)
        .header(RANGE, format!("bytes={offset}-"))
        .header(IF_RANGE, seen);
    let response = match ask(request, url).await {
        // Shorter by now; a server that minds If-Range has sent the whole instead.
        Err(Error::DownloadStatus { status: 416, .. }) => return download(url).await,
        answered => answered?,
    };
    if response.status() != StatusCode::PARTIAL_CONTENT {
        return Ok(Download::of(url.to_owned(), response, 0));
    }
    let wanted = format!("bytes {offset}-");
    let range = response.headers().get(CONTENT_RANGE);
    let range = range.and_then(|range| range.to_str().ok());
    if range.is_some_and(|range| range.starts_with(&wanted)) {
        Ok(Download::of(url.to_owned(), response, offset))
    } else {
        download(url).await
    }
}

async fn ask(request: reqwest::RequestBuilder, url: &str) -> Result<reqwest::Response, Error> {
    let response = request.send().await.map_err(|e| Error::Download {
        url: url.to_owned(),
        source: e.without_url(),
    })?;
    if response.status().is_success() {
        return Ok(response);
    }
    Err(Error::DownloadStatus {
        url: url.to_owned(),
        status: response.status().as_u16(),
    })
}

impl Download {
    pub(crate) fn of(url: String, response: reqwest::Response, offset: u64) -> Self {
        Self {
            url,
            response,
            offset,
        }
    }

    /// How many bytes the whole has, if the server says so.
    pub fn size(&self) -> Option<u64> {
        Some(self.offset + self.response.content_length()?)
    }

    /// The place of its first byte in the whole.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// What says that bytes are still the same ones: a strong entity tag, or when they were changed.
    pub fn validator(&self) -> Option<String> {
        let headers = self.response.headers();
        // A weak tag does not say that the bytes are the same.
        let strong = headers
            .get(ETAG)
            .filter(|tag| !tag.as_bytes().starts_with(b"W/"));
        let seen = strong.or_else(|| headers.get(LAST_MODIFIED))?;
        seen.to_str().ok().map(str::to_owned)
    }

    /// The next bytes; none at the end.
    pub async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        let piece = self.response.chunk().await;
        piece.map_err(|e| self.failed(e))
    }

    fn failed(&self, source: reqwest::Error) -> Error {
        Error::Download {
            url: self.url.clone(),
            source: source.without_url(),
        }
    }
}

fn open(url: &str) -> Result<reqwest::Client, Error> {
    let secure = url.starts_with("https://");
    let follow = Policy::custom(move |attempt| {
        if attempt.previous().len() > REDIRECTS {
            attempt.error(TooMany)
        } else if secure && attempt.url().scheme() != "https" {
            attempt.error(Insecure)
        } else {
            attempt.follow()
        }
    });
    reqwest::Client::builder()
        .tls_backend_preconfigured(tls::config(None)?)
        .user_agent(concat!("rhyzome/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(Duration::from_secs(10))
        .read_timeout(Duration::from_secs(60))
        .redirect(follow)
        .build()
        .map_err(|source| Error::Build { source })
}

#[derive(Debug, thiserror::Error)]
#[error("it is redirected more than {REDIRECTS} times")]
struct TooMany;

#[derive(Debug, thiserror::Error)]
#[error("it is redirected from https to plain http")]
struct Insecure;
