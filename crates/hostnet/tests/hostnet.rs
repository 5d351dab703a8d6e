//! What `hostnet` does to a kernel, in network namespaces that the tests make. Needs root.

#![expect(clippy::unwrap_used, reason = "what the tests share are tests, too")]

#[path = "hostnet/counted.rs"]
mod counted;
#[path = "hostnet/flood.rs"]
mod flood;
#[path = "hostnet/frame.rs"]
mod frame;
#[path = "hostnet/namespace.rs"]
mod namespace;
#[path = "hostnet/ports.rs"]
mod ports;
#[path = "hostnet/segment.rs"]
mod segment;
#[path = "hostnet/service.rs"]
mod service;
#[path = "hostnet/tunnel.rs"]
mod tunnel;
#[path = "hostnet/vlan.rs"]
mod vlan;
#[path = "hostnet/wire.rs"]
mod wire;
#[path = "hostnet/world.rs"]
mod world;

use rhyzome_lab::Lab;

/// A guest for what not every kernel can.
static LAB: Lab = Lab::with(&["nft"]);

/// A mark that nothing else has.
fn mark() -> rhyzome_hostnet::Mark {
    uuid::Uuid::new_v4().simple().to_string()[..8]
        .parse()
        .unwrap()
}
