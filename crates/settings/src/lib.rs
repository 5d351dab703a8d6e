//! A program's configuration: one file (TOML or JSON by its ending), the
//! environment, and flags, each over the one before; everything that is wrong
//! is said at once, naming the file, the key and what was probably meant.
//!
//! A program declares a struct with serde's `default` and
//! `deny_unknown_fields`, implements [`Settings`] for it, and calls
//! [`Loader`]. Known keys, their environment names and the nearest known one
//! to a wrong one all follow from the struct's serialized default:
//!
//! - a struct in the struct is a table; keys are written with dots
//!   (`http.bind`, `RHYZOME_API_HTTP_BIND`, `--set http.bind=…`);
//! - an empty map in the default is a table with keys of the user's choice;
//! - `None` is a key that is not set (so a table should not be an `Option`:
//!   nothing would be known about the keys in it).
//!
//! Left out on purpose: nothing here reads the process's environment or
//! arguments by itself, nothing logs, and no value of a secret key is ever
//! part of a message. Paths are opened to see whether they can be, not kept.

mod audit;
mod decode;
mod layers;
mod loader;
mod nearest;
mod path;
mod problem;
mod secret;
mod source;
mod text;
mod tree;
pub mod usage;

use serde::Serialize;
use serde::de::DeserializeOwned;

pub use audit::{Finding, audit, audit_page};
pub use loader::{Loaded, Loader};
pub use path::PathKind;
pub use problem::{Errors, Origin, Problem};
pub use secret::Secret;

/// What a program's configuration says about itself besides its fields.
pub trait Settings: Serialize + DeserializeOwned + Default {
    /// Keys that hold a path (or a list of paths) and what must be there.
    const PATHS: &'static [(&'static str, PathKind)] = &[];

    /// Keys whose values never appear in a message. Keys with `secret`,
    /// `password`, `passphrase` or `token` in their last part are taken for
    /// secret anyhow.
    const SECRETS: &'static [&'static str] = &[];

    /// What people write by mistake, and the key that they mean, where the
    /// spelling does not give it away: `("pki", "tls")`.
    const MEANT: &'static [(&'static str, &'static str)] = &[];

    /// What is wrong with the values taken together.
    fn check(&self) -> Vec<Complaint> {
        Vec::new()
    }
}

/// One finding of [`Settings::check`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Complaint {
    /// The key to change, with dots.
    pub key: &'static str,
    /// What is wrong and what would be right; without any secret.
    pub reason: String,
}
