//! A certificate chain with the private key that belongs to it, read from PEM
//! with errors that say which file is wrong, and in what way.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use rustls::crypto::ring::sign::any_supported_type;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::{CertifiedKey, SigningKey};

use crate::certificate::{self, CertificateError};
use crate::file::{self, FileError};
use crate::time::{ShownTime, from_unix_seconds};

/// A chain (its own certificate first) and its key.
#[derive(Clone)]
pub struct Credential {
    certified: Arc<CertifiedKey>,
    key: Arc<PrivateKeyDer<'static>>,
    /// First second in which the first certificate is valid.
    not_before: SystemTime,
    /// Last second in which the first certificate is valid.
    not_after: SystemTime,
}

/// A PEM text and what errors shall call it: a path, or where else it is from.
#[derive(Clone, Copy)]
pub struct Named<'a> {
    pub name: &'a str,
    pub pem: &'a [u8],
}

/// Why a certificate and a key are not usable together.
#[derive(Debug, thiserror::Error)]
pub enum CredentialError {
    #[error(transparent)]
    File(#[from] FileError),
    /// The text holds something else; `found` lists the PEM labels in it.
    #[error("{origin} should hold {expected}, but holds {found}")]
    WrongKind {
        origin: String,
        expected: &'static str,
        found: String,
    },
    #[error("{origin} holds a private key under a passphrase; save it without one")]
    Encrypted { origin: String },
    #[error("{origin} is damaged PEM")]
    BadPem { origin: String, source: pem::Error },
    /// `position` counts from 1.
    #[error("certificate {position} in {origin} is damaged")]
    BadCertificate {
        origin: String,
        position: usize,
        source: CertificateError,
    },
    #[error(
        "the private key in {origin} is of no supported kind (ECDSA P-256, P-384, Ed25519, RSA)"
    )]
    UnusableKey {
        origin: String,
        source: rustls::Error,
    },
    #[error("the private key in {key} does not belong to the certificate in {certificate}")]
    KeyMismatch { certificate: String, key: String },
    #[error(
        "the certificate in {origin} expired at {}: this machine's clock says {}",
        ShownTime(*.not_after), ShownTime(*.now)
    )]
    Expired {
        origin: String,
        not_after: SystemTime,
        now: SystemTime,
    },
    #[error(
        "the certificate in {origin} is not valid before {}: this machine's clock says {}",
        ShownTime(*.not_before), ShownTime(*.now)
    )]
    NotYetValid {
        origin: String,
        not_before: SystemTime,
        now: SystemTime,
    },
}

impl Credential {
    /// Reads a chain and a key from two files. Expiry is not looked at.
    ///
    /// # Errors
    /// All of [`CredentialError`] but the two about time.
    pub fn load(certificate: &Path, key: &Path) -> Result<Self, CredentialError> {
        let certificate_pem = file::read(certificate)?;
        let key_pem = file::read(key)?;
        Self::from_pem(
            Named {
                name: &certificate.display().to_string(),
                pem: &certificate_pem,
            },
            Named {
                name: &key.display().to_string(),
                pem: &key_pem,
            },
        )
    }

    /// Reads a chain and a key from two texts. Expiry is not looked at.
    ///
    /// # Errors
    /// All of [`CredentialError`] but those about files and time.
    pub fn from_pem(certificate: Named<'_>, key: Named<'_>) -> Result<Self, CredentialError> {
        let chain = chain_from_pem(certificate)?;
        let parsed = key_from_pem(key)?;
        Self::new(chain, parsed, certificate.name, key.name)
    }

    pub(crate) fn new(
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
        certificate_name: &str,
        key_name: &str,
    ) -> Result<Self, CredentialError> {
        let (not_before, not_after) = validity(&chain, certificate_name)?;
        let signer = signer(&key, key_name)?;
        let certified = CertifiedKey::new(chain, signer);
        certified
            .keys_match()
            .map_err(|_| CredentialError::KeyMismatch {
                certificate: certificate_name.to_owned(),
                key: key_name.to_owned(),
            })?;
        Ok(Self {
            certified: Arc::new(certified),
            key: Arc::new(key),
            not_before,
            not_after,
        })
    }

    /// Fails when the first certificate is not valid at `now`; `name` is what
    /// the error shall call it.
    ///
    /// # Errors
    /// [`CredentialError::Expired`] and [`CredentialError::NotYetValid`].
    pub fn check_time(&self, now: SystemTime, name: &str) -> Result<(), CredentialError> {
        let origin = name.to_owned();
        if now > self.not_after {
            let not_after = self.not_after;
            return Err(CredentialError::Expired {
                origin,
                not_after,
                now,
            });
        }
        if now < self.not_before {
            let not_before = self.not_before;
            return Err(CredentialError::NotYetValid {
                origin,
                not_before,
                now,
            });
        }
        Ok(())
    }

    /// The chain in DER, its own certificate first.
    #[must_use]
    pub fn chain(&self) -> &[CertificateDer<'static>] {
        &self.certified.cert
    }

    /// The chain as PEM.
    #[must_use]
    pub fn chain_pem(&self) -> String {
        chain_to_pem(self.chain())
    }

    /// The private key as PEM: for a file of mode 0600, nothing else.
    #[must_use]
    pub fn key_pem(&self) -> String {
        let (label, der) = match self.key.as_ref() {
            PrivateKeyDer::Sec1(key) => ("EC PRIVATE KEY", key.secret_sec1_der()),
            PrivateKeyDer::Pkcs1(key) => ("RSA PRIVATE KEY", key.secret_pkcs1_der()),
            other => ("PRIVATE KEY", other.secret_der()),
        };
        to_pem(label, der)
    }

    /// First second in which it is valid.
    #[must_use]
    pub fn not_before(&self) -> SystemTime {
        self.not_before
    }

    /// Last second in which it is valid.
    #[must_use]
    pub fn not_after(&self) -> SystemTime {
        self.not_after
    }

    /// For TLS.
    #[must_use]
    pub fn certified_key(&self) -> Arc<CertifiedKey> {
        Arc::clone(&self.certified)
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credential")
            .field("certificates", &self.chain().len())
            .field("not_after", &ShownTime(self.not_after).to_string())
            .finish_non_exhaustive()
    }
}

/// Reads all certificates of a PEM text, each of them checked to be readable.
///
/// # Errors
/// [`CredentialError::WrongKind`], [`CredentialError::BadPem`] and
/// [`CredentialError::BadCertificate`].
pub fn chain_from_pem(text: Named<'_>) -> Result<Vec<CertificateDer<'static>>, CredentialError> {
    let chain: Vec<_> = CertificateDer::pem_slice_iter(text.pem)
        .collect::<Result<_, _>>()
        .map_err(|source| CredentialError::BadPem {
            origin: text.name.to_owned(),
            source,
        })?;
    if chain.is_empty() {
        return Err(wrong_kind(text, "a certificate (PEM)"));
    }
    for (index, der) in chain.iter().enumerate() {
        certificate::parse(der).map_err(|source| CredentialError::BadCertificate {
            origin: text.name.to_owned(),
            position: index + 1,
            source,
        })?;
    }
    Ok(chain)
}

/// A chain as PEM.
#[must_use]
pub fn chain_to_pem(chain: &[CertificateDer<'_>]) -> String {
    chain
        .iter()
        .map(|der| to_pem("CERTIFICATE", der.as_ref()))
        .collect()
}

pub(crate) fn signer(
    key: &PrivateKeyDer<'static>,
    origin: &str,
) -> Result<Arc<dyn SigningKey>, CredentialError> {
    any_supported_type(key).map_err(|source| CredentialError::UnusableKey {
        origin: origin.to_owned(),
        source,
    })
}

pub(crate) fn key_from_pem(text: Named<'_>) -> Result<PrivateKeyDer<'static>, CredentialError> {
    let origin = text.name.to_owned();
    match PrivateKeyDer::from_pem_slice(text.pem) {
        Ok(key) => Ok(key),
        Err(pem::Error::NoItemsFound) => {
            if labels(text.pem)
                .iter()
                .any(|l| l == "ENCRYPTED PRIVATE KEY")
            {
                Err(CredentialError::Encrypted { origin })
            } else {
                Err(wrong_kind(text, "a private key (PEM)"))
            }
        }
        Err(source) => Err(CredentialError::BadPem { origin, source }),
    }
}

fn validity(
    chain: &[CertificateDer<'_>],
    origin: &str,
) -> Result<(SystemTime, SystemTime), CredentialError> {
    let damaged = |source| CredentialError::BadCertificate {
        origin: origin.to_owned(),
        position: 1,
        source,
    };
    let first = chain.first().ok_or_else(|| {
        damaged(CertificateError::Unreadable {
            reason: "there is none".to_owned(),
        })
    })?;
    let parsed = certificate::parse(first).map_err(damaged)?;
    let validity = parsed.validity();
    Ok((
        from_unix_seconds(validity.not_before.timestamp()),
        from_unix_seconds(validity.not_after.timestamp()),
    ))
}

fn wrong_kind(text: Named<'_>, expected: &'static str) -> CredentialError {
    let labels = labels(text.pem);
    CredentialError::WrongKind {
        origin: text.name.to_owned(),
        expected,
        found: if text.pem.is_empty() {
            "nothing".to_owned()
        } else if labels.is_empty() {
            "no PEM at all".to_owned()
        } else {
            labels.join(", ")
        },
    }
}

/// The labels of all PEM sections: "CERTIFICATE", "PRIVATE KEY", …
fn labels(pem: &[u8]) -> Vec<String> {
    String::from_utf8_lossy(pem)
        .lines()
        .filter_map(|line| {
            line.trim()
                .strip_prefix("-----BEGIN ")?
                .strip_suffix("-----")
        })
        .map(str::to_owned)
        .collect()
}

/// RFC 7468: base64 in lines of 64 characters.
fn to_pem(label: &str, der: &[u8]) -> String {
    use base64::Engine as _;
    let body = base64::engine::general_purpose::STANDARD.encode(der);
    let mut text = format!("-----BEGIN {label}-----\n");
    for (index, character) in body.chars().enumerate() {
        if index > 0 && index % 64 == 0 {
            text.push('\n');
        }
        text.push(character);
    }
    text.push_str(&format!("\n-----END {label}-----\n"));
    text
}

#[cfg(test)]
mod tests;
