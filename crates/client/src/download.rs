//! Bytes from elsewhere: an image that somebody publishes at a URL. No token of ours goes there.

use std::time::Duration;

use bytes::Bytes;

use crate::{Error, tls};

/// A download that has begun.
pub struct Download {
    url: String,
    response: reqwest::Response,
}

/// Begins to download an `http` or `https` URL, following redirects.
pub async fn download(url: &str) -> Result<Download, Error> {
    let http = reqwest::Client::builder()
        .tls_backend_preconfigured(tls::config(None)?)
        .user_agent(concat!("rhyzome/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(Duration::from_secs(10))
        .read_timeout(Duration::from_secs(60))
        .build()
        .map_err(|source| Error::Build { source })?;
    let failed = |source| Error::Download {
        url: url.to_owned(),
        source,
    };
    let response = http
        .get(url)
        .send()
        .await
        .map_err(|e| failed(e.without_url()))?;
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
    /// How many bytes there are, if the server says so.
    pub fn size(&self) -> Option<u64> {
        self.response.content_length()
    }

    /// The next bytes; none at the end.
    pub async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        let piece = self.response.chunk().await;
        piece.map_err(|e| Error::Download {
            url: self.url.clone(),
            source: e.without_url(),
        })
    }
}
