//! The network component for a plain Linux host: a network namespace as the router of each network.
//!
//! ```text
//!   host                                │ namespace rz-<network>-<mark>
//!                                       │
//!   bridge rz<network> ── rzp<network> ─┼─ seg   dnsmasq: DHCP, DNS, router advertisements
//!    └ taps of instances                │   ▲    nftables: table inet rhyzome
//!                                       │   ▼
//!   UDP port ── endpoint's process ─────┼─ wg    peers
//!                                       │   ▲
//!   world outside ◄── rzu<network> ─────┼─ up    only with egress
//! ```
//!
//! dnsmasq and the endpoint are processes of their own that outlive the component. What a network,
//! lease or peer should be is kept in the state directory, so that a lease or a peer comes and goes
//! without its network being sent again; what is really there is read from the kernel each time.
//!
//! IPv6 has no way out: there is no translation of IPv6 addresses, and a unique local prefix cannot be
//! routed outside.

mod configuration;
mod dnsmasq;
mod down;
mod driver;
mod egress;
mod endpoint;
mod error;
mod inventory;
mod layout;
mod lease;
mod network;
mod peer;
mod process;
mod record;
mod router;
mod rules;
#[cfg(test)]
mod samples;
mod settings;
mod step;
mod watch;

pub use configuration::Configuration;
pub use down::{DownError, down, purge};
pub use driver::LinuxDriver;
pub use error::Error;
pub use settings::{STATE_DIR_MAX, Settings};
pub use step::{Interrupt, Step};
