//! Tokens, what a login gives, invitations, and what components join with.

use std::str::from_utf8;

use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue};
use rhyzome_api::context::bearer;
use rhyzome_pki::token::{Api, Invitation, JoinToken, Prefixed, Session, TokenHash, Use};

use crate::assert_kept;

/// A secret that is good for something is read in one way alone, and shown by nothing but `reveal`.
pub fn prefixed(bytes: &[u8]) {
    shown(bytes);
    let Ok(text) = from_utf8(bytes) else { return };
    one::<Api>(text);
    one::<Session>(text);
    one::<Invitation>(text);
}

/// Behind `Bearer`, it is what was sent.
fn shown(bytes: &[u8]) {
    let Ok(value) = HeaderValue::from_bytes(&[b"Bearer ", bytes].concat()) else {
        return;
    };
    let headers = HeaderMap::from_iter([(AUTHORIZATION, value)]);
    let ascii = from_utf8(bytes).ok().filter(|text| text.is_ascii());
    assert_eq!(bearer(&headers), ascii.map(str::trim));
}

fn one<K: Use>(text: &str) {
    let secret = text.strip_prefix(K::PREFIX);
    assert_eq!(Prefixed::<K>::is_meant(text), secret.is_some());
    let parsed = text.parse::<Prefixed<K>>();
    assert_eq!(parsed.is_ok(), secret.is_some_and(is_secret));
    match parsed {
        Ok(token) => {
            assert_eq!(token.reveal(), text);
            assert_kept(&format!("{token:?}"), secret.into_iter());
            assert_hash(token.secret_hash(), text);
        }
        Err(error) => assert_kept(&error, text.split_whitespace()),
    }
}

/// The same for a join token, which also names an authority.
pub fn join_token(bytes: &[u8]) {
    let Ok(text) = from_utf8(bytes) else { return };
    let parts = text
        .strip_prefix("rzj_")
        .and_then(|rest| rest.split_at_checked(43));
    let is_one = parts.is_some_and(|(secret, authority)| {
        let digits = authority.strip_prefix('_').unwrap_or_default();
        let hex = |c: char| c.is_ascii_digit() || ('a'..='f').contains(&c);
        is_secret(secret) && digits.len() == 64 && digits.chars().all(hex)
    });
    let parsed = text.parse::<JoinToken>();
    assert_eq!(parsed.is_ok(), is_one);
    match parsed {
        Ok(token) => {
            assert_eq!(token.reveal(), text);
            assert!(text.ends_with(&format!("_{}", token.authority())));
            assert_kept(
                &format!("{token:?}"),
                parts.into_iter().map(|(secret, _)| secret),
            );
            assert_hash(token.secret_hash(), text);
        }
        Err(error) => assert_kept(&error, text.split_whitespace()),
    }
}

/// 32 bytes in base64url without padding: the last character has two bits that mean nothing, and have to be 0.
fn is_secret(text: &str) -> bool {
    const LETTERS: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let values: Option<Vec<usize>> = text.chars().map(|c| LETTERS.find(c)).collect();
    values.is_some_and(|values| values.len() == 43 && values[42] % 4 == 0)
}

/// What is kept of it can be read again, and is not the secret.
fn assert_hash(hash: TokenHash, text: &str) {
    let written = hash.to_string();
    assert_eq!(written.parse::<TokenHash>(), Ok(hash));
    assert!(!text.contains(&written));
}
