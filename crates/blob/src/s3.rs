//! Bytes in S3-compatible object storage.
//!
//! An upload is a multipart upload whose id and parts are in its [`Staged`], so that any core may go on
//! with it. It is written down before it has parts: what a crash may leave unnamed is a multipart upload
//! without bytes.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _};
use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::client::{HttpClient, HttpConnector};
use object_store::multipart::{MultipartStore as _, PartId};
use object_store::path::Path;
use object_store::{
    BackoffConfig, ClientOptions, GetOptions, GetRange, ObjectStore as _, ObjectStoreExt as _,
    RetryConfig,
};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls_platform_verifier::BuilderVerifierExt as _;
use tokio_util::io::StreamReader;

use crate::{Error, Key, Location, Multipart, Reader, Result, Staged};

/// Object stores take parts from 5 MiB on, and 10,000 of them.
const LEAST_PIECE: u64 = 8 << 20;
const MOST_PARTS: u64 = 9_000;

/// Where the object storage is.
#[derive(Clone, Debug)]
pub struct S3Options {
    /// As in `https://s3.example.org`; none for Amazon's own.
    pub endpoint: Option<String>,
    pub bucket: String,
    /// Above all keys; may be empty.
    pub prefix: String,
    pub region: String,
    /// The authority of the endpoint's certificate in PEM; otherwise whom the system trusts.
    pub authority: Option<String>,
    pub credentials: Credentials,
}

/// Shown to nobody.
#[derive(Clone)]
pub struct Credentials {
    pub access_key_id: String,
    pub secret_access_key: String,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials(…)")
    }
}

/// A bucket, or a part of one.
#[derive(Debug)]
pub struct S3 {
    name: String,
    prefix: String,
    store: Arc<AmazonS3>,
}

impl S3 {
    /// # Errors
    /// Where the options are wrong. Nothing is asked of the server yet.
    pub fn new(options: S3Options) -> Result<Self> {
        let prefix = options.prefix.trim_matches('/').to_owned();
        let name = match prefix.as_str() {
            "" => format!("s3://{}", options.bucket),
            prefix => format!("s3://{}/{prefix}", options.bucket),
        };
        let unusable = |reason: String| Error::Unusable {
            location: name.clone(),
            reason,
        };
        let http = http(options.authority.as_deref()).map_err(unusable)?;
        let mut builder = AmazonS3Builder::new()
            .with_bucket_name(options.bucket)
            .with_region(options.region)
            .with_access_key_id(options.credentials.access_key_id)
            .with_secret_access_key(options.credentials.secret_access_key)
            .with_http_connector(Connector(http))
            .with_client_options(ClientOptions::new().with_allow_http(true))
            .with_retry(RetryConfig {
                backoff: BackoffConfig::default(),
                max_retries: 4,
                retry_timeout: Duration::from_secs(60),
            });
        if let Some(endpoint) = options.endpoint {
            builder = builder.with_endpoint(endpoint);
        }
        let store = builder.build().map_err(|e| unusable(e.to_string()))?;
        Ok(Self {
            name,
            prefix,
            store: Arc::new(store),
        })
    }

    fn path(&self, key: &Key) -> Path {
        Path::from_iter(
            [self.prefix.as_str(), key.as_str()]
                .into_iter()
                .flat_map(|part| part.split('/'))
                .filter(|part| !part.is_empty()),
        )
    }

    fn failed(&self, operation: &'static str) -> impl FnOnce(object_store::Error) -> Error {
        let location = self.name.clone();
        move |source| Error::Object {
            operation,
            location,
            source,
        }
    }
}

#[async_trait]
impl Location for S3 {
    fn name(&self) -> &str {
        &self.name
    }

    async fn prepare(&self) -> Result<()> {
        let prefix = Path::from(self.prefix.as_str());
        let first = self.store.list(Some(&prefix)).next().await;
        match first.transpose() {
            Ok(_) => Ok(()),
            Err(error) => Err(match refusal(&error) {
                Some(reason) => Error::Unusable {
                    location: self.name.clone(),
                    reason,
                },
                None => self.failed("list")(error),
            }),
        }
    }

    fn least_piece(&self, size: u64) -> usize {
        let piece = LEAST_PIECE.max(size.div_ceil(MOST_PARTS));
        usize::try_from(piece).unwrap_or(usize::MAX)
    }

    async fn open(&self, staged: &mut Staged) -> Result<()> {
        if staged.multipart.is_none() {
            let id = self.store.create_multipart(&self.path(&staged.key)).await;
            let id = id.map_err(self.failed("begin an upload"))?;
            staged.multipart = Some(Multipart {
                id,
                parts: Vec::new(),
            });
        }
        Ok(())
    }

    async fn write(&self, staged: &mut Staged, piece: Bytes) -> Result<()> {
        let path = self.path(&staged.key);
        let multipart = self.multipart(staged)?;
        let (number, length) = (multipart.parts.len(), piece.len() as u64);
        let part = self
            .store
            .put_part(&path, &multipart.id, number, piece.into())
            .await
            .map_err(self.failed("write a part"))?;
        if let Some(multipart) = &mut staged.multipart {
            multipart.parts.push(part.content_id);
        }
        staged.offset += length;
        Ok(())
    }

    async fn finish(&self, staged: &Staged) -> Result<()> {
        // Done before, and the answer or its note got lost.
        if self.size(&staged.key).await? == Some(staged.size) {
            return Ok(());
        }
        let multipart = self.multipart(staged)?;
        let parts = multipart.parts.iter();
        let parts = parts.map(|content_id| PartId {
            content_id: content_id.clone(),
        });
        let path = self.path(&staged.key);
        self.store
            .complete_multipart(&path, &multipart.id, parts.collect())
            .await
            .map_err(self.failed("finish an upload"))?;
        Ok(())
    }

    async fn discard(&self, staged: &Staged) -> Result<()> {
        let path = self.path(&staged.key);
        if let Some(multipart) = &staged.multipart {
            match self.store.abort_multipart(&path, &multipart.id).await {
                Err(object_store::Error::NotFound { .. }) | Ok(()) => {}
                // Finished, maybe; then it is an object, and aborting is refused by some.
                Err(_) if self.size(&staged.key).await?.is_some() => {}
                // What some say of an upload that they do not know (any more).
                Err(object_store::Error::PermissionDenied { .. })
                    if self.may_abort(&path).await => {}
                Err(error) => return Err(self.failed("abort an upload")(error)),
            }
        }
        match self.store.delete(&path).await {
            Err(object_store::Error::NotFound { .. }) | Ok(()) => Ok(()),
            Err(error) => Err(self.failed("remove an object")(error)),
        }
    }

    async fn read(&self, key: &Key, range: Range<u64>) -> Result<Reader> {
        if range.is_empty() {
            return Ok(Box::pin(tokio::io::empty()));
        }
        let options = GetOptions {
            range: Some(GetRange::Bounded(range)),
            ..GetOptions::default()
        };
        match self.store.get_opts(&self.path(key), options).await {
            Ok(found) => Ok(Box::pin(StreamReader::new(
                found.into_stream().map_err(std::io::Error::other),
            ))),
            Err(object_store::Error::NotFound { .. }) => Err(Error::Missing {
                location: self.name.clone(),
                key: key.as_str().to_owned(),
            }),
            Err(error) => Err(self.failed("read an object")(error)),
        }
    }

    async fn size(&self, key: &Key) -> Result<Option<u64>> {
        match self.store.head(&self.path(key)).await {
            Ok(found) => Ok(Some(found.size)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(self.failed("look at an object")(error)),
        }
    }
}

impl S3 {
    /// Shown by doing it.
    async fn may_abort(&self, path: &Path) -> bool {
        match self.store.create_multipart(path).await {
            Ok(id) => self.store.abort_multipart(path, &id).await.is_ok(),
            Err(_) => false,
        }
    }

    fn multipart<'a>(&self, staged: &'a Staged) -> Result<&'a Multipart> {
        staged.multipart.as_ref().ok_or_else(|| Error::Unusable {
            location: self.name.clone(),
            reason: format!("the upload {} was not begun", staged.key.as_str()),
        })
    }
}

/// What the server has against a request, where trying again does not help. The library has no form for it
/// but its text, in which the server's answer stands.
fn refusal(error: &object_store::Error) -> Option<String> {
    let mut text = error.to_string();
    let mut next = std::error::Error::source(error);
    while let Some(source) = next {
        text = format!("{text}: {source}");
        next = source.source();
    }
    let code = text
        .split_once("<Code>")
        .and_then(|(_, rest)| rest.split('<').next());
    let code = code.map_or(String::new(), |code| format!(" ({code})"));
    let said = |part: &str| text.contains(part);
    if said("NoSuchBucket") || said("404 Not Found") {
        Some(format!(
            "its server has no such bucket{code}: make it, or name another one"
        ))
    } else if said("401 Unauthorized") || said("403 Forbidden") {
        Some(format!(
            "its server refuses the access key, its secret, or what they may do{code}"
        ))
    } else {
        None
    }
}

/// Hands out one client of ours: the tree has one TLS provider.
#[derive(Debug)]
struct Connector(reqwest::Client);

impl HttpConnector for Connector {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(self.0.clone()))
    }
}

fn http(authority: Option<&str>) -> std::result::Result<reqwest::Client, String> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| e.to_string())?;
    let builder = match authority {
        Some(pem) => {
            let mut roots = rustls::RootCertStore::empty();
            for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
                let certificate = certificate.map_err(|e| format!("its authority: {e:?}"))?;
                roots.add(certificate).map_err(|e| e.to_string())?;
            }
            if roots.is_empty() {
                return Err("its authority has no certificate in it".to_owned());
            }
            builder.with_root_certificates(roots)
        }
        None => builder
            .with_platform_verifier()
            .map_err(|e| e.to_string())?,
    };
    reqwest::Client::builder()
        .tls_backend_preconfigured(builder.with_no_client_auth())
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(Duration::from_secs(10))
        .read_timeout(Duration::from_secs(60))
        .no_proxy()
        .build()
        .map_err(|e| e.to_string())
}
