//! A component's own identity: the key it made, the certificate it was given
//! for it, the authority it trusts, the core it belongs to. How it is kept on
//! disk is [`folder`]'s matter.

pub mod folder;

use std::time::SystemTime;

use rcgen::{CertificateParams, DistinguishedName, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

pub use folder::IdentityFolder;

use crate::certificate::{self, CertificateError, PeerCertificate};
use crate::credential::{Credential, CredentialError, Named, chain_from_pem, key_from_pem};
use crate::file::FileError;
use crate::issue::BACKDATE;

/// A private key just made, not certified yet. Has no `Debug`.
pub struct NewKey {
    key: KeyPair,
}

/// Everything a component needs to be itself.
#[derive(Debug, Clone)]
pub struct Identity {
    credential: Credential,
    authorities: Vec<CertificateDer<'static>>,
    certificate: PeerCertificate,
    core: String,
}

/// Why there is no usable identity.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    #[error(transparent)]
    Credential(#[from] CredentialError),
    #[error(transparent)]
    File(#[from] FileError),
    /// Nothing has ever joined with this folder.
    #[error("{folder} holds no identity: this component has not joined a core yet")]
    NotJoined { folder: String },
    #[error("the certificate in {origin} is not a component's")]
    NotAComponent {
        origin: String,
        source: CertificateError,
    },
    #[error("the certificate in {origin} is not signed by the authority in {authority}")]
    OtherAuthority { origin: String, authority: String },
    #[error("{path} is not a component's record")]
    Record {
        path: String,
        source: serde_json::Error,
    },
    #[error("{path} speaks of component {recorded}, the certificate beside it of {certified}")]
    OtherComponent {
        path: String,
        recorded: String,
        certified: String,
    },
    #[error("the renewed certificate is for component {found}, not for {expected}")]
    RenewedForOther { expected: String, found: String },
    #[error("the key in {origin} is not usable; remove it to join with another one")]
    UnusableKey {
        origin: String,
        source: rcgen::Error,
    },
    #[error("a key could not be made")]
    MakeKey { source: rcgen::Error },
    #[error("the certificate request could not be signed")]
    MakeRequest { source: rcgen::Error },
}

impl NewKey {
    /// Makes an ECDSA P-256 key.
    ///
    /// # Errors
    /// [`IdentityError::MakeKey`].
    pub fn make() -> Result<Self, IdentityError> {
        let key = KeyPair::generate().map_err(|source| IdentityError::MakeKey { source })?;
        Ok(Self { key })
    }

    /// Takes up a key that was made before.
    pub(crate) fn from_pem(text: Named<'_>) -> Result<Self, IdentityError> {
        let origin = text.name.to_owned();
        let key = KeyPair::try_from(&key_from_pem(text)?)
            .map_err(|source| IdentityError::UnusableKey { origin, source })?;
        Ok(Self { key })
    }

    /// The key as PEM (PKCS #8).
    pub(crate) fn pem(&self) -> String {
        self.key.serialize_pem()
    }

    /// The certificate request to send (PKCS #10 in DER, RFC 2986). It holds
    /// the public key and no name: names are the core's to give.
    ///
    /// # Errors
    /// [`IdentityError::MakeRequest`].
    pub fn request(&self) -> Result<Vec<u8>, IdentityError> {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        let request = params
            .serialize_request(&self.key)
            .map_err(|source| IdentityError::MakeRequest { source })?;
        Ok(request.der().to_vec())
    }
}

impl Identity {
    /// Puts together what joining gave: the key made here, the certificate
    /// (PEM) issued for it, the authorities (PEM) to trust, the core's URL.
    ///
    /// # Errors
    /// [`IdentityError`]: a certificate that does not fit the key, is signed
    /// by another authority, or is not a component's.
    pub fn assemble(
        key: NewKey,
        certificate_pem: &str,
        authorities_pem: &str,
        core: &str,
    ) -> Result<Self, IdentityError> {
        let certificate = Named {
            name: "the core's answer",
            pem: certificate_pem.as_bytes(),
        };
        let authorities = Named {
            name: "the core's answer",
            pem: authorities_pem.as_bytes(),
        };
        let credential = Credential::new(
            chain_from_pem(certificate)?,
            PrivateKeyDer::from(key.key),
            certificate.name,
            "this component",
        )?;
        Self::new(credential, authorities, certificate.name, core.to_owned())
    }

    /// The same component with a renewed certificate for a new key.
    ///
    /// # Errors
    /// As [`Identity::assemble`], and [`IdentityError::RenewedForOther`].
    pub fn renewed(
        &self,
        key: NewKey,
        certificate_pem: &str,
        authorities_pem: &str,
    ) -> Result<Self, IdentityError> {
        let renewed = Self::assemble(key, certificate_pem, authorities_pem, &self.core)?;
        if renewed.component_id() != self.component_id() {
            return Err(IdentityError::RenewedForOther {
                expected: self.component_id().to_owned(),
                found: renewed.component_id().to_owned(),
            });
        }
        Ok(renewed)
    }

    /// When to ask for the next certificate: two thirds into this one's time
    /// since it was issued.
    #[must_use]
    pub fn renew_at(&self) -> SystemTime {
        let issued = self.certificate.not_before + BACKDATE;
        match self.certificate.not_after.duration_since(issued) {
            Ok(lifetime) => issued + lifetime * 2 / 3,
            Err(_) => self.certificate.not_after,
        }
    }

    /// The id that the core gave this component.
    #[must_use]
    pub fn component_id(&self) -> &str {
        &self.certificate.component_id
    }

    /// What its certificate says.
    #[must_use]
    pub fn certificate(&self) -> &PeerCertificate {
        &self.certificate
    }

    /// Certificate and key, for [`crate::client::ClientCertificate`].
    #[must_use]
    pub fn credential(&self) -> &Credential {
        &self.credential
    }

    /// Who may sign the core's server, for [`crate::client::component_config`].
    #[must_use]
    pub fn authorities(&self) -> &[CertificateDer<'static>] {
        &self.authorities
    }

    /// The core's gRPC URL as given when joining.
    #[must_use]
    pub fn core(&self) -> &str {
        &self.core
    }

    fn new(
        credential: Credential,
        authorities: Named<'_>,
        origin: &str,
        core: String,
    ) -> Result<Self, IdentityError> {
        let authority_name = authorities.name;
        let authorities = chain_from_pem(authorities)?;
        let own = &credential.chain()[0];
        let certificate =
            PeerCertificate::parse(own).map_err(|source| IdentityError::NotAComponent {
                origin: origin.to_owned(),
                source,
            })?;
        if !authorities.iter().any(|authority| signed(own, authority)) {
            return Err(IdentityError::OtherAuthority {
                origin: origin.to_owned(),
                authority: authority_name.to_owned(),
            });
        }
        Ok(Self {
            credential,
            authorities,
            certificate,
            core,
        })
    }
}

fn signed(own: &CertificateDer<'_>, authority: &CertificateDer<'_>) -> bool {
    let (Ok(own), Ok(authority)) = (certificate::parse(own), certificate::parse(authority)) else {
        return false;
    };
    own.verify_signature(Some(authority.public_key())).is_ok()
}

#[cfg(test)]
mod tests;
