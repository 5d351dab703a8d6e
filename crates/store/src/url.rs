//! A database's URL: with a password where it goes to the database, without one where people see it.

use std::fmt::Write;

/// The URL as it may be shown.
pub fn without_password(url: &str) -> String {
    let (place, query) = match url.split_once('?') {
        Some((place, query)) => (place, Some(query)),
        None => (url, None),
    };
    let mut shown = match (place.split_once("://"), place.rfind('@')) {
        (Some((scheme, rest)), Some(at)) => {
            let user = rest.split([':', '@']).next().unwrap_or_default();
            format!("{scheme}://{user}{}", &place[at..])
        }
        _ => place.to_owned(),
    };
    let secret = |pair: &&str| !pair.starts_with("password=");
    let kept: Vec<&str> = query
        .unwrap_or_default()
        .split('&')
        .filter(secret)
        .filter(|pair| !pair.is_empty())
        .collect();
    if !kept.is_empty() {
        shown.push('?');
        shown.push_str(&kept.join("&"));
    }
    shown
}

/// The URL with a password that stands elsewhere.
pub fn with_password(url: &str, password: &str) -> String {
    let joint = if url.contains('?') { '&' } else { '?' };
    let mut text = format!("{url}{joint}password=");
    for byte in password.bytes() {
        if byte.is_ascii_alphanumeric() {
            text.push(char::from(byte));
        } else {
            let _ = write!(text, "%{byte:02X}");
        }
    }
    text
}

/// Whether a password stands in the URL itself.
pub fn has_password(url: &str) -> bool {
    without_password(url) != url.trim_end_matches('?')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_password_is_shown() {
        let check = |url: &str, shown: &str| {
            assert_eq!(without_password(url), shown);
            assert_eq!(has_password(url), url != shown, "{url}");
        };
        check("sqlite:///var/lib/r.db", "sqlite:///var/lib/r.db");
        check("postgres://r@db:5432/site", "postgres://r@db:5432/site");
        check("postgres://r:s3:c@ret@db/site", "postgres://r@db/site");
        check(
            "postgres://r@db/site?sslmode=require&password=s3cret",
            "postgres://r@db/site?sslmode=require",
        );
        check("postgres:///site?password=s3cret", "postgres:///site");
    }

    #[test]
    fn any_password_fits_into_a_url() {
        assert_eq!(
            with_password("postgres://r@db/site", "a b&c=d/ö"),
            "postgres://r@db/site?password=a%20b%26c%3Dd%2F%C3%B6"
        );
        assert_eq!(
            with_password("postgres://r@db/site?sslmode=require", "x"),
            "postgres://r@db/site?sslmode=require&password=x"
        );
    }
}
