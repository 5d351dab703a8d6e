//! Endpoints and tunnels on real namespaces, with real TUN devices and real WireGuard in between.
//!
//! Needs root: each test makes network namespaces of its own and removes them afterwards. The
//! endpoint's process is the example `wireguard` of this crate.

#![expect(
    clippy::unwrap_used,
    reason = "the functions that the tests share are tests, too"
)]

mod endpoint;
mod peers;
mod privilege;
mod server;
mod site;
mod tunnel;
