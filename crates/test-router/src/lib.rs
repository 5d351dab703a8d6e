//! A router that behaves as OpenWrt was measured to, for tests. It knows nothing of what is tested on it.
//!
//! ```text
//!   this process ── Router                                    a neighbour: a namespace on one of its wires
//!        │ pipe                                                     │ veth
//!   rhyzome-test-router cage ── namespaces, its ext4 image ─────────┴─ eth0, eth1, …
//!        └─ /sbin/init, procd ── netifd, rpcd, logd, dnsmasq, wireguard-go
//! ```
//!
//! Real are: the file system, which can be full, whose writes are counted, and which loses what was not synced
//! ([`Router::lose_power`]); `uci`; dnsmasq, nft, wg, wireguard-go and ip; and all that they do in the router's own
//! network namespace. Stand-ins, one program under several names, are procd, ubus, netifd, rpcd, fw4, logd and the
//! init scripts: they imitate what they were seen to do, no more than a configuration's way to a running network
//! needs, and the faults of [`Fault`].
//!
//! All of it ends when the [`Router`] is dropped or its process is gone: the pipe to the cage closes, with the
//! cage's process ends its process namespace, and with that all mounts and links.
//!
//! It needs root, and the program of this package beside the test's: `cargo build --workspace --bins`.

mod configuration;
mod fault;
mod router;

pub use configuration::Release;
pub use fault::{FOLDER as FAULTS, Fault};
pub use router::{Builder, Neighbour, Router, Written};
