//! What strangers write, and what has to be true of reading it: a function for each kind of text, which panics where that is
//! not true.
//!
//! `./test` calls each with all files of its folder in `corpus` and with changed ones; `cargo xtask fuzz` has libFuzzer look for
//! more. Nothing is believed that the code under test says of itself: what may be taken is said here once more, in another way.
//!
//! Left out on purpose: databases and HTTP. What the core answers to the same files is in `crates/api/tests/api/corpora.rs`.

pub mod audit_file;
mod header;
pub mod id_token;
mod name;
mod query;
mod secret;
mod user_data;

/// A kind of text.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Also the name of its folder in `corpus`.
    pub name: &'static str,
    /// Panics if something is wrong.
    pub run: fn(&[u8]),
}

pub const TARGETS: &[Target] = &[
    target("audit_file", audit_file::run),
    target("cursor", query::cursor),
    target("id_token", id_token::token),
    target("id_token_claims", id_token::claims),
    target("idempotency_key", header::idempotency_key),
    target("if_match", header::if_match),
    target("issuer_discovery", id_token::discovery),
    target("issuer_keys", id_token::keys),
    target("join_token", secret::join_token),
    target("name", name::run),
    target("secret", secret::prefixed),
    target("user_data", user_data::run),
];

const fn target(name: &'static str, run: fn(&[u8])) -> Target {
    Target { name, run }
}

/// Panics if what is said holds one of these words, unless it is so short that it may be there by chance.
fn assert_kept<'a>(said: &impl std::fmt::Display, words: impl Iterator<Item = &'a str>) {
    let said = said.to_string();
    for word in words.filter(|word| word.chars().count() >= 16) {
        assert!(!said.contains(word), "{said} shows {word}");
    }
}
