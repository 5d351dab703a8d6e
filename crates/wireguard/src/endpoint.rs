//! The endpoint of a network: a process of its own that holds the WireGuard interface.
//!
//! It outlives the component that started it, so that stopping, killing or upgrading the component
//! never ends a tunnel; the component finds it again. The TUN device is in the network's namespace,
//! the UDP socket in the namespace the process was started in.
//!
//! ```text
//!   component ── spawn, find, ensure, stop ──► process ──► TUN in the network's namespace
//!       └── Control (control.sock) ──────────►    │   └──► UDP in the host's namespace
//!   wg(8) ── wg.sock ────────────────────────►    │
//!                       state folder, mode 0700: private.key, peers.json, options.json,
//!                       process.json, lock, control.sock, wg.sock, endpoint.log
//! ```
//!
//! One task owns device and peers; requests reach it over a channel, so that they are applied one
//! after another. The peers in force are written down after each change and restored at start.
//! The private key is made at the first start and never leaves the folder.
//!
//! A service manager that ends a unit by ending all its processes has to be told to leave this one
//! alone (systemd: `KillMode=process`).
//!
//! Left out on purpose: who may be a peer, and which addresses they get. The caller decides. Peers
//! set with `wg` are in force but are not written down.

mod control;
mod interface;
mod listen;
mod netns;
mod options;
mod process;
mod serve;
mod spawn;
mod state;
mod userspace;

pub use control::{Applied, Control, ControlError, Failure, PeerStatus, Status};
pub use interface::InterfaceError;
pub use netns::NamespaceError;
pub use options::{EndpointOptions, OptionsError};
pub use process::ProcessError;
pub use serve::{RunError, main, run};
pub use spawn::{Program, Running, SpawnError, StopError, ensure, find, spawn, stop};
pub use state::StateError;
pub use userspace::UserspaceError;

use serde::{Deserialize, Serialize};

/// What moves the packets of an endpoint.
///
/// Every backend answers the same two questions, status and apply, to the same control socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Backend {
    /// gotatun in the endpoint's process. Works on any kernel with TUN devices.
    Userspace,
}

/// What of the log a program should keep that becomes an endpoint: gotatun writes an error for
/// each packet to a peer that was never there, which anybody in the network can make many of.
pub const LOG_FILTER: &str = "info,gotatun=off";

/// How old the last handshake of a connected peer can be at most, in milliseconds: after that its
/// session is rejected by either side (Reject-After-Time in the WireGuard paper, section 6.2).
pub const CONNECTED_MS: u64 = 180_000;
