//! Showing an ACME server that a name is ours, in a TLS handshake (TLS-ALPN-01, RFC 8737).

use std::sync::Arc;

use rcgen::{CertificateParams, CustomExtension, KeyPair};
use rustls::crypto::ring::sign::any_supported_type;
use rustls::pki_types::PrivateKeyDer;
use rustls::sign::CertifiedKey;

/// The protocol that only an ACME server asks for.
pub const ALPN: &[u8] = b"acme-tls/1";

/// Why there is nothing to show.
#[derive(Debug, thiserror::Error)]
pub enum ChallengeError {
    #[error("no certificate can be made for {domain}")]
    Make {
        domain: String,
        source: rcgen::Error,
    },
    #[error("the key that was made for {domain} cannot be used")]
    Use {
        domain: String,
        source: rustls::Error,
    },
}

/// The certificate that answers a challenge for a name: with the SHA-256 of the key authorization in it.
///
/// # Errors
/// For a name that is none.
pub fn answer(domain: &str, digest: &[u8; 32]) -> Result<Arc<CertifiedKey>, ChallengeError> {
    let failed = |source| ChallengeError::Make {
        domain: domain.to_owned(),
        source,
    };
    let mut params = CertificateParams::new(vec![domain.to_owned()]).map_err(failed)?;
    params.custom_extensions = vec![CustomExtension::new_acme_identifier(digest)];
    let key = KeyPair::generate().map_err(failed)?;
    let certificate = params.self_signed(&key).map_err(failed)?;
    let der = PrivateKeyDer::try_from(key.serialize_der()).expect("rcgen's keys are PKCS #8");
    let signer = any_supported_type(&der).map_err(|source| ChallengeError::Use {
        domain: domain.to_owned(),
        source,
    })?;
    // Not a credential: nobody but an ACME server can read a certificate with that extension.
    let chain = vec![certificate.der().clone()];
    Ok(Arc::new(CertifiedKey::new(chain, signer)))
}
