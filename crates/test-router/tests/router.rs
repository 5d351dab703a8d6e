//! The router is as OpenWrt was measured to be. Needs root.

#[path = "router/start.rs"]
mod start;
#[path = "router/wireguard.rs"]
mod wireguard;
