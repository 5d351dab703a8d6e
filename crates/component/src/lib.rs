//! What every component shares: the session with the core, the ledger, the job loop, joining and
//! renewal, and the [`Driver`] trait that each component implements for its foreign system.
//!
//! A driver knows nothing of the core, of jobs' transport or of the ledger's file format.

pub mod blobs;
pub mod clock;
pub mod component;
mod consoles;
pub mod contract;
pub mod driver;
pub mod fake;
pub mod jobs;
pub mod join;
pub mod ledger;
pub mod link;
#[cfg(feature = "program")]
pub mod program;
pub mod question;
pub mod reports;
pub mod room;
#[cfg(test)]
mod samples;
pub mod service;
pub mod session;
pub mod step;
pub mod surroundings;
pub mod together;
pub mod upgrade;

pub use clock::Clock;
pub use component::{Component, Setup, StartError};
pub use driver::{Blobs, Console, Differs, Driver, DriverError, Progress};
pub use link::{CoreUrl, Link};
pub use surroundings::Surroundings;
pub use upgrade::Upgrader;
