//! A component's end of TLS: whom it takes for its core.
//!
//! The server's certificate must be signed by the trusted authority itself,
//! be for servers, and carry the one name [`CORE_SERVER_NAME`], whatever host
//! the connection goes to. A component's certificate has neither the use nor
//! the name, so no component can pose as the core.
//!
//! While joining there is no authority to trust yet, but the token names its
//! key: the server sends the authority along, and it counts if it has that key.

use std::fmt;
use std::io;
use std::sync::{Arc, PoisonError, RwLock};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{
    ResolvesClientCert, Resumption, verify_server_cert_signed_by_trust_anchor, verify_server_name,
};
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::sign::CertifiedKey;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
};
use tokio::net::{TcpStream, ToSocketAddrs};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::CORE_SERVER_NAME;
use crate::certificate::{self, Fingerprint};
use crate::credential::Credential;
use crate::server::{TlsError, anchors, provider};

/// A component's certificate, replaceable after renewal: connections opened
/// after [`ClientCertificate::swap`] show the new one.
pub struct ClientCertificate {
    current: RwLock<Arc<CertifiedKey>>,
}

impl ClientCertificate {
    #[must_use]
    pub fn new(credential: &Credential) -> Arc<Self> {
        Arc::new(Self {
            current: RwLock::new(credential.certified_key()),
        })
    }

    /// Replaces it.
    pub fn swap(&self, credential: &Credential) {
        // A poisoned lock still holds a whole Arc.
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = credential.certified_key();
    }
}

impl ResolvesClientCert for ClientCertificate {
    fn resolve(&self, _hints: &[&[u8]], _schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        Some(Arc::clone(&current))
    }

    fn has_certs(&self) -> bool {
        true
    }
}

impl fmt::Debug for ClientCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientCertificate(…)")
    }
}

/// For a component that has joined.
///
/// # Errors
/// [`TlsError::Anchor`] and [`TlsError::Versions`].
pub fn component_config(
    authorities: &[CertificateDer<'static>],
    certificate: Arc<ClientCertificate>,
) -> Result<ClientConfig, TlsError> {
    let trust = Trust::Authorities(anchors(authorities)?);
    let mut config = builder(trust)?.with_client_cert_resolver(certificate);
    finish(&mut config);
    Ok(config)
}

/// For a component that is about to join: any server whose authority has the
/// key that the token names.
///
/// # Errors
/// [`TlsError::Versions`].
pub fn joining_config(pin: Fingerprint) -> Result<ClientConfig, TlsError> {
    let mut config = builder(Trust::Pin(pin))?.with_no_client_auth();
    finish(&mut config);
    Ok(config)
}

/// The certificate with the pinned key out of the chain that a server sent.
#[must_use]
pub fn pinned<'a>(
    chain: &'a [CertificateDer<'static>],
    pin: Fingerprint,
) -> Option<&'a CertificateDer<'static>> {
    chain.iter().find(|der| has_key(der, pin))
}

/// Connects to the core at the first of `addresses` (as `host:port`, say) that answers, and shakes hands. Fails
/// also where the other end does not speak HTTP/2. Time limits are the
/// caller's.
///
/// # Errors
/// Those of resolving, connecting and the handshake; a certificate refused by
/// this end is an [`io::ErrorKind::InvalidData`] around [`rustls::Error`].
pub async fn dial(
    addresses: impl ToSocketAddrs,
    config: Arc<ClientConfig>,
) -> io::Result<TlsStream<TcpStream>> {
    let tcp = TcpStream::connect(addresses).await?;
    tcp.set_nodelay(true)?;
    let name = ServerName::try_from(CORE_SERVER_NAME).expect("the fixed name is a DNS name");
    let stream = TlsConnector::from(config).connect(name, tcp).await?;
    if stream.get_ref().1.alpn_protocol() != Some(b"h2") {
        return Err(io::Error::other("the server does not speak HTTP/2"));
    }
    Ok(stream)
}

fn builder(
    trust: Trust,
) -> Result<rustls::ConfigBuilder<ClientConfig, rustls::client::WantsClientCert>, TlsError> {
    let provider = provider();
    let verifier = CoreVerifier {
        trust,
        algorithms: provider.signature_verification_algorithms,
    };
    Ok(ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|source| TlsError::Versions { source })?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier)))
}

fn finish(config: &mut ClientConfig) {
    config.alpn_protocols = vec![b"h2".to_vec()];
    // A resumed session would go on showing the certificate before renewal.
    config.resumption = Resumption::disabled();
}

fn has_key(der: &CertificateDer<'_>, pin: Fingerprint) -> bool {
    Fingerprint::of_certificate(der).is_ok_and(|found| found == pin)
}

#[derive(Debug)]
enum Trust {
    Authorities(RootCertStore),
    Pin(Fingerprint),
}

#[derive(Debug)]
struct CoreVerifier {
    trust: Trust,
    algorithms: WebPkiSupportedAlgorithms,
}

impl CoreVerifier {
    fn verify_chain(
        &self,
        parsed: &ParsedCertificate<'_>,
        sent: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), Error> {
        let pinned;
        let roots = match &self.trust {
            Trust::Authorities(roots) => roots,
            Trust::Pin(pin) => {
                let authority = sent
                    .iter()
                    .find(|der| has_key(der, *pin))
                    .ok_or(CertificateError::UnknownIssuer)?;
                let mut store = RootCertStore::empty();
                store.add(authority.clone().into_owned())?;
                pinned = store;
                &pinned
            }
        };
        // No intermediates: the authority signs its core itself.
        verify_server_cert_signed_by_trust_anchor(parsed, roots, &[], now, self.algorithms.all)
    }
}

impl ServerCertVerifier for CoreVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let parsed = ParsedCertificate::try_from(end_entity)?;
        self.verify_chain(&parsed, intermediates, now)?;
        // webpki lets a certificate without the extension serve for anything.
        let for_servers = certificate::parse(end_entity)
            .is_ok_and(|own| certificate::has_usage(&own, |usage| usage.server_auth));
        if !for_servers {
            return Err(CertificateError::InvalidPurpose.into());
        }
        let name = ServerName::try_from(CORE_SERVER_NAME).expect("the fixed name is a DNS name");
        verify_server_name(&parsed, &name)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
