//! The core's ends of TLS.
//!
//! gRPC: TLS 1.3, the client's certificate optional (who joins has none) but,
//! when shown, verified: signed by the authority, for clients, naming a
//! component. An *expired* one that is otherwise in order passes here, marked
//! by [`PeerCertificate::expired`]: it may renew and nothing else, and that is
//! the application's to enforce.
//!
//! HTTP: TLS 1.2 and 1.3, no client certificates.
//!
//! Sessions are never resumed: a resumed one would carry the certificate of
//! the handshake that it continues, maybe renewed or revoked since.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{
    ClientHello, NoServerSessionStorage, ResolvesServerCert, VerifierBuilderError,
    WebPkiClientVerifier,
};
use rustls::sign::CertifiedKey;
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, RootCertStore, ServerConfig,
    SignatureScheme,
};

use crate::certificate::PeerCertificate;
use crate::challenge;
use crate::credential::Credential;
use crate::time::unix_seconds;

/// Why a TLS configuration could not be made.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("certificate {position} of the authorities cannot be a trust anchor")]
    Anchor { position: usize, source: Error },
    #[error("no verifier can be made of the authorities")]
    Verifier { source: VerifierBuilderError },
    #[error("the TLS library offers no usable version")]
    Versions { source: Error },
}

/// The server's certificate, replaceable while it serves: handshakes that
/// begin after [`ServerCertificate::swap`] get the new one.
pub struct ServerCertificate {
    current: RwLock<Arc<CertifiedKey>>,
    /// Answers to ACME servers' challenges, by name.
    challenges: RwLock<HashMap<String, Arc<CertifiedKey>>>,
}

impl ServerCertificate {
    #[must_use]
    pub fn new(credential: &Credential) -> Arc<Self> {
        Arc::new(Self {
            current: RwLock::new(credential.certified_key()),
            challenges: RwLock::default(),
        })
    }

    /// Replaces it.
    pub fn swap(&self, credential: &Credential) {
        // A poisoned lock still holds a whole Arc.
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = credential.certified_key();
    }
}

impl ServerCertificate {
    /// What an ACME server is shown for a name, and nobody else.
    pub fn challenge(&self, domain: &str, answer: Arc<CertifiedKey>) {
        self.challenges
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(domain.to_ascii_lowercase(), answer);
    }

    /// No challenge is open any more.
    pub fn clear_challenges(&self) {
        self.challenges
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
    }

    fn answer(&self, hello: &ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let name = hello.server_name()?.to_ascii_lowercase();
        let challenges = self.challenges.read();
        let challenges = challenges.unwrap_or_else(PoisonError::into_inner);
        challenges.get(&name).cloned()
    }
}

impl ResolvesServerCert for ServerCertificate {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let mut protocols = hello.alpn().into_iter().flatten();
        if protocols.next() == Some(challenge::ALPN) && protocols.next().is_none() {
            return self.answer(&hello);
        }
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        Some(Arc::clone(&current))
    }
}

impl fmt::Debug for ServerCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ServerCertificate(…)")
    }
}

/// For the port that components connect to. `authorities` are those whose
/// components are let in.
///
/// # Errors
/// [`TlsError`].
pub fn grpc_config(
    authorities: &[CertificateDer<'static>],
    certificate: Arc<ServerCertificate>,
) -> Result<ServerConfig, TlsError> {
    let provider = provider();
    let verifier = ComponentVerifier::new(authorities, Arc::clone(&provider))?;
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|source| TlsError::Versions { source })?
        .with_client_cert_verifier(Arc::new(verifier))
        .with_cert_resolver(certificate);
    config.alpn_protocols = vec![b"h2".to_vec()];
    never_resume(&mut config);
    Ok(config)
}

/// For the port that people and programs connect to; ACME servers may look for answers there, if that is
/// so.
///
/// # Errors
/// [`TlsError::Versions`].
pub fn http_config(
    certificate: Arc<ServerCertificate>,
    acme: bool,
) -> Result<ServerConfig, TlsError> {
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|source| TlsError::Versions { source })?
        .with_no_client_auth()
        .with_cert_resolver(certificate);
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    if acme {
        config.alpn_protocols.push(challenge::ALPN.to_vec());
    }
    Ok(config)
}

fn never_resume(config: &mut ServerConfig) {
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
}

pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

pub(crate) fn anchors(authorities: &[CertificateDer<'static>]) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for (index, authority) in authorities.iter().enumerate() {
        roots
            .add(authority.clone())
            .map_err(|source| TlsError::Anchor {
                position: index + 1,
                source,
            })?;
    }
    Ok(roots)
}

/// Verifies a component's certificate but for its time.
#[derive(Debug)]
struct ComponentVerifier {
    inner: Arc<dyn ClientCertVerifier>,
}

impl ComponentVerifier {
    fn new(
        authorities: &[CertificateDer<'static>],
        provider: Arc<CryptoProvider>,
    ) -> Result<Self, TlsError> {
        let roots = Arc::new(anchors(authorities)?);
        let inner = WebPkiClientVerifier::builder_with_provider(roots, provider)
            .allow_unauthenticated()
            .build()
            .map_err(|source| TlsError::Verifier { source })?;
        Ok(Self { inner })
    }
}

impl ClientCertVerifier for ComponentVerifier {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.inner.root_hint_subjects()
    }

    /// Intermediates are not looked at: the authority signs components itself.
    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let peer = PeerCertificate::parse(end_entity)
            .map_err(|_| Error::from(CertificateError::ApplicationVerificationFailure))?;
        match self.inner.verify_client_cert(end_entity, &[], now) {
            Err(Error::InvalidCertificate(
                CertificateError::Expired | CertificateError::ExpiredContext { .. },
            )) => {
                // All else must still hold, as it did in its last second.
                let last = std::time::Duration::from_secs(unix_seconds(peer.not_after));
                self.inner
                    .verify_client_cert(end_entity, &[], UnixTime::since_unix_epoch(last))
            }
            // This core's clock was ahead when it issued it, or is behind now.
            Err(Error::InvalidCertificate(
                CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. },
            )) => {
                let first = std::time::Duration::from_secs(unix_seconds(peer.not_before));
                self.inner
                    .verify_client_cert(end_entity, &[], UnixTime::since_unix_epoch(first))
            }
            other => other,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner
            .verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner
            .verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}
