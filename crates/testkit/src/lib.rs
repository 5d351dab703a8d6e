//! What tests of the core stand on: a whole core in the test's process on a database of its own, people
//! and programs that speak real HTTP to it, and simulated components that speak real gRPC over mutual
//! TLS to it.
//!
//! Everything listens on loopback on ports that the system chose, keeps its state in a folder that goes
//! with the test, and ends with it.

mod actor;
mod core;
mod disk;
mod events;
mod issuer;
mod proxy;
mod simulated;
mod wait;

pub use actor::{Actor, Answer, Call};
pub use core::{StoppedCore, TestCore};
pub use disk::Disk;
pub use events::{EventStream, Told};
pub use issuer::{Browser, Issuer};
pub use proxy::Proxy;
pub use simulated::Simulated;
pub use wait::{BOUND, wait_for};
