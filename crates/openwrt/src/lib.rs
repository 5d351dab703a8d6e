//! Networks on an OpenWrt router, as sections of UCI.
//!
//! ```text
//!   Router, Networks ── validate ──► Checked ── desired ──► Sections ─┐
//!                                       │                             ├─ plan ──► Plan: changes, per package
//!   files of /etc/config ── present ──► Present ── obstacles ─────────┘
//! ```
//!
//! That much is pure. A plan is made real by [`OpenwrtDriver`], as a transaction: with a snapshot and a journal, a reload,
//! a look at what runs then, and a way back.
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

pub mod agent;
mod apply;
mod batch;
mod cards;
mod desired;
mod disk;
mod draft;
mod driver;
mod error;
mod goal;
mod inventory;
mod journal;
mod live;
mod lock;
mod mark;
mod names;
mod plan;
mod present;
mod record;
mod release;
mod router;
mod running;
#[cfg(test)]
mod samples;
mod settings;
mod step;
mod store;
mod survey;
mod system;
mod ubus;
mod validate;
mod verify;
mod watch;

pub use desired::{Sections, desired};
pub use driver::OpenwrtDriver;
pub use error::Error;
pub use mark::{FIREWALL_NAME, OPTION, is_ours};
pub use names::Names;
pub use plan::{Plan, PlanError, Within, plan};
pub use present::{Files, Obstacle, Present};
pub use router::{Network, Router, Trunk};
pub use settings::{Confirm, Settings, Times};
pub use step::{Hit, Interrupt, Step};
pub use system::System;
pub use validate::{Checked, Place, Problem, What, validate};
