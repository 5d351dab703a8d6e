//! `Range` and `If-Range` (RFC 9110, sections 13.1.5 and 14): one range of bytes. What asks for several,
//! or for something else, is answered with all bytes, as the RFC allows.

use axum::http::HeaderMap;
use axum::http::header::{IF_RANGE, RANGE};

/// There are no bytes in the range.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Unsatisfiable;

/// The first byte asked for and the one behind the last; none where all are.
pub(super) fn asked(
    headers: &HeaderMap,
    etag: &str,
    size: u64,
) -> Result<Option<(u64, u64)>, Unsatisfiable> {
    if headers.get(IF_RANGE).is_some_and(|seen| seen != etag) {
        return Ok(None);
    }
    let text = headers.get(RANGE).and_then(|value| value.to_str().ok());
    let Some((first, last)) = text.and_then(parse) else {
        return Ok(None);
    };
    match (first, last) {
        (Some(first), _) if first >= size => Err(Unsatisfiable),
        (Some(first), Some(last)) if last < first => Ok(None),
        (Some(first), last) => {
            let end = last.map_or(size, |last| last.saturating_add(1).min(size));
            Ok(Some((first, end)))
        }
        (None, Some(0)) => Err(Unsatisfiable),
        (None, Some(count)) => Ok(Some((size.saturating_sub(count), size))),
        (None, None) => Ok(None),
    }
}

fn parse(text: &str) -> Option<(Option<u64>, Option<u64>)> {
    let (first, last) = text.trim().strip_prefix("bytes=")?.split_once('-')?;
    let number = |text: &str| match text.trim() {
        "" => Some(None),
        digits if digits.bytes().all(|c| c.is_ascii_digit()) => digits.parse().ok().map(Some),
        _ => None,
    };
    Some((number(first)?, number(last)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(
        range: &str,
        if_range: Option<&str>,
        expect: Result<Option<(u64, u64)>, Unsatisfiable>,
    ) {
        let mut headers = HeaderMap::new();
        headers.insert(RANGE, range.parse().unwrap());
        if let Some(seen) = if_range {
            headers.insert(IF_RANGE, seen.parse().unwrap());
        }
        assert_eq!(asked(&headers, "\"a\"", 100), expect, "{range}");
    }

    #[test]
    fn one_range_is_given_and_what_is_none_is_all() {
        check("bytes=0-9", None, Ok(Some((0, 10))));
        check("bytes=90-", None, Ok(Some((90, 100))));
        check("bytes=90-1000", None, Ok(Some((90, 100))));
        check("bytes=-10", None, Ok(Some((90, 100))));
        check("bytes=-1000", None, Ok(Some((0, 100))));
        check("bytes=100-", None, Err(Unsatisfiable));
        check("bytes=-0", None, Err(Unsatisfiable));
        for all in [
            "bytes=9-0",
            "bytes=0-1,5-6",
            "bytes=-",
            "lines=1-2",
            "bytes=+1-2",
        ] {
            check(all, None, Ok(None));
        }
    }

    #[test]
    fn a_range_of_other_bytes_than_were_seen_is_all() {
        check("bytes=1-", Some("\"a\""), Ok(Some((1, 100))));
        check("bytes=1-", Some("\"b\""), Ok(None));
    }
}
