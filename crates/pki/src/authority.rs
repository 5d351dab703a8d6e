//! The site's signing authority: made at first start, or an operator's own
//! certificate (also an intermediate, with the chain above it in the same
//! file). It signs components and the core's servers, see [`crate::issue`].
//!
//! Its own certificate is the trust anchor, not what stands above it: a
//! company's root signs more than this site's components.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rand::CryptoRng;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PublicKeyData, SerialNumber, SignatureAlgorithm, SubjectPublicKeyInfo,
};
use rustls::SignatureScheme;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use x509_parser::prelude::X509Certificate;

use crate::certificate::{self, CertificateError, Fingerprint};
use crate::credential::{self, Credential, CredentialError, Named};
use crate::file::{self, FileError};
use crate::issue::{BACKDATE, random_serial};

/// How long a made authority is valid.
pub const LIFETIME: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// The authority with its key. `Debug` shows the fingerprint alone.
pub struct Authority {
    credential: Credential,
    issuer: Issuer<'static, AuthorityKey>,
    fingerprint: Fingerprint,
}

/// Why a certificate and its key are no authority.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    #[error(transparent)]
    Credential(#[from] CredentialError),
    /// `subject` is the certificate's own name for itself.
    #[error("the certificate in {origin} ({subject}) is not a signing authority (CA)")]
    NotAnAuthority { origin: String, subject: String },
    #[error("the certificate in {origin} ({subject}) may not sign certificates (no keyCertSign)")]
    MayNotSign { origin: String, subject: String },
    /// `position` counts from 1; the next certificate should have signed it.
    #[error("certificate {position} in {origin} is not signed by the one after it")]
    BrokenChain { origin: String, position: usize },
    #[error("the authority in {origin} has a key of a kind that cannot sign")]
    UnusableKey {
        origin: String,
        source: rcgen::Error,
    },
    #[error("the authority could not be made")]
    Make { source: rcgen::Error },
    #[error("the authority could not be saved")]
    Save { source: FileError },
}

impl Authority {
    /// Makes a self-signed authority for a site, ECDSA P-256, valid for
    /// [`LIFETIME`], that may sign no further authorities.
    ///
    /// # Errors
    /// [`AuthorityError::Make`].
    pub fn make(
        site: &str,
        now: SystemTime,
        rng: &mut (impl CryptoRng + ?Sized),
    ) -> Result<Self, AuthorityError> {
        let made = |source| AuthorityError::Make { source };
        let key = KeyPair::generate().map_err(made)?;
        let mut params = CertificateParams::default();
        params.not_before = (now - BACKDATE).into();
        params.not_after = (now + LIFETIME).into();
        params.serial_number = Some(SerialNumber::from(random_serial(rng)));
        params.distinguished_name = DistinguishedName::new();
        params
            .distinguished_name
            .push(DnType::CommonName, format!("Rhyzome authority {site}"));
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let certificate = params.self_signed(&key).map_err(made)?;
        let name = "the new authority";
        let credential = Credential::new(
            vec![certificate.der().clone()],
            PrivateKeyDer::from(key),
            name,
            name,
        )?;
        Self::from_credential(credential, name)
    }

    /// Loads `authority.cert` (the authority first, then what is above it)
    /// and `authority.key`.
    ///
    /// # Errors
    /// All of [`AuthorityError`] but `Make` and `Save`.
    pub fn load(certificate: &Path, key: &Path, now: SystemTime) -> Result<Self, AuthorityError> {
        let credential = Credential::load(certificate, key)?;
        Self::valid(credential, &certificate.display().to_string(), now)
    }

    /// Like [`Authority::load`], from texts that are not in files.
    ///
    /// # Errors
    /// All of [`AuthorityError`] but `Make` and `Save`.
    pub fn from_pem(
        certificate: Named<'_>,
        key: Named<'_>,
        now: SystemTime,
    ) -> Result<Self, AuthorityError> {
        let credential = Credential::from_pem(certificate, key)?;
        Self::valid(credential, certificate.name, now)
    }

    /// Writes both files, each whole or not at all, the key first and with
    /// mode 0600: a certificate in its place has its key beside it.
    ///
    /// # Errors
    /// [`AuthorityError::Save`].
    pub fn save(&self, certificate: &Path, key: &Path) -> Result<(), AuthorityError> {
        let saved = |source| AuthorityError::Save { source };
        file::write_atomic(key, self.credential.key_pem().as_bytes(), file::PRIVATE)
            .map_err(saved)?;
        file::write_atomic(
            certificate,
            self.credential.chain_pem().as_bytes(),
            file::PUBLIC,
        )
        .map_err(saved)
    }

    /// Names the authority's key; join tokens carry it.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    /// The certificate that components and their core trust.
    #[must_use]
    pub fn certificate(&self) -> &CertificateDer<'static> {
        &self.credential.chain()[0]
    }

    /// The authority's certificate, as PEM, without what is above it.
    #[must_use]
    pub fn certificate_pem(&self) -> String {
        credential::chain_to_pem(&self.credential.chain()[..1])
    }

    /// Chain and key, to be kept elsewhere than in files.
    #[must_use]
    pub fn credential(&self) -> &Credential {
        &self.credential
    }

    pub(crate) fn issuer(&self) -> &Issuer<'static, AuthorityKey> {
        &self.issuer
    }

    fn valid(
        credential: Credential,
        origin: &str,
        now: SystemTime,
    ) -> Result<Self, AuthorityError> {
        let authority = Self::from_credential(credential, origin)?;
        authority.credential.check_time(now, origin)?;
        Ok(authority)
    }

    fn from_credential(credential: Credential, origin: &str) -> Result<Self, AuthorityError> {
        let chain = credential.chain();
        let parsed = chain
            .iter()
            .enumerate()
            .map(|(index, der)| {
                certificate::parse(der).map_err(|source| bad(origin, index + 1, source))
            })
            .collect::<Result<Vec<_>, _>>()?;
        let own = &parsed[0];
        check_may_sign(own, origin)?;
        check_chain(&parsed, origin)?;
        let unusable = |source| AuthorityError::UnusableKey {
            origin: origin.to_owned(),
            source,
        };
        let fingerprint = Fingerprint::of_spki(own.public_key().raw);
        let key = AuthorityKey {
            signer: Arc::clone(&credential.certified_key().key),
            public: SubjectPublicKeyInfo::from_der(own.public_key().raw).map_err(unusable)?,
        };
        let issuer = Issuer::from_ca_cert_der(&chain[0], key).map_err(unusable)?;
        Ok(Self {
            issuer,
            fingerprint,
            credential,
        })
    }
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authority")
            .field("fingerprint", &self.fingerprint)
            .finish_non_exhaustive()
    }
}

/// Lets rcgen sign with whatever kind of key rustls can read: `step` and
/// `openssl` write more than PKCS #8.
pub(crate) struct AuthorityKey {
    signer: Arc<dyn rustls::sign::SigningKey>,
    public: SubjectPublicKeyInfo,
}

impl PublicKeyData for AuthorityKey {
    fn der_bytes(&self) -> &[u8] {
        self.public.der_bytes()
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        self.public.algorithm()
    }
}

impl rcgen::SigningKey for AuthorityKey {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        let scheme = scheme(self.algorithm()).ok_or(rcgen::Error::UnsupportedSignatureAlgorithm)?;
        let signer = self
            .signer
            .choose_scheme(&[scheme])
            .ok_or(rcgen::Error::UnsupportedSignatureAlgorithm)?;
        signer
            .sign(message)
            .map_err(|_| rcgen::Error::RemoteKeyError)
    }
}

fn scheme(algorithm: &'static SignatureAlgorithm) -> Option<SignatureScheme> {
    [
        (
            &rcgen::PKCS_ECDSA_P256_SHA256,
            SignatureScheme::ECDSA_NISTP256_SHA256,
        ),
        (
            &rcgen::PKCS_ECDSA_P384_SHA384,
            SignatureScheme::ECDSA_NISTP384_SHA384,
        ),
        (&rcgen::PKCS_ED25519, SignatureScheme::ED25519),
        (&rcgen::PKCS_RSA_SHA256, SignatureScheme::RSA_PKCS1_SHA256),
        (&rcgen::PKCS_RSA_SHA384, SignatureScheme::RSA_PKCS1_SHA384),
        (&rcgen::PKCS_RSA_SHA512, SignatureScheme::RSA_PKCS1_SHA512),
    ]
    .into_iter()
    .find_map(|(known, scheme)| (*known == *algorithm).then_some(scheme))
}

fn check_may_sign(own: &X509Certificate<'_>, origin: &str) -> Result<(), AuthorityError> {
    let origin = origin.to_owned();
    let subject = own.subject().to_string();
    if !own.is_ca() {
        return Err(AuthorityError::NotAnAuthority { origin, subject });
    }
    match own.key_usage() {
        Ok(Some(usage)) if !usage.value.key_cert_sign() => {
            Err(AuthorityError::MayNotSign { origin, subject })
        }
        _ => Ok(()),
    }
}

fn check_chain(chain: &[X509Certificate<'_>], origin: &str) -> Result<(), AuthorityError> {
    for (index, pair) in chain.windows(2).enumerate() {
        let signed = pair[0].issuer() == pair[1].subject()
            && pair[0].verify_signature(Some(pair[1].public_key())).is_ok();
        if !signed {
            return Err(AuthorityError::BrokenChain {
                origin: origin.to_owned(),
                position: index + 1,
            });
        }
    }
    Ok(())
}

fn bad(origin: &str, position: usize, source: CertificateError) -> AuthorityError {
    AuthorityError::Credential(CredentialError::BadCertificate {
        origin: origin.to_owned(),
        position,
        source,
    })
}

#[cfg(test)]
mod tests;
