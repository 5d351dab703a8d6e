//! HTTP for the ACME client, by the one HTTP client that is in the tree.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::http::{Request, Response};
use bytes::Bytes;
use http_body_util::BodyExt;
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient};
use rhyzome_pki::file;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use rustls_platform_verifier::BuilderVerifierExt;

use super::order::OrderError;
use crate::configuration::Acme;

/// How long an ACME server may take for an answer.
const PATIENCE: Duration = Duration::from_secs(30);

pub(super) struct Http(reqwest::Client);

impl Http {
    pub(super) fn new(settings: &Acme) -> Result<Self, OrderError> {
        let client = reqwest::Client::builder()
            .tls_backend_preconfigured(tls(settings)?)
            .user_agent(concat!("rhyzome-api/", env!("CARGO_PKG_VERSION")))
            .timeout(PATIENCE)
            .build()
            .map_err(|source| OrderError::Client { source })?;
        Ok(Self(client))
    }
}

fn tls(settings: &Acme) -> Result<ClientConfig, OrderError> {
    let failed = |source| OrderError::Tls { source };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(failed)?;
    let builder = match &settings.authority {
        None => builder.with_platform_verifier().map_err(failed)?,
        Some(path) => {
            let pem = file::read(path).map_err(|source| OrderError::Authority { source })?;
            let mut roots = RootCertStore::empty();
            // Those that are readable; with none, no certificate is believed, and that is said.
            for certificate in CertificateDer::pem_slice_iter(&pem).flatten() {
                roots.add(certificate).map_err(failed)?;
            }
            builder.with_root_certificates(roots)
        }
    };
    Ok(builder.with_no_client_auth())
}

type Answer = Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>>;

impl HttpClient for Http {
    fn request(&self, request: Request<BodyWrapper<Bytes>>) -> Answer {
        let client = self.0.clone();
        Box::pin(async move {
            let other = |error: reqwest::Error| Error::Other(Box::new(error));
            let (parts, body) = request.into_parts();
            let Ok(body) = body.collect().await;
            let request = client.request(parts.method, parts.uri.to_string());
            let request = request.headers(parts.headers).body(body.to_bytes());
            let response = request.send().await.map_err(other)?;
            let mut answer = Response::new(());
            *answer.status_mut() = response.status();
            *answer.headers_mut() = response.headers().clone();
            let bytes = response.bytes().await.map_err(other)?;
            let (parts, ()) = answer.into_parts();
            Ok(BytesResponse {
                parts,
                body: Box::new(bytes),
            })
        })
    }
}
