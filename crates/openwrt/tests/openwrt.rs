//! The driver on routers that behave as OpenWrt was measured to. Needs root, and the program of `rhyzome-test-router`
//! beside the tests' (`cargo build --workspace --bins`).

#![expect(clippy::unwrap_used, reason = "what the tests share are tests, too")]

#[path = "openwrt/cards.rs"]
mod cards;
#[path = "openwrt/commits.rs"]
mod commits;
#[path = "openwrt/contract.rs"]
mod contract;
#[path = "openwrt/drift.rs"]
mod drift;
#[path = "openwrt/events.rs"]
mod events;
#[path = "openwrt/faults.rs"]
mod faults;
#[path = "openwrt/foreign.rs"]
mod foreign;
#[path = "openwrt/guest.rs"]
mod guest;
#[path = "openwrt/kills.rs"]
mod kills;
#[path = "openwrt/peers.rs"]
mod peers;
#[path = "openwrt/program.rs"]
mod program;
#[path = "openwrt/site.rs"]
mod site;
#[path = "openwrt/upgrade.rs"]
mod upgrade;
