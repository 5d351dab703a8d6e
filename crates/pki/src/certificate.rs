//! What a certificate says, read out of its DER (RFC 5280): whose it is, how
//! long it is valid, what it may be used for. Whether it is to be believed is
//! decided in [`crate::server`] and [`crate::client`].

use std::fmt;
use std::str::FromStr;
use std::time::SystemTime;

use rustls::pki_types::CertificateDer;
use sha2::{Digest, Sha256};
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

use crate::time::from_unix_seconds;

/// What stands before a component's id in its certificate's URI.
const COMPONENT_URI: &str = "rhyzome://component/";

/// SHA-256 over the DER of a SubjectPublicKeyInfo: names a key, whatever
/// certificate it stands in. Text form: 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// Of a SubjectPublicKeyInfo in DER.
    #[must_use]
    pub fn of_spki(der: &[u8]) -> Self {
        Self(Sha256::digest(der).into())
    }

    /// Of the key in a certificate.
    ///
    /// # Errors
    /// [`CertificateError::Unreadable`].
    pub fn of_certificate(der: &CertificateDer<'_>) -> Result<Self, CertificateError> {
        Ok(Self::of_spki(parse(der)?.public_key().raw))
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fingerprint({self})")
    }
}

/// The text is not 64 lower-case hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a fingerprint is 64 lower-case hexadecimal digits")]
pub struct BadFingerprint;

impl FromStr for Fingerprint {
    type Err = BadFingerprint;

    fn from_str(text: &str) -> Result<Self, BadFingerprint> {
        if text.bytes().any(|b| b.is_ascii_uppercase()) {
            return Err(BadFingerprint);
        }
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes).map_err(|_| BadFingerprint)?;
        Ok(Self(bytes))
    }
}

/// Why a certificate is not what it has to be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// Not DER of an X.509 certificate, or one with broken extensions.
    #[error("not a readable X.509 certificate: {reason}")]
    Unreadable { reason: String },
    /// No single well-formed `rhyzome://component/<id>` among its names.
    #[error("the certificate names no component")]
    NoComponent,
    /// The extended key usage clientAuth is missing.
    #[error("the certificate is not for a client")]
    NotForClients,
}

/// The certificate that a component showed. Its chain has been verified;
/// its time has not (see [`PeerCertificate::expired`]), nor whether the core
/// still knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerCertificate {
    /// Lower-case hexadecimal, as [`crate::issue::Issued::serial`] gave it out.
    pub serial: String,
    /// As given to [`crate::issue::ComponentRequest::component_id`].
    pub component_id: String,
    pub not_before: SystemTime,
    /// The last second in which it is valid.
    pub not_after: SystemTime,
}

impl PeerCertificate {
    /// Reads a component's certificate.
    ///
    /// # Errors
    /// All of [`CertificateError`]: a certificate without the name of a
    /// component, or without clientAuth, is none of ours.
    pub fn parse(der: &CertificateDer<'_>) -> Result<Self, CertificateError> {
        let certificate = parse(der)?;
        if !has_usage(&certificate, |usage| usage.client_auth) {
            return Err(CertificateError::NotForClients);
        }
        Ok(Self {
            serial: hex::encode(certificate.raw_serial()),
            component_id: component_id(&certificate)?,
            not_before: from_unix_seconds(certificate.validity().not_before.timestamp()),
            not_after: from_unix_seconds(certificate.validity().not_after.timestamp()),
        })
    }

    /// Whether it may be used for nothing but renewal any more.
    #[must_use]
    pub fn expired(&self, now: SystemTime) -> bool {
        now > self.not_after
    }
}

/// Whether an id may stand in a certificate: 1 to 128 of `A-Z a-z 0-9 . _ -`,
/// so that it needs no escaping in a URI, a file name or a log line.
#[must_use]
pub fn is_component_id(id: &str) -> bool {
    (1..=128).contains(&id.len())
        && id
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
}

pub(crate) fn component_uri(id: &str) -> String {
    format!("{COMPONENT_URI}{id}")
}

pub(crate) fn parse<'a>(
    der: &'a CertificateDer<'_>,
) -> Result<X509Certificate<'a>, CertificateError> {
    let unreadable = |reason: String| CertificateError::Unreadable { reason };
    let (rest, certificate) =
        X509Certificate::from_der(der.as_ref()).map_err(|e| unreadable(e.to_string()))?;
    if !rest.is_empty() {
        return Err(unreadable("bytes after its end".to_owned()));
    }
    Ok(certificate)
}

/// Whether a usage is named outright; a certificate without the extension may
/// be used for anything (RFC 5280, 4.2.1.12), and so for nothing here.
pub(crate) fn has_usage(
    certificate: &X509Certificate<'_>,
    usage: impl Fn(&x509_parser::extensions::ExtendedKeyUsage<'_>) -> bool,
) -> bool {
    matches!(certificate.extended_key_usage(), Ok(Some(extension)) if usage(extension.value))
}

fn component_id(certificate: &X509Certificate<'_>) -> Result<String, CertificateError> {
    let Ok(Some(names)) = certificate.subject_alternative_name() else {
        return Err(CertificateError::NoComponent);
    };
    match names.value.general_names.as_slice() {
        [GeneralName::URI(uri)] => uri
            .strip_prefix(COMPONENT_URI)
            .filter(|id| is_component_id(id))
            .map(str::to_owned)
            .ok_or(CertificateError::NoComponent),
        _ => Err(CertificateError::NoComponent),
    }
}
