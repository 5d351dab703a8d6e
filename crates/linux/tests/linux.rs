//! The driver on real namespaces, dnsmasq, nftables and WireGuard, on hosts that are network namespaces
//! of the tests' own. Needs root.

#![expect(clippy::unwrap_used, reason = "what the tests share are tests, too")]

#[path = "linux/client.rs"]
mod client;
#[path = "linux/contract.rs"]
mod contract;
#[path = "linux/convergence.rs"]
mod convergence;
#[path = "../../hostnet/tests/hostnet/counted.rs"]
mod counted;
#[path = "linux/device.rs"]
mod device;
#[path = "linux/flood.rs"]
mod flood;
#[path = "linux/forwarding.rs"]
mod forwarding;
#[path = "linux/leases.rs"]
mod leases;
#[path = "linux/neighbour.rs"]
mod neighbour;
#[path = "linux/peers.rs"]
mod peers;
#[path = "linux/reach.rs"]
mod reach;
#[path = "linux/repair.rs"]
mod repair;
#[path = "linux/site.rs"]
mod site;
#[path = "linux/vlan.rs"]
mod vlan;
#[path = "../../hostnet/tests/hostnet/world.rs"]
mod world;
