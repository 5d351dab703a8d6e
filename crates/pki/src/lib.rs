//! Who is who: the site's authority, join tokens, certificates and their
//! renewal, and the TLS configurations that enforce them.
//!
//! - [`authority`] and [`issue`] are the core's side: one authority signs
//!   every component, the core's gRPC server and (by default) its HTTP server.
//! - [`identity`] is a component's side: its key, its certificate, and the
//!   folder that always holds a usable pair of them.
//! - [`token`] is what people carry: one-time join tokens that pin the
//!   authority, and API tokens.
//! - [`server`], [`client`] and [`acceptor`] are the two ends of a connection.
//!
//! Left out on purpose: what is revoked and what an expired certificate may
//! still do are decisions of the application, which sees every connection's
//! [`certificate::PeerCertificate`]. Nothing here knows a database, gRPC
//! services or HTTP routes. Time and randomness are arguments, except where
//! the TLS library asks its own clock, and for the making of private keys,
//! which ring does with the system's generator alone.

pub mod acceptor;
pub mod authority;
pub mod certificate;
pub mod challenge;
pub mod client;
pub mod credential;
pub mod file;
pub mod identity;
pub mod issue;
pub mod server;
mod time;
pub mod token;

pub use authority::Authority;
pub use certificate::{Fingerprint, PeerCertificate};
pub use credential::Credential;
pub use identity::{Identity, IdentityFolder, NewKey};
pub use time::ShownTime;
pub use token::{ApiToken, JoinToken, TokenHash};

/// The one name that the core's gRPC certificate carries and every component
/// asks for, whatever address it connects to. A core may move, be renamed or
/// stand behind several addresses without a new certificate.
pub const CORE_SERVER_NAME: &str = "core.rhyzome.internal";
