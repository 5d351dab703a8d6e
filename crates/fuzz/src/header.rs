//! Headers of requests that are more than a text.

use std::str::from_utf8;

use http::header::IF_MATCH;
use http::{HeaderMap, HeaderName, HeaderValue};
use rhyzome_api::etag;
use rhyzome_api::idempotency::{self, IDEMPOTENCY_KEY};

use crate::query::assert_refused;

/// A request with this header; none where HTTP itself has no such value.
fn with(name: HeaderName, bytes: &[u8]) -> Option<HeaderMap> {
    let value = HeaderValue::from_bytes(bytes).ok()?;
    Some(HeaderMap::from_iter([(name, value)]))
}

/// `If-Match` is `*` or a tag as we write them, and read in one way alone.
pub fn if_match(bytes: &[u8]) {
    let Some(headers) = with(IF_MATCH, bytes) else {
        return;
    };
    // Others are no text to HTTP.
    let ascii = from_utf8(bytes).ok().filter(|text| text.is_ascii());
    let text = ascii.unwrap_or_default().trim();
    match etag::read(&headers) {
        Ok(None) => assert_eq!(text, "*"),
        Ok(Some(seen)) => {
            assert_eq!(seen.to_string(), text);
            assert!(is_tag(text), "{text}");
        }
        Err(refused) => {
            assert!(text != "*" && !is_tag(text), "{text}");
            assert_refused(refused);
        }
    }
}

/// `"<generation>-<12 hexadecimal digits>"`.
fn is_tag(text: &str) -> bool {
    let inner = text
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'));
    inner
        .and_then(|inner| inner.split_once('-'))
        .is_some_and(|(generation, which)| {
            let generation = generation
                .parse::<u64>()
                .is_ok_and(|n| n.to_string() == generation);
            let hex = |c: char| "0123456789abcdef".contains(c);
            generation && which.len() == 12 && which.chars().all(hex)
        })
}

/// An `Idempotency-Key` is taken as it is, or refused.
pub fn idempotency_key(bytes: &[u8]) {
    assert_eq!(idempotency::key(&HeaderMap::new()), Ok(None));
    let Some(headers) = with(IDEMPOTENCY_KEY, bytes) else {
        return;
    };
    let visible = bytes.iter().all(|byte| (0x21..0x7f).contains(byte));
    let is_key = visible && (1..=128).contains(&bytes.len());
    match idempotency::key(&headers) {
        Ok(key) => {
            assert!(is_key, "{key:?}");
            assert_eq!(key.as_deref().map(str::as_bytes), Some(bytes));
        }
        Err(refused) => {
            assert!(!is_key, "{bytes:?}");
            assert_refused(refused);
        }
    }
}
