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
}

/// Begins to download an `http` or `https` URL, following redirects.
pub async fn download(url: &str) -> Result<Download, Error> {
    let response = open(url)?.get(url).send().await;
    let response = response.map_err(|e| Error::Download {
        url: url.to_owned(),
        source: e.without_url(),
    })?;
    if !response.status().is_success() {
        return Err(Error::DownloadStatus {
            url: url.to_owned(),
            status: response.status().as_u16(),
        });
    }
    Ok(Download {
        url: url.to_owned(),
        response,
    })
}

impl Download {
    pub(crate) fn of(url: String, response: reqwest::Response) -> Self {
        Self { url, response }
    }

    /// How many bytes there are, if the server says so.
    pub fn size(&self) -> Option<u64> {
        self.response.content_length()
    }

    /// The next bytes; none at the end.
    pub async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        let piece = self.response.chunk().await;
        piece.map_err(|e| self.failed(e))
    }

    /// Goes on from an offset after the connection broke. False where the server cannot, or has other
    /// bytes there by now: it has to begin anew then.
    pub async fn resume(&mut self, offset: u64) -> Result<bool, Error> {
        let headers = self.response.headers();
        // A weak tag does not say that the bytes are the same.
        let strong = headers
            .get(ETAG)
            .filter(|tag| !tag.as_bytes().starts_with(b"W/"));
        let Some(seen) = strong.or_else(|| headers.get(LAST_MODIFIED)).cloned() else {
            return Ok(false);
        };
        let request = open(&self.url)?
            .get(&self.url)
            .header(RANGE, format!("bytes={offset}-"))
            .header(IF_RANGE, seen);
        let response = request.send().await.map_err(|e| self.failed(e))?;
        let wanted = format!("bytes {offset}-");
        let begins = response
            .headers()
            .get(CONTENT_RANGE)
            .and_then(|range| range.to_str().ok())
            .is_some_and(|range| range.starts_with(&wanted));
        let goes_on = response.status() == StatusCode::PARTIAL_CONTENT && begins;
        if goes_on {
            self.response = response;
        }
        Ok(goes_on)
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
