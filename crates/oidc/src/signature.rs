//! Signatures by ring: which algorithms are taken, and with which kind of key each.

use std::sync::Once;

use jsonwebtoken::crypto::{CryptoProvider, JwtVerifier, KeyUtils};
use jsonwebtoken::errors::{Error, ErrorKind, Result};
use jsonwebtoken::signature::{Error as SignatureError, Verifier};
use jsonwebtoken::{Algorithm, DecodingKey, DecodingKeyKind};
use ring::signature::{
    self, RsaParameters, RsaPublicKeyComponents, UnparsedPublicKey, VerificationAlgorithm,
};

/// Those that a public key verifies: never HMAC, whose key would be the issuer's public one.
pub(crate) const TAKEN: [Algorithm; 9] = [
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
    Algorithm::ES256,
    Algorithm::ES384,
    Algorithm::EdDSA,
];

static PROVIDER: CryptoProvider = CryptoProvider {
    signer_factory: |_, _| Err(Error::from(ErrorKind::InvalidAlgorithm)),
    verifier_factory: verifier,
    key_utils: KeyUtils::new_unimplemented(),
};

/// Has signatures verified by ring in this process.
pub(crate) fn install() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        if PROVIDER.install_default().is_err() {
            tracing::error!("something else verifies the signatures of tokens in this process");
        }
    });
}

fn verifier(algorithm: &Algorithm, key: &DecodingKey) -> Result<Box<dyn JwtVerifier>> {
    let wrong = || Error::from(ErrorKind::InvalidKeyFormat);
    let rsa = |parameters: &'static RsaParameters| match key.kind() {
        DecodingKeyKind::RsaModulusExponent { n, e } => {
            Ok(Key::Rsa(parameters, n.clone(), e.clone()))
        }
        DecodingKeyKind::SecretOrDer(_) => Err(wrong()),
    };
    let plain = |algorithm: &'static dyn VerificationAlgorithm| {
        Ok(Key::Plain(algorithm, key.try_get_as_bytes()?.to_vec()))
    };
    let parsed = match algorithm {
        Algorithm::RS256 => rsa(&signature::RSA_PKCS1_2048_8192_SHA256),
        Algorithm::RS384 => rsa(&signature::RSA_PKCS1_2048_8192_SHA384),
        Algorithm::RS512 => rsa(&signature::RSA_PKCS1_2048_8192_SHA512),
        Algorithm::PS256 => rsa(&signature::RSA_PSS_2048_8192_SHA256),
        Algorithm::PS384 => rsa(&signature::RSA_PSS_2048_8192_SHA384),
        Algorithm::PS512 => rsa(&signature::RSA_PSS_2048_8192_SHA512),
        Algorithm::ES256 => plain(&signature::ECDSA_P256_SHA256_FIXED),
        Algorithm::ES384 => plain(&signature::ECDSA_P384_SHA384_FIXED),
        Algorithm::EdDSA => plain(&signature::ED25519),
        _ => return Err(Error::from(ErrorKind::InvalidAlgorithm)),
    };
    // A key of one kind with an algorithm of another.
    if algorithm.family() != key.family() {
        return Err(wrong());
    }
    Ok(Box::new(Ring {
        algorithm: *algorithm,
        key: parsed?,
    }))
}

enum Key {
    Rsa(&'static RsaParameters, Vec<u8>, Vec<u8>),
    Plain(&'static dyn VerificationAlgorithm, Vec<u8>),
}

struct Ring {
    algorithm: Algorithm,
    key: Key,
}

impl Verifier<Vec<u8>> for Ring {
    fn verify(
        &self,
        message: &[u8],
        signature: &Vec<u8>,
    ) -> std::result::Result<(), SignatureError> {
        let verified = match &self.key {
            Key::Rsa(parameters, n, e) => {
                RsaPublicKeyComponents { n, e }.verify(parameters, message, signature)
            }
            Key::Plain(algorithm, key) => {
                UnparsedPublicKey::new(*algorithm, key).verify(message, signature)
            }
        };
        verified.map_err(|_| SignatureError::new())
    }
}

impl JwtVerifier for Ring {
    fn algorithm(&self) -> Algorithm {
        self.algorithm
    }
}
