//! An issuer on loopback that says what the test wants, with keys of ring's.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _,
};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;

const NOW: i64 = 1_700_000_000;
const CLIENT: &str = "rhyzome";

/// What the issuer does when it is asked.
#[derive(Clone)]
enum Mood {
    Says(Value),
    Hangs,
    Breaks,
}

struct Site {
    url: String,
    mood: Arc<Mutex<Mood>>,
    asked: Arc<Mutex<u32>>,
}

impl Site {
    async fn start(keys: &[Value]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let mood = Arc::new(Mutex::new(Mood::Says(json!({ "keys": keys }))));
        let asked = Arc::new(Mutex::new(0));
        let (own, counted, issuer) = (mood.clone(), asked.clone(), url.clone());
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mood = own.lock().unwrap().clone();
                let (counted, issuer) = (counted.clone(), issuer.clone());
                tokio::spawn(async move {
                    let mut head = [0; 4096];
                    let read = stream.read(&mut head).await.unwrap_or(0);
                    let is_discovery =
                        String::from_utf8_lossy(&head[..read]).contains("openid-configuration");
                    let body = match mood {
                        Mood::Hangs => std::future::pending().await,
                        Mood::Breaks => return,
                        Mood::Says(_) if is_discovery => {
                            json!({"issuer": issuer, "jwks_uri": format!("{issuer}/keys")})
                        }
                        Mood::Says(keys) => {
                            *counted.lock().unwrap() += 1;
                            keys
                        }
                    };
                    let body = body.to_string();
                    let head = format!(
                        "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
                        body.len()
                    );
                    let _ = stream.write_all((head + &body).as_bytes()).await;
                });
            }
        });
        Self { url, mood, asked }
    }

    fn set(&self, mood: Mood) {
        *self.mood.lock().unwrap() = mood;
    }

    fn asked(&self) -> u32 {
        *self.asked.lock().unwrap()
    }

    /// Asked at each token, as if hours were between two.
    fn impatient(&self) -> Issuer {
        self.trusted(Pace {
            fresh: Duration::ZERO,
            again: Duration::ZERO,
            patience: Duration::from_millis(200),
            ..Pace::default()
        })
    }

    fn trusted(&self, pace: Pace) -> Issuer {
        let options = Options {
            issuer: self.url.clone(),
            client_id: CLIENT.to_owned(),
            authority: None,
        };
        Issuer::with_pace(options, pace).unwrap()
    }

    fn claims(&self) -> Value {
        json!({"iss": self.url, "sub": "ada", "aud": CLIENT, "iat": NOW - 5, "exp": NOW + 300, "groups": ["ops"]})
    }
}

enum Key {
    Ec(EcdsaKeyPair),
    Ed(Ed25519KeyPair),
}

impl Key {
    fn ec() -> Self {
        let random = SystemRandom::new();
        let bytes =
            EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
        Self::Ec(
            EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, bytes.as_ref(), &random)
                .unwrap(),
        )
    }

    fn ed() -> Self {
        let bytes = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        Self::Ed(Ed25519KeyPair::from_pkcs8(bytes.as_ref()).unwrap())
    }

    fn jwk(&self, kid: &str) -> Value {
        match self {
            Self::Ec(pair) => {
                let point = pair.public_key().as_ref();
                let (x, y) = (BASE64.encode(&point[1..33]), BASE64.encode(&point[33..]));
                json!({"kty": "EC", "crv": "P-256", "use": "sig", "kid": kid, "x": x, "y": y})
            }
            Self::Ed(pair) => {
                json!({"kty": "OKP", "crv": "Ed25519", "kid": kid, "x": BASE64.encode(pair.public_key().as_ref())})
            }
        }
    }

    fn sign(&self, kid: &str, claims: &Value) -> String {
        let alg = match self {
            Self::Ec(_) => "ES256",
            Self::Ed(_) => "EdDSA",
        };
        let message = unsigned(&json!({"alg": alg, "kid": kid, "typ": "JWT"}), claims);
        let signature = match self {
            Self::Ec(pair) => pair
                .sign(&SystemRandom::new(), message.as_bytes())
                .unwrap()
                .as_ref()
                .to_vec(),
            Self::Ed(pair) => pair.sign(message.as_bytes()).as_ref().to_vec(),
        };
        format!("{message}.{}", BASE64.encode(signature))
    }
}

fn unsigned(header: &Value, claims: &Value) -> String {
    format!(
        "{}.{}",
        BASE64.encode(header.to_string()),
        BASE64.encode(claims.to_string())
    )
}

async fn check_refused(issuer: &Issuer, token: &str, expect: &str) {
    let error = issuer
        .verify(token, NOW)
        .await
        .expect_err("refused")
        .to_string();
    assert!(error.contains(expect), "{error}, not {expect}");
}

#[tokio::test]
async fn a_token_that_the_issuer_signed_for_us_is_taken() {
    let (ec, ed) = (Key::ec(), Key::ed());
    let site = Site::start(&[
        json!({"kty": "quantum", "kid": "q"}),
        ec.jwk("a"),
        ed.jwk("b"),
    ])
    .await;
    let issuer = site.trusted(Pace::default());
    for token in [ec.sign("a", &site.claims()), ed.sign("b", &site.claims())] {
        let claims = issuer.verify(&token, NOW).await.expect("taken");
        assert_eq!(claims.sub, "ada");
        assert!(claims.has("groups", "ops"));
    }
    assert_eq!(site.asked(), 1, "its keys are kept");
}

#[tokio::test]
async fn a_token_that_somebody_else_made_is_not() {
    let (ec, other) = (Key::ec(), Key::ec());
    let site = Site::start(&[ec.jwk("a")]).await;
    let issuer = site.trusted(Pace::default());
    let claims = site.claims();
    check_refused(
        &issuer,
        &other.sign("a", &claims),
        "signature is not the issuer's",
    )
    .await;
    check_refused(
        &issuer,
        &Key::ed().sign("a", &claims),
        "signature is not the issuer's",
    )
    .await;
    check_refused(&issuer, &other.sign("z", &claims), "no key \"z\"").await;
    // The claims of one under the signature of another.
    let good = ec.sign("a", &claims);
    let mut admin = claims.clone();
    admin["groups"] = json!(["admins"]);
    let (_, signature) = good.rsplit_once('.').unwrap();
    let head = json!({"alg": "ES256", "kid": "a"});
    check_refused(
        &issuer,
        &format!("{}.{signature}", unsigned(&head, &admin)),
        "signature is not",
    )
    .await;
    for none in ["none", "None", "NONE", ""] {
        let bare = unsigned(&json!({"alg": none, "kid": "a"}), &claims);
        check_refused(&issuer, &format!("{bare}."), "this is no ID token").await;
    }
    // The public key as an HMAC secret, in whatever form.
    let message = unsigned(&json!({"alg": "HS256", "kid": "a"}), &claims);
    for secret in [
        ec.jwk("a").to_string(),
        ec.jwk("a")["x"].as_str().unwrap().to_owned(),
    ] {
        let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, secret.as_bytes());
        let tag = ring::hmac::sign(&key, message.as_bytes());
        let token = format!("{message}.{}", BASE64.encode(tag.as_ref()));
        check_refused(&issuer, &token, "signed with HS256 are not taken").await;
    }
    let mut late = claims.clone();
    late["exp"] = json!(NOW - 1);
    check_refused(&issuer, &ec.sign("a", &late), "has expired").await;
    let mut foreign = claims;
    foreign["aud"] = json!("wiki");
    check_refused(&issuer, &ec.sign("a", &foreign), "not for this site").await;
}

#[tokio::test]
async fn a_key_for_encryption_or_for_another_algorithm_signs_nothing() {
    let ec = Key::ec();
    let mut jwk = ec.jwk("a");
    jwk["use"] = json!("enc");
    let mut narrow = ec.jwk("b");
    narrow["alg"] = json!("ES384");
    let site = Site::start(&[jwk, narrow]).await;
    let issuer = site.trusted(Pace::default());
    check_refused(&issuer, &ec.sign("a", &site.claims()), "no key \"a\"").await;
    check_refused(&issuer, &ec.sign("b", &site.claims()), "signature is not").await;
}

#[tokio::test]
async fn keys_rotate_and_one_that_is_gone_is_taken_no_longer() {
    let (old, new) = (Key::ec(), Key::ec());
    let site = Site::start(&[old.jwk("old")]).await;
    let issuer = site.impatient();
    let (before, after) = (
        old.sign("old", &site.claims()),
        new.sign("new", &site.claims()),
    );
    issuer.verify(&before, NOW).await.expect("the old one");
    check_refused(&issuer, &after, "no key \"new\"").await;
    site.set(Mood::Says(
        json!({"keys": [old.jwk("old"), new.jwk("new")]}),
    ));
    issuer.verify(&after, NOW).await.expect("the new one");
    issuer
        .verify(&before, NOW)
        .await
        .expect("the old one still");
    site.set(Mood::Says(json!({"keys": [new.jwk("new")]})));
    check_refused(&issuer, &before, "no key \"old\"").await;
}

#[tokio::test]
async fn an_issuer_that_is_away_locks_nobody_out_and_lets_nobody_in() {
    for away in [Mood::Hangs, Mood::Breaks, Mood::Says(json!("nonsense"))] {
        let (known, other) = (Key::ec(), Key::ec());
        let site = Site::start(&[known.jwk("a")]).await;
        let issuer = site.impatient();
        let token = known.sign("a", &site.claims());
        issuer.verify(&token, NOW).await.expect("known now");
        site.set(away.clone());
        issuer.verify(&token, NOW).await.expect("known still");
        let stranger = issuer
            .verify(&other.sign("b", &site.claims()), NOW)
            .await
            .expect_err("not known");
        assert!(stranger.is_unreachable(), "{stranger}");
        check_refused(
            &issuer,
            &other.sign("a", &site.claims()),
            "signature is not",
        )
        .await;
        // Somebody who never heard of its keys.
        let fresh = site.impatient();
        assert!(
            fresh
                .verify(&token, NOW)
                .await
                .expect_err("nobody says so")
                .is_unreachable()
        );
        let forgetful = site.trusted(Pace {
            stale: Duration::ZERO,
            ..Pace::default()
        });
        assert!(
            forgetful
                .verify(&token, NOW)
                .await
                .expect_err("too long ago")
                .is_unreachable()
        );
    }
}

#[tokio::test]
async fn tokens_with_made_up_keys_do_not_have_the_issuer_asked_each_time() {
    let key = Key::ec();
    let site = Site::start(&[key.jwk("a")]).await;
    let issuer = site.trusted(Pace::default());
    for number in 0..20 {
        check_refused(
            &issuer,
            &key.sign(&format!("k{number}"), &site.claims()),
            "no key",
        )
        .await;
    }
    assert_eq!(site.asked(), 1);
}

#[tokio::test]
async fn many_at_once_ask_the_issuer_once() {
    let key = Key::ec();
    let site = Site::start(&[key.jwk("a")]).await;
    let issuer = site.trusted(Pace::default());
    let mut all = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let (issuer, token) = (issuer.clone(), key.sign("a", &site.claims()));
        all.spawn(async move { issuer.verify(&token, NOW).await.map(drop) });
    }
    for one in all.join_all().await {
        one.expect("taken");
    }
    assert_eq!(site.asked(), 1);
}

#[test]
fn an_issuer_is_reached_safely_or_not_at_all() {
    let new = |issuer: &str| {
        Issuer::new(Options {
            issuer: issuer.to_owned(),
            client_id: CLIENT.to_owned(),
            authority: None,
        })
        .map(drop)
    };
    for good in [
        "https://id.example",
        "https://id.example/realms/x",
        "http://127.0.0.1:8",
        "http://[::1]:8",
    ] {
        new(good).expect(good);
    }
    for bad in [
        "http://id.example",
        "http://127.0.0.1.example",
        "id.example",
        "https://id.example?x",
        "file:///etc",
        "",
    ] {
        new(bad).expect_err(bad);
    }
}
