//! OpenID Connect as one who relies on it: whether an ID token was made by an issuer, for us, and is good now.
//!
//! The issuer's keys are found as its discovery document says (OpenID Connect Discovery 1.0, section 4), and kept: an issuer that
//! does not answer locks nobody out whose token was signed with a key that is known, and lets nobody in who has another. What
//! a token has to be is in OpenID Connect Core 1.0, section 3.1.3.7, and RFC 8725.
//!
//! Left out on purpose: logging in, which is the client's; sessions, which are the core's.

mod claims;
mod issuer;
mod keys;
mod signature;

pub use claims::Claims;
pub use issuer::{Issuer, Options, OptionsError, verify_with};
pub use keys::{KeySet, keys_at};

/// Why a token was not taken.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("this is no ID token: {0}")]
    Malformed(String),
    #[error("ID tokens signed with {0} are not taken; RS, PS and ES with SHA-2, and Ed25519, are")]
    Algorithm(String),
    #[error("the issuer has no key {0:?} with which this ID token could be signed")]
    UnknownKey(String),
    #[error("the ID token's signature is not the issuer's")]
    Signature,
    #[error("the ID token is of the issuer {found:?}, and {expected:?} is trusted here")]
    WrongIssuer { found: String, expected: String },
    #[error("the ID token is not for this site: its audience has to be {0:?}")]
    Audience(String),
    #[error("the ID token has expired; log in again")]
    Expired,
    #[error("the ID token is not good yet: is the clock right, here and at the issuer?")]
    TooEarly,
    #[error("the ID token has no {0}")]
    Missing(&'static str),
    /// Nothing is known of the token: it may be good.
    #[error("the issuer {issuer} does not say which keys are its own: {reason}")]
    Unreachable { issuer: String, reason: String },
}

impl Error {
    /// Whether the token may be good, and nobody could say so now.
    pub fn is_unreachable(&self) -> bool {
        matches!(self, Self::Unreachable { .. })
    }
}
