//! Certificates that the authority signs: for components, for the core's gRPC
//! server, for its HTTP server. Each for one use and no other, so that none
//! can stand in for another kind.

use std::net::IpAddr;
use std::str::FromStr;
use std::time::{Duration, SystemTime};

use rand::CryptoRng;
use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, PublicKeyData, SanType, SerialNumber, SubjectPublicKeyInfo,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::prelude::FromDer;

use crate::CORE_SERVER_NAME;
use crate::authority::Authority;
use crate::certificate::{Fingerprint, component_uri, is_component_id};
use crate::credential::{Credential, CredentialError, chain_to_pem};
use crate::time::{ShownTime, from_unix_seconds, unix_seconds};

/// How long a component's certificate is valid unless the site says otherwise.
pub const COMPONENT_VALIDITY: Duration = Duration::from_secs(24 * 3600);

/// How far a certificate's beginning lies in the past, for clocks that are late.
pub const BACKDATE: Duration = Duration::from_secs(5 * 60);

/// A component's wish for a certificate.
#[derive(Debug, Clone, Copy)]
pub struct ComponentRequest<'a> {
    /// PKCS #10 in DER (RFC 2986). Only its public key is used.
    pub csr: &'a [u8],
    /// What the core knows it as; see [`is_component_id`].
    pub component_id: &'a str,
    /// From `now` on.
    pub validity: Duration,
}

/// A certificate without its key, which never left the component.
#[derive(Debug, Clone)]
pub struct Issued {
    pub certificate: CertificateDer<'static>,
    /// 32 lower-case hexadecimal digits, unique by chance (126 random bits).
    pub serial: String,
    pub not_before: SystemTime,
    /// Last second in which it is valid: never after the authority's.
    pub not_after: SystemTime,
}

impl Issued {
    /// The certificate as PEM.
    #[must_use]
    pub fn pem(&self) -> String {
        chain_to_pem(std::slice::from_ref(&self.certificate))
    }
}

/// Why no certificate was issued.
#[derive(Debug, thiserror::Error)]
pub enum IssueError {
    #[error("the certificate request is not PKCS #10 in DER: {reason}")]
    BadRequest { reason: String },
    #[error("the certificate request is not signed by the key that it holds")]
    BadRequestSignature,
    #[error("the certificate request's key is not ECDSA P-256")]
    KeyKind,
    #[error("`{id}` cannot be a component's id: 1 to 128 of A-Z a-z 0-9 . _ -")]
    ComponentId { id: String },
    #[error("an HTTP certificate needs at least one name or address")]
    NoNames,
    #[error("`{name}` is neither a DNS name nor an IP address")]
    BadName { name: String },
    #[error("`{CORE_SERVER_NAME}` is the name of the core's gRPC server and of no HTTP server")]
    ReservedName,
    #[error("the authority's own certificate expired at {}", ShownTime(*.not_after))]
    AuthorityExpired { not_after: SystemTime },
    #[error("a key could not be made")]
    MakeKey { source: rcgen::Error },
    #[error("the certificate could not be signed")]
    Sign { source: rcgen::Error },
    #[error("the signed certificate is not usable")]
    Unusable { source: CredentialError },
}

impl Authority {
    /// Signs a component's key: subject and URI from the core's own knowledge,
    /// for clients alone.
    ///
    /// # Errors
    /// [`IssueError`], all but those about names, keys made and `Unusable`.
    pub fn issue_component(
        &self,
        request: ComponentRequest<'_>,
        now: SystemTime,
        rng: &mut (impl CryptoRng + ?Sized),
    ) -> Result<Issued, IssueError> {
        let id = request.component_id;
        if !is_component_id(id) {
            return Err(IssueError::ComponentId { id: id.to_owned() });
        }
        let key = public_key(request.csr)?;
        let uri = SanType::URI(component_uri(id).try_into().expect("a checked id is ASCII"));
        let leaf = Leaf {
            common_name: id,
            names: vec![uri],
            usage: ExtendedKeyUsagePurpose::ClientAuth,
            validity: request.validity,
        };
        self.sign(leaf, &key, now, rng)
    }

    /// A key and a certificate for the core's gRPC server, for the fixed name
    /// [`CORE_SERVER_NAME`]; the chain ends with the authority, so that a
    /// joining component can find the key that its token pins.
    ///
    /// # Errors
    /// `AuthorityExpired`, `MakeKey`, `Sign`, `Unusable`.
    pub fn issue_core_server(
        &self,
        validity: Duration,
        now: SystemTime,
        rng: &mut (impl CryptoRng + ?Sized),
    ) -> Result<Credential, IssueError> {
        let names = vec![dns(CORE_SERVER_NAME)?];
        self.issue_server("Rhyzome core", names, validity, now, rng)
    }

    /// A key and a certificate for the HTTP server under the names and
    /// addresses that people reach it by.
    ///
    /// # Errors
    /// `NoNames`, `BadName`, `ReservedName`, and those of
    /// [`Authority::issue_core_server`].
    pub fn issue_http_server(
        &self,
        names: &[&str],
        validity: Duration,
        now: SystemTime,
        rng: &mut (impl CryptoRng + ?Sized),
    ) -> Result<Credential, IssueError> {
        let sans = names
            .iter()
            .map(|name| http_name(name))
            .collect::<Result<Vec<_>, _>>()?;
        if sans.is_empty() {
            return Err(IssueError::NoNames);
        }
        self.issue_server("Rhyzome HTTP", sans, validity, now, rng)
    }

    fn issue_server(
        &self,
        common_name: &str,
        names: Vec<SanType>,
        validity: Duration,
        now: SystemTime,
        rng: &mut (impl CryptoRng + ?Sized),
    ) -> Result<Credential, IssueError> {
        let key = KeyPair::generate().map_err(|source| IssueError::MakeKey { source })?;
        let leaf = Leaf {
            common_name,
            names,
            usage: ExtendedKeyUsagePurpose::ServerAuth,
            validity,
        };
        let issued = self.sign(leaf, &key, now, rng)?;
        let mut chain = vec![issued.certificate];
        chain.extend_from_slice(self.credential().chain());
        Credential::new(
            chain,
            PrivateKeyDer::from(key),
            "the issued certificate",
            "the made key",
        )
        .map_err(|source| IssueError::Unusable { source })
    }

    fn sign(
        &self,
        leaf: Leaf<'_>,
        key: &impl PublicKeyData,
        now: SystemTime,
        rng: &mut (impl CryptoRng + ?Sized),
    ) -> Result<Issued, IssueError> {
        let limit = self.credential().not_after();
        if now > limit {
            return Err(IssueError::AuthorityExpired { not_after: limit });
        }
        let serial = random_serial(rng);
        let not_before = whole_seconds((now - BACKDATE).max(self.credential().not_before()));
        let not_after = whole_seconds((now + leaf.validity).min(limit));
        let mut params = CertificateParams::default();
        params.serial_number = Some(SerialNumber::from(serial.clone()));
        params.not_before = not_before.into();
        params.not_after = not_after.into();
        params.distinguished_name = DistinguishedName::new();
        params
            .distinguished_name
            .push(DnType::CommonName, leaf.common_name);
        params.subject_alt_names = leaf.names;
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![leaf.usage];
        params.use_authority_key_identifier_extension = true;
        let certificate = params
            .signed_by(key, self.issuer())
            .map_err(|source| IssueError::Sign { source })?;
        Ok(Issued {
            certificate: certificate.der().clone(),
            serial: hex::encode(serial),
            not_before,
            not_after,
        })
    }
}

struct Leaf<'a> {
    common_name: &'a str,
    names: Vec<SanType>,
    usage: ExtendedKeyUsagePurpose,
    validity: Duration,
}

/// 16 bytes of which the first begins with the bits 01: a positive number
/// whose DER keeps all 16, so its text is always 32 digits.
pub(crate) fn random_serial(rng: &mut (impl CryptoRng + ?Sized)) -> Vec<u8> {
    let mut serial = [0; 16];
    rng.fill_bytes(&mut serial);
    serial[0] = serial[0] & 0x3f | 0x40;
    serial.to_vec()
}

/// Which key a request is for, whose holder signed it.
///
/// # Errors
/// `BadRequest`, `BadRequestSignature`, `KeyKind`.
pub fn key_of(csr: &[u8]) -> Result<Fingerprint, IssueError> {
    Ok(Fingerprint::of_spki(
        &public_key(csr)?.subject_public_key_info(),
    ))
}

fn public_key(csr: &[u8]) -> Result<SubjectPublicKeyInfo, IssueError> {
    let (rest, request) =
        X509CertificationRequest::from_der(csr).map_err(|e| IssueError::BadRequest {
            reason: e.to_string(),
        })?;
    if !rest.is_empty() {
        return Err(IssueError::BadRequest {
            reason: "bytes after its end".to_owned(),
        });
    }
    let info = request.certification_request_info.subject_pki.raw;
    let key = SubjectPublicKeyInfo::from_der(info).map_err(|_| IssueError::KeyKind)?;
    if *key.algorithm() != rcgen::PKCS_ECDSA_P256_SHA256 {
        return Err(IssueError::KeyKind);
    }
    request
        .verify_signature()
        .map_err(|_| IssueError::BadRequestSignature)?;
    Ok(key)
}

fn http_name(name: &str) -> Result<SanType, IssueError> {
    if covers_core(name) {
        return Err(IssueError::ReservedName);
    }
    match IpAddr::from_str(name) {
        Ok(address) => Ok(SanType::IpAddress(address)),
        Err(_) => dns(name),
    }
}

/// Whether a certificate for this name would also do for the core's gRPC server.
fn covers_core(name: &str) -> bool {
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    match name.strip_prefix("*.") {
        Some(parent) => CORE_SERVER_NAME
            .split_once('.')
            .is_some_and(|(_, core_parent)| core_parent == parent),
        None => name == CORE_SERVER_NAME,
    }
}

fn dns(name: &str) -> Result<SanType, IssueError> {
    let bad = || IssueError::BadName {
        name: name.to_owned(),
    };
    let plain = name.strip_prefix("*.").unwrap_or(name);
    rustls::pki_types::DnsName::try_from(plain).map_err(|_| bad())?;
    Ok(SanType::DnsName(name.try_into().map_err(|_| bad())?))
}

fn whole_seconds(at: SystemTime) -> SystemTime {
    from_unix_seconds(i64::try_from(unix_seconds(at)).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests;
