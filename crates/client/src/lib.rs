//! A typed client of the HTTP API: one module a resource, with the API's own names of operations.
//!
//! ```no_run
//! # async fn example() -> Result<(), rhyzome_client::Error> {
//! use rhyzome_client::{Client, ClientOptions};
//! let client = Client::new(ClientOptions {
//!     url: "https://core.example:8080".to_owned(),
//!     token: Some("rz_…".to_owned()),
//!     authority_pem: None,
//! })?;
//! let web = "web".parse().expect("a name");
//! let instance = client.within(&rhyzome_model::Name::default_project()).instance().get(&web).await?;
//! # drop(instance); Ok(())
//! # }
//! ```
//!
//! Requests that could not be sent, or whose answer got lost, are sent again a few times: every POST
//! carries an `Idempotency-Key`, the same one each time, and the other methods may be repeated anyway.
//! What the core answers is never tried again, but for 503 and 429 with their `Retry-After`.
//!
//! Left out on purpose: waiting with progress, files and terminals. Those are the command line's.

mod audit;
mod blob;
mod client;
mod collection;
mod component;
mod console;
mod download;
mod error;
mod event;
mod image;
mod image_tag;
mod instance;
mod job;
mod network;
mod oidc;
mod peer;
mod person;
mod project;
mod quota;
mod send;
mod site;
mod sse;
mod tls;
mod token;

pub use audit::{Audit, Entries};
pub use blob::{Blobs, Sent};
pub use client::{Client, ClientOptions, Scope};
pub use collection::{Collection, Deleted, Tagged};
pub use component::Components;
pub use console::{ConsoleEvent, ConsoleLog, ConsoleMessage, ConsoleMode, ConsoleSocket};
pub use download::{Download, download, download_from};
pub use error::Error;
pub use event::{Events, Follow, Heard};
pub use image::Images;
pub use image_tag::ImageTags;
pub use instance::Instances;
pub use job::Jobs;
pub use network::Networks;
pub use oidc::{CodeFlow, DeviceFlow, IdTokens, OidcError, Provider};
pub use peer::Peers;
pub use person::{Invitations, Members, Users, authority};
pub use project::Projects;
pub use quota::Quotas;
pub use rhyzome_wire::Problem;
pub use site::SiteInfo;
pub use tls::fingerprint;
pub use token::Tokens;

/// SSH keys of a project.
pub type SshKeys = Collection<
    rhyzome_model::resource::SshKey,
    rhyzome_model::resource::SshKey,
    rhyzome_model::ssh_key::SshKeySpec,
>;
