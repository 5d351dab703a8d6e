//! An issuer that is trusted, and its verdicts.

use std::sync::Arc;

use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk};
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls_platform_verifier::BuilderVerifierExt;

use crate::keys::{KeySet, Keys, Pace, is_safe};
use crate::{Claims, Error, signature};

/// A token is smaller. Bytes.
const LARGEST: usize = 16 << 10;

/// Whom to trust, and as whom.
#[derive(Clone, Debug)]
pub struct Options {
    /// As the issuer writes it of itself, to the letter.
    pub issuer: String,
    /// What the issuer calls this site.
    pub client_id: String,
    /// The authority (PEM) of the issuer's certificate; otherwise whom the system trusts.
    pub authority: Option<String>,
}

/// Why an issuer cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OptionsError {
    #[error(
        "{0:?} is no issuer: it begins with https://, or with http:// on a loopback address, and has no query"
    )]
    Issuer(String),
    #[error("the authority of the issuer's certificate cannot be used: {0}")]
    Authority(String),
    #[error("no HTTP client can be made: {0}")]
    Http(String),
}

/// An issuer that is trusted; cheap to clone.
#[derive(Clone)]
pub struct Issuer(Arc<Shared>);

struct Shared {
    options: Options,
    keys: Keys,
}

impl Issuer {
    /// Takes an issuer; nothing is asked of it yet.
    ///
    /// # Errors
    /// [`OptionsError`].
    pub fn new(options: Options) -> Result<Self, OptionsError> {
        Self::with_pace(options, Pace::default())
    }

    fn with_pace(options: Options, pace: Pace) -> Result<Self, OptionsError> {
        if !is_safe(&options.issuer) || options.issuer.contains(['?', '#']) {
            return Err(OptionsError::Issuer(options.issuer));
        }
        signature::install();
        let http = http(options.authority.as_deref())?;
        let keys = Keys::new(options.issuer.clone(), http, pace);
        Ok(Self(Arc::new(Shared { options, keys })))
    }

    pub fn url(&self) -> &str {
        &self.0.options.issuer
    }

    pub fn client_id(&self) -> &str {
        &self.0.options.client_id
    }

    /// What a token says, if this issuer made it, for this client, and it is good at `now` (seconds since 1970).
    ///
    /// # Errors
    /// [`Error`]; `Unreachable` where the issuer's keys are not known and it does not say them.
    pub async fn verify(&self, token: &str, now: i64) -> Result<Claims, Error> {
        let (algorithm, kid) = head(token)?;
        let keys = self.0.keys.find(kid.as_deref()).await?;
        judged(token, algorithm, &keys, &self.0.options, now)
    }
}

/// The same with keys that are at hand: nobody is asked.
///
/// # Errors
/// [`Error`], but never `Unreachable`.
pub fn verify_with(
    keys: &KeySet,
    options: &Options,
    token: &str,
    now: i64,
) -> Result<Claims, Error> {
    signature::install();
    let (algorithm, kid) = head(token)?;
    let keys = keys.select(kid.as_deref());
    if keys.is_empty() {
        return Err(Error::UnknownKey(kid.unwrap_or_default()));
    }
    judged(token, algorithm, &keys, options, now)
}

/// What a token says, if one of these keys signed it.
fn judged(
    token: &str,
    algorithm: Algorithm,
    keys: &[Jwk],
    options: &Options,
    now: i64,
) -> Result<Claims, Error> {
    let mut claims = Err(Error::Signature);
    for key in keys.iter().filter(|key| fits(key, algorithm)) {
        claims = signed(token, key, algorithm);
        if claims.is_ok() {
            break;
        }
    }
    let claims = claims?;
    claims.check(&options.issuer, &options.client_id, now)?;
    Ok(claims)
}

/// Which key a token says that it was signed with, and how. Nothing of it is believed yet.
fn head(token: &str) -> Result<(Algorithm, Option<String>), Error> {
    if token.len() > LARGEST {
        return Err(Error::Malformed(format!("it has {} bytes", token.len())));
    }
    let header = decode_header(token).map_err(|e| Error::Malformed(e.to_string()))?;
    if !signature::TAKEN.contains(&header.alg) {
        return Err(Error::Algorithm(format!("{:?}", header.alg)));
    }
    Ok((header.alg, header.kid))
}

/// Whether a key may be used with an algorithm: what the issuer says of it counts, not what the token says.
fn fits(key: &Jwk, algorithm: Algorithm) -> bool {
    if let Some(only) = &key.common.key_algorithm {
        return only.to_string() == format!("{algorithm:?}");
    }
    match &key.algorithm {
        AlgorithmParameters::RSA(_) => matches!(
            algorithm,
            Algorithm::RS256
                | Algorithm::RS384
                | Algorithm::RS512
                | Algorithm::PS256
                | Algorithm::PS384
                | Algorithm::PS512
        ),
        AlgorithmParameters::EllipticCurve(ec) => match ec.curve {
            EllipticCurve::P256 => algorithm == Algorithm::ES256,
            EllipticCurve::P384 => algorithm == Algorithm::ES384,
            _ => false,
        },
        AlgorithmParameters::OctetKeyPair(_) => algorithm == Algorithm::EdDSA,
        _ => false,
    }
}

fn signed(token: &str, key: &Jwk, algorithm: Algorithm) -> Result<Claims, Error> {
    let key = DecodingKey::from_jwk(key).map_err(|_| Error::Signature)?;
    // The claims are checked by ourselves, with the core's clock.
    let mut validation = Validation::new(algorithm);
    validation.required_spec_claims.clear();
    validation.validate_exp = false;
    validation.validate_nbf = false;
    validation.validate_aud = false;
    use jsonwebtoken::errors::ErrorKind;
    decode::<Claims>(token, &key, &validation)
        .map(|data| data.claims)
        .map_err(|e| match e.kind() {
            ErrorKind::InvalidSignature
            | ErrorKind::InvalidKeyFormat
            | ErrorKind::InvalidAlgorithm => Error::Signature,
            _ => Error::Malformed(e.to_string()),
        })
}

fn http(authority: Option<&str>) -> Result<reqwest::Client, OptionsError> {
    let unusable = |e: &dyn std::fmt::Display| OptionsError::Authority(e.to_string());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| OptionsError::Http(e.to_string()))?;
    let builder = match authority {
        Some(pem) => {
            let mut roots = rustls::RootCertStore::empty();
            for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
                let certificate = certificate.map_err(|_| unusable(&"it is not PEM"))?;
                roots.add(certificate).map_err(|e| unusable(&e))?;
            }
            if roots.is_empty() {
                return Err(unusable(&"it has no certificate in it"));
            }
            builder.with_root_certificates(roots)
        }
        None => builder
            .with_platform_verifier()
            .map_err(|e| OptionsError::Http(e.to_string()))?,
    };
    reqwest::Client::builder()
        .tls_backend_preconfigured(builder.with_no_client_auth())
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .build()
        .map_err(|e| OptionsError::Http(e.to_string()))
}

#[cfg(test)]
mod tests;
