//! A whole site on one machine, for tests that try it end to end: real processes, real libvirt, real
//! network namespaces, real WireGuard.
//!
//! ```text
//!   core's namespace          host's namespace                       member's namespace
//!   rhyzome-api ── TCP 9090 ── rhyzome-libvirt   instances
//!   the operator's client      rhyzome-linux     routers ── UDP ───── tunnel, as nobody
//! ```
//!
//! Needs root, and what `scripts/install-packages --test` installs. Everything is in namespaces and a
//! folder of the world's own, which go with it, however a test ends.
//!
//! Left out on purpose: what is tried, which is the tests' own.

pub mod appliance;
pub mod faults;
pub mod frame;
pub mod guide;
pub mod host;
pub mod hypervisor;
pub mod machine;
pub mod member;
pub mod newcomer;
pub mod operator;
pub mod page;
pub mod place;
pub mod process;
pub mod programs;
pub mod simulated;
pub mod stranger;
pub mod talk;
pub mod trunk;
pub mod wait;
pub mod world;

pub use machine::Machine;
pub use member::Tunnelled;
pub use newcomer::Newcomer;
pub use operator::Operator;
pub use place::Place;
pub use stranger::Stranger;
pub use talk::Talk;
pub use wait::{eventually, wait_for};
pub use world::World;
