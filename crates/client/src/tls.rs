//! Whom the client takes for the core: the site's own authority where one is given, and nobody else;
//! otherwise whom the system trusts.

use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use rustls_platform_verifier::BuilderVerifierExt;

use crate::Error;

/// The TLS settings of the client; `authority` is PEM with one certificate or more.
pub(crate) fn config(authority: Option<&str>) -> Result<ClientConfig, Error> {
    let mut config = bare_config(authority)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

/// The same for HTTP/1.1 alone, which a WebSocket begins with.
pub(crate) fn http1_config(authority: Option<&str>) -> Result<ClientConfig, Error> {
    let mut config = bare_config(authority)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

fn bare_config(authority: Option<&str>) -> Result<ClientConfig, Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|source| Error::Tls { source })?;
    let builder = match authority {
        Some(pem) => builder.with_root_certificates(roots(pem)?),
        None => builder
            .with_platform_verifier()
            .map_err(|source| Error::Tls { source })?,
    };
    Ok(builder.with_no_client_auth())
}

fn roots(pem: &str) -> Result<RootCertStore, Error> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
        let certificate = certificate.map_err(|_| Error::Authority { source: None })?;
        roots.add(certificate).map_err(|source| Error::Authority {
            source: Some(source),
        })?;
    }
    if roots.is_empty() {
        Err(Error::Authority { source: None })
    } else {
        Ok(roots)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_authority_without_a_certificate_is_refused() {
        assert!(matches!(
            config(Some("")),
            Err(Error::Authority { source: None })
        ));
        assert!(matches!(
            config(Some("-----BEGIN")),
            Err(Error::Authority { .. })
        ));
    }
}
