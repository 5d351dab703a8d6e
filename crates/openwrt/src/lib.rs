//! Networks on an OpenWrt router, as sections of UCI. Pure: no I/O, no async.
//!
//! ```text
//!   Router, Networks ── validate ──► Checked ── desired ──► Sections ─┐
//!                                       │                             ├─ plan ──► Plan: changes, per package
//!   files of /etc/config ── present ──► Present ── obstacles ─────────┘
//! ```
//!
//! Nearly everything on OpenWrt returns 0 when it failed, and some mistakes lock the operator out. So what could
//! be accepted silently or be fatal silently is refused here, before anything is touched: in what is asked
//! ([`validate`]) and in what is there already ([`Present`]).
//!
//! A network is a segment (a VLAN on a trunk, a VXLAN, or a port of its own), an interface with the router's
//! addresses, a WireGuard interface, and a firewall zone for each of the two:
//!
//! ```text
//!   segment ── rz_v100 ─┬─ rules ── rz_v100_wg ── peers     names by the segment's number
//!                       └─ rules ── uplink's zone           with egress only, behind its address
//! ```
//!
//! Unlike on a Linux router, all networks share one routing domain and one dnsmasq: their prefixes cannot overlap,
//! and names of one network are answered in another. Packets pass only where the rules of [`desired`] say so. Which
//! way a packet to a peer goes is decided by its network's own routing table, as a peer of two networks has the
//! same address in both.

mod desired;
mod draft;
mod mark;
mod names;
mod plan;
mod present;
mod router;
#[cfg(test)]
mod samples;
mod validate;

pub use desired::{Sections, desired};
pub use mark::{FIREWALL_NAME, OPTION, is_ours};
pub use names::Names;
pub use plan::{Plan, PlanError, plan};
pub use present::{Files, Obstacle, Present};
pub use router::{Network, Router, Trunk};
pub use validate::{Checked, Place, Problem, What, validate};
