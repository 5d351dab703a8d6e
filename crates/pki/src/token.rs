//! What people and programs carry: one-time join tokens and invitations, API tokens, and what a login gives.
//!
//! All begin with a prefix that secret scanners can look for, all hold 32
//! random bytes, and of all only a hash is to be stored. The secrets are
//! random and long, so a plain SHA-256 is enough: there is nothing to guess.
//! No type can be printed by accident: the text comes from `reveal` alone.

use std::fmt;
use std::marker::PhantomData;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rand::CryptoRng;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::certificate::Fingerprint;

const JOIN_PREFIX: &str = "rzj_";
const API_PREFIX: &str = "rz_";
const SESSION_PREFIX: &str = "rzs_";
const INVITATION_PREFIX: &str = "rzi_";
/// 32 bytes in base64url without padding.
const SECRET_CHARS: usize = 43;

/// Lets one component join: `rzj_<secret>_<fingerprint of the authority>`.
///
/// The fingerprint tells the component whom to trust before it has a
/// certificate; the secret tells the core that somebody invited it.
#[derive(Clone)]
pub struct JoinToken {
    secret: Secret,
    authority: Fingerprint,
}

/// A secret with a prefix that says what it is good for.
#[derive(Clone)]
pub struct Prefixed<K> {
    secret: Secret,
    kind: PhantomData<K>,
}

/// What a secret is good for.
pub trait Use {
    const PREFIX: &'static str;
    const NOT_ONE: TokenError;
}

/// The HTTP API, for programs.
#[derive(Clone)]
pub struct Api;
/// The HTTP API, for somebody who has logged in.
#[derive(Clone)]
pub struct Session;
/// Coming into a project, once.
#[derive(Clone)]
pub struct Invitation;

impl Use for Api {
    const PREFIX: &'static str = API_PREFIX;
    const NOT_ONE: TokenError = TokenError::NotAnApiToken;
}

impl Use for Session {
    const PREFIX: &'static str = SESSION_PREFIX;
    const NOT_ONE: TokenError = TokenError::NotASession;
}

impl Use for Invitation {
    const PREFIX: &'static str = INVITATION_PREFIX;
    const NOT_ONE: TokenError = TokenError::NotAnInvitation;
}

/// A program's key to the HTTP API: `rz_<secret>`.
pub type ApiToken = Prefixed<Api>;
/// The same of somebody who has logged in: `rzs_<secret>`.
pub type SessionToken = Prefixed<Session>;
/// What lets one person into a project: `rzi_<secret>`.
pub type InvitationCode = Prefixed<Invitation>;

/// What is stored of a token. Comparing two takes the same time whatever they
/// hold. Text form: 64 lower-case hexadecimal digits.
#[derive(Clone, Copy)]
pub struct TokenHash([u8; 32]);

/// Why a text is not a token. No variant holds any part of the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    #[error("a join token begins with `rzj_`")]
    NotAJoinToken,
    #[error("this is an API token (`rz_`); a component joins with a join token (`rzj_`)")]
    ApiTokenForJoining,
    #[error("an API token begins with `rz_`, and what a login gives with `rzs_`")]
    NotAnApiToken,
    #[error("what a login gives begins with `rzs_`")]
    NotASession,
    #[error("an invitation begins with `rzi_`")]
    NotAnInvitation,
    #[error("this is a join token (`rzj_`), good for one component to join; the API takes `rz_`")]
    JoinTokenForApi,
    #[error("the token has {found} characters and should have {expected}: was a part left out?")]
    Length { expected: usize, found: usize },
    #[error("the token's secret part has a character that none of ours has")]
    Secret,
    #[error("the token's last part is not the fingerprint of an authority")]
    Fingerprint,
}

impl JoinToken {
    /// Makes a new one.
    pub fn mint(authority: Fingerprint, rng: &mut (impl CryptoRng + ?Sized)) -> Self {
        Self {
            secret: Secret::mint(rng),
            authority,
        }
    }

    /// The key that the core must prove to have.
    #[must_use]
    pub fn authority(&self) -> Fingerprint {
        self.authority
    }

    /// What the core stores and looks the token up by.
    #[must_use]
    pub fn secret_hash(&self) -> TokenHash {
        self.secret.hash()
    }

    /// The text to hand to the operator, once.
    #[must_use]
    pub fn reveal(&self) -> String {
        format!("{JOIN_PREFIX}{}_{}", self.secret.text(), self.authority)
    }
}

impl FromStr for JoinToken {
    type Err = TokenError;

    fn from_str(text: &str) -> Result<Self, TokenError> {
        let Some(rest) = text.strip_prefix(JOIN_PREFIX) else {
            return Err(if text.starts_with(API_PREFIX) {
                TokenError::ApiTokenForJoining
            } else {
                TokenError::NotAJoinToken
            });
        };
        check_length(text, JOIN_PREFIX.len() + SECRET_CHARS + 1 + 64)?;
        let secret = rest.get(..SECRET_CHARS).ok_or(TokenError::Secret)?;
        let authority = rest
            .get(SECRET_CHARS..)
            .and_then(|tail| tail.strip_prefix('_'))
            .ok_or(TokenError::Fingerprint)?;
        Ok(Self {
            secret: Secret::parse(secret)?,
            authority: authority.parse().map_err(|_| TokenError::Fingerprint)?,
        })
    }
}

impl fmt::Debug for JoinToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "JoinToken({JOIN_PREFIX}…_{})", self.authority)
    }
}

impl<K: Use> Prefixed<K> {
    /// Makes a new one.
    pub fn mint(rng: &mut (impl CryptoRng + ?Sized)) -> Self {
        Self {
            secret: Secret::mint(rng),
            kind: PhantomData,
        }
    }

    /// Whether a text is meant to be one.
    pub fn is_meant(text: &str) -> bool {
        text.starts_with(K::PREFIX)
    }

    /// What the core stores and looks it up by.
    #[must_use]
    pub fn secret_hash(&self) -> TokenHash {
        self.secret.hash()
    }

    /// The text to hand to its owner, once.
    #[must_use]
    pub fn reveal(&self) -> String {
        format!("{}{}", K::PREFIX, self.secret.text())
    }
}

impl<K: Use> FromStr for Prefixed<K> {
    type Err = TokenError;

    fn from_str(text: &str) -> Result<Self, TokenError> {
        let Some(secret) = text.strip_prefix(K::PREFIX) else {
            let joins = text.starts_with(JOIN_PREFIX) && K::PREFIX == API_PREFIX;
            return Err(if joins {
                TokenError::JoinTokenForApi
            } else {
                K::NOT_ONE
            });
        };
        check_length(text, K::PREFIX.len() + SECRET_CHARS)?;
        Ok(Self {
            secret: Secret::parse(secret)?,
            kind: PhantomData,
        })
    }
}

impl<K: Use> fmt::Debug for Prefixed<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Token({}…)", K::PREFIX)
    }
}

impl PartialEq for TokenHash {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for TokenHash {}

impl fmt::Display for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenHash(…)")
    }
}

/// The text is not 64 hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a token's hash is 64 hexadecimal digits")]
pub struct BadTokenHash;

impl FromStr for TokenHash {
    type Err = BadTokenHash;

    fn from_str(text: &str) -> Result<Self, BadTokenHash> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes).map_err(|_| BadTokenHash)?;
        Ok(Self(bytes))
    }
}

/// 32 random bytes that implement no printing at all.
#[derive(Clone)]
struct Secret([u8; 32]);

impl Secret {
    fn mint(rng: &mut (impl CryptoRng + ?Sized)) -> Self {
        let mut bytes = [0; 32];
        rng.fill_bytes(&mut bytes);
        Self(bytes)
    }

    fn parse(text: &str) -> Result<Self, TokenError> {
        let bytes = URL_SAFE_NO_PAD
            .decode(text)
            .map_err(|_| TokenError::Secret)?;
        Ok(Self(bytes.try_into().map_err(|_| TokenError::Secret)?))
    }

    fn text(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.0)
    }

    fn hash(&self) -> TokenHash {
        TokenHash(Sha256::digest(self.0).into())
    }
}

fn check_length(text: &str, expected: usize) -> Result<(), TokenError> {
    let found = text.chars().count();
    if found == expected {
        Ok(())
    } else {
        Err(TokenError::Length { expected, found })
    }
}

#[cfg(test)]
mod tests;
