//! ID tokens, and what an issuer says of itself and of its keys.

use std::str::from_utf8;
use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use rhyzome_oidc::{Claims, Error, KeySet, Options, keys_at, verify_with};
use ring::signature::Ed25519KeyPair;
use serde_json::Value;

const ISSUER: &str = "https://id.example";
const CLIENT: &str = "rhyzome";
/// Seconds since 1970.
const NOW: i64 = 1_700_000_000;

/// An issuer's keys, of each kind that is taken. The first one is the public key of [`PAIR`]; whoever had the others has
/// forgotten them.
pub const KEYS: &str = include_str!("id_token/keys.json");

static KEY_SET: LazyLock<KeySet> =
    LazyLock::new(|| KeySet::read(KEYS.as_bytes()).expect("keys of our own"));

static PAIR: LazyLock<Ed25519KeyPair> =
    LazyLock::new(|| Ed25519KeyPair::from_seed_unchecked(&[7; 32]).expect("32 bytes"));

fn options() -> Options {
    Options {
        issuer: ISSUER.to_owned(),
        client_id: CLIENT.to_owned(),
        authority: None,
    }
}

/// Nothing that nobody signed is taken.
pub fn token(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let error = verify_with(&KEY_SET, &options(), &text, NOW).expect_err("nobody signed this");
    assert_said(&error);
}

/// Of what the issuer did sign, nothing is taken but what is for this site, of somebody, and good now. The text is a header and,
/// behind a line's end, claims.
pub fn claims(bytes: &[u8]) {
    let Ok(text) = from_utf8(bytes) else { return };
    let (header, claims) = text
        .split_once('\n')
        .unwrap_or((r#"{"alg":"EdDSA"}"#, text));
    match verdict(header, claims) {
        Ok(taken) => assert_good(header, claims, &taken),
        Err(error) => assert_said(&error),
    }
}

/// What becomes of these when the issuer has signed them.
pub fn verdict(header: &str, claims: &str) -> Result<Claims, Error> {
    verify_with(&KEY_SET, &options(), &signed(header, claims), NOW)
}

fn signed(header: &str, claims: &str) -> String {
    let message = format!("{}.{}", BASE64.encode(header), BASE64.encode(claims));
    let signature = PAIR.sign(message.as_bytes());
    format!("{message}.{}", BASE64.encode(signature))
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a second more or less is no matter here"
)]
fn assert_good(header: &str, claims: &str, taken: &Claims) {
    let header: Value = serde_json::from_str(header).expect("taken");
    assert_eq!(header["alg"], "EdDSA");
    assert!(header["kid"].is_null() || header["kid"] == "ed", "{header}");
    let says: Value = serde_json::from_str(claims).expect("taken");
    assert_eq!(says["iss"], ISSUER);
    let audience = says["aud"].as_array().map_or(&[][..], Vec::as_slice);
    assert!(says["aud"] == CLIENT || audience.iter().any(|one| one == CLIENT));
    assert!(says["azp"] == CLIENT || says["azp"].as_str().is_none() && audience.len() < 2);
    let seconds = |claim: &str| says[claim].as_f64();
    let (now, ahead) = (NOW as f64, NOW as f64 + 61.0);
    assert!(seconds("exp").is_some_and(|exp| exp > now), "{says}");
    assert!(seconds("iat").is_some_and(|iat| iat < ahead), "{says}");
    assert!(seconds("nbf").is_none_or(|nbf| nbf < ahead), "{says}");
    assert_eq!(says["sub"], *taken.sub);
    assert!((1..=255).contains(&taken.sub.len()) && !taken.sub.contains(char::is_control));
}

/// Keys are read without a failure of ours, and those that are read verify what they signed and nothing else.
pub fn keys(bytes: &[u8]) {
    let Ok(keys) = KeySet::read(bytes) else {
        return;
    };
    let good = format!(
        r#"{{"iss":"{ISSUER}","aud":"{CLIENT}","sub":"ada","iat":1,"exp":{}}}"#,
        NOW + 1
    );
    if verify_with(&keys, &options(), &signed(r#"{"alg":"EdDSA"}"#, &good), NOW).is_ok() {
        let says = value(bytes);
        let all = says["keys"].as_array().expect("keys").iter();
        let ours: Value = serde_json::from_str(KEYS).expect("keys of our own");
        let mut same = all.filter(|key| key["x"] == ours["keys"][0]["x"]);
        assert!(same.any(|key| key["use"] != "enc"), "{says}");
    }
    for (algorithm, length) in [("RS256", 256), ("PS512", 512), ("ES256", 64), ("ES384", 96)] {
        let header = BASE64.encode(format!(r#"{{"alg":"{algorithm}"}}"#));
        let signature = BASE64.encode(vec![1; length]);
        let token = format!("{header}.{}.{signature}", BASE64.encode(&good));
        let error = verify_with(&keys, &options(), &token, NOW).expect_err("nobody signed this");
        assert_said(&error);
    }
}

/// What an issuer says of itself is believed if it is the one that was asked, and leads nowhere where others could change what is
/// read.
pub fn discovery(bytes: &[u8]) {
    let Ok(place) = keys_at(bytes, "the document", ISSUER) else {
        return;
    };
    let says = value(bytes);
    assert_eq!(
        (&says["issuer"], &says["jwks_uri"]),
        (&ISSUER.into(), &Value::from(&*place))
    );
    let url: reqwest::Url = place.parse().expect("looked at before");
    if url.scheme() != "https" {
        let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
        let ip = host.parse::<std::net::IpAddr>();
        assert!(
            host == "localhost" || ip.is_ok_and(|ip| ip.is_loopback()),
            "{place}"
        );
        assert_eq!(url.scheme(), "http");
    }
}

/// What was taken, as JSON of any shape. Where nobody looks it need not be UTF-8: an issuer that is sloppy there locks nobody out.
fn value(bytes: &[u8]) -> Value {
    serde_json::from_str(&String::from_utf8_lossy(bytes)).expect("taken")
}

/// With keys at hand, it is never the issuer's fault, and there is something to say.
fn assert_said(error: &Error) {
    assert!(!error.is_unreachable() && !error.to_string().is_empty());
}
