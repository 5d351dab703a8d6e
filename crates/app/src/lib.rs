//! Use cases: who may, in what order, in which transaction. One module a resource, each function one
//! operation: authorize, validate, one transaction, wake.
//!
//! HTTP and gRPC are other crates' business; what they need to tell callers is in [`Error`].

pub mod audit;
pub mod authorize;
pub mod blob;
pub mod component;
pub mod consoles;
pub mod core;
pub mod error;
pub mod event;
pub mod gone;
pub mod housekeeping;
pub mod idempotency;
pub mod image;
pub mod image_tag;
pub mod instance;
pub mod invitation;
pub mod job;
pub mod join;
pub mod login;
pub mod member;
pub mod network;
pub mod news;
pub mod peer;
pub mod policy;
pub mod project;
pub mod quota;
pub mod restored;
pub mod session;
pub mod ssh_key;
pub mod token;
pub mod upgrade;
pub mod upload;
pub mod user;
pub mod wake;

mod placing;
mod resolve;
mod span;
mod status;
pub mod step;
mod work;

pub use authorize::{Caller, Credential, Operation, authenticate};
pub use core::{Core, CoreOptions, Environment, Links, SiteSettings, SystemEnvironment};
pub use error::{Error, Kind};

pub type Result<T> = std::result::Result<T, Error>;

/// Which part of a list is asked for.
#[derive(Clone, Debug)]
pub struct PageRequest {
    /// 1 to 1000 rows.
    pub limit: u32,
    /// The `next` of the page before.
    pub after: Option<String>,
}

impl Default for PageRequest {
    fn default() -> Self {
        Self {
            limit: 100,
            after: None,
        }
    }
}

/// A page: its rows, and where the next one begins.
pub type Listed<T> = (Vec<T>, Option<String>);

/// The generation that the caller believes a resource to be at; none where it does not matter.
pub type IfMatch = Option<u64>;
