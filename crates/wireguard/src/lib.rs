//! WireGuard: keys, configurations, the endpoint process of a network, and the client's tunnel.
//!
//! * [`key`]: private, public and preshared keys.
//! * [`config`]: a client's configuration, written and read as `wg-quick` text.
//! * [`qr`]: that text as a QR code in a terminal.
//! * [`peers`]: who may reach a network, and the difference between two such sets. Pure.
//! * [`endpoint`]: the process that holds a network's WireGuard interface and outlives the component.
//!   Linux only.
//! * [`tunnel`]: a client inside the calling process: no root, nothing of it on the machine, TCP on top.
//!
//! The crate knows nothing of projects, networks or the core: it speaks of keys, addresses and
//! namespaces alone.

pub mod config;
mod device;
#[cfg(target_os = "linux")]
pub mod endpoint;
pub mod key;
pub mod peers;
pub mod qr;
pub mod tunnel;
