//! The router is as OpenWrt was measured to be. Needs root.

#[path = "router/bus.rs"]
mod bus;
#[path = "router/cards.rs"]
mod cards;
#[path = "router/firewall.rs"]
mod firewall;
#[path = "router/flash.rs"]
mod flash;
#[path = "router/image.rs"]
mod image;
#[path = "router/names.rs"]
mod names;
#[path = "router/network.rs"]
mod network;
#[path = "router/scripts.rs"]
mod scripts;
#[path = "router/start.rs"]
mod start;
#[path = "router/uci.rs"]
mod uci;
#[path = "router/wireguard.rs"]
mod wireguard;
