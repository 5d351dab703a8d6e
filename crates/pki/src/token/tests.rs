use proptest::prelude::*;
use rand::SeedableRng as _;
use rand::rngs::StdRng;

use super::*;

fn rng(seed: u64) -> StdRng {
    StdRng::seed_from_u64(seed)
}

fn authority() -> Fingerprint {
    Fingerprint::of_spki(b"some key")
}

proptest! {
    #[test]
    fn a_minted_join_token_reads_back_as_itself(seed: u64, key: Vec<u8>) {
        let pin = Fingerprint::of_spki(&key);
        let token = JoinToken::mint(pin, &mut rng(seed));
        let read: JoinToken = token.reveal().parse().unwrap();
        prop_assert_eq!(read.authority(), pin);
        prop_assert_eq!(read.secret_hash(), token.secret_hash());
        prop_assert_eq!(read.reveal(), token.reveal());
    }

    #[test]
    fn a_minted_api_token_reads_back_as_itself(seed: u64) {
        let token = ApiToken::mint(&mut rng(seed));
        let read: ApiToken = token.reveal().parse().unwrap();
        prop_assert_eq!(read.secret_hash(), token.secret_hash());
    }

    #[test]
    fn no_text_makes_the_parsers_panic(text: String, tail in "\\PC{0,120}") {
        let _ = text.parse::<JoinToken>();
        let _ = format!("rzj_{tail}").parse::<JoinToken>();
        let _ = format!("rz_{tail}").parse::<ApiToken>();
    }
}

#[test]
fn two_tokens_differ_and_so_do_their_hashes() {
    let mut rng = rng(1);
    let (one, other) = (ApiToken::mint(&mut rng), ApiToken::mint(&mut rng));
    assert_ne!(one.reveal(), other.reveal());
    assert_ne!(one.secret_hash(), other.secret_hash());
}

#[test]
fn a_hash_reads_back_and_is_not_the_secret() {
    let token = ApiToken::mint(&mut rng(2));
    let stored = token.secret_hash().to_string();
    assert_eq!(stored.parse::<TokenHash>().unwrap(), token.secret_hash());
    assert!(!token.reveal().contains(&stored));
    assert!("xyz".parse::<TokenHash>().is_err());
}

fn join_error(text: &str) -> TokenError {
    text.parse::<JoinToken>().unwrap_err()
}

#[test]
fn each_way_of_mangling_a_join_token_has_its_own_error() {
    let whole = JoinToken::mint(authority(), &mut rng(3)).reveal();
    assert_eq!(join_error("hello"), TokenError::NotAJoinToken);
    assert_eq!(
        join_error(&ApiToken::mint(&mut rng(3)).reveal()),
        TokenError::ApiTokenForJoining
    );
    assert_eq!(
        join_error(&whole[..40]),
        TokenError::Length {
            expected: 112,
            found: 40
        }
    );
    assert_eq!(
        join_error(&whole.replacen(&whole[4..6], "!!", 1)),
        TokenError::Secret
    );
    let upper = format!("{}{}", &whole[..48], whole[48..].to_uppercase());
    assert_eq!(join_error(&upper), TokenError::Fingerprint);
    let wide = format!("rzj_{}", "é".repeat(108));
    assert_eq!(join_error(&wide), TokenError::Secret);
}

#[test]
fn a_join_token_is_no_api_token() {
    let error = JoinToken::mint(authority(), &mut rng(4))
        .reveal()
        .parse::<ApiToken>()
        .unwrap_err();
    assert_eq!(error, TokenError::JoinTokenForApi);
    assert_eq!(
        "abc".parse::<ApiToken>().unwrap_err(),
        TokenError::NotAnApiToken
    );
}

#[test]
fn nothing_printed_holds_a_secret() {
    let join = JoinToken::mint(authority(), &mut rng(5));
    let api = ApiToken::mint(&mut rng(5));
    let secret = api.reveal()["rz_".len()..].to_owned();
    assert!(join.reveal().contains(&secret), "the same seed");
    let hash = api.secret_hash();
    let mangled = format!("{}x", join.reveal());
    let error = join_error(&mangled);
    for shown in [
        format!("{join:?}"),
        format!("{api:?}"),
        format!("{hash:?}"),
        format!("{error} {error:?}"),
    ] {
        assert!(!shown.contains(&secret), "{shown}");
        assert!(!shown.contains(&hash.to_string()), "{shown}");
    }
    assert!(format!("{join:?}").contains(&authority().to_string()));
}
