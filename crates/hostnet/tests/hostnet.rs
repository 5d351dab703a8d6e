//! What `hostnet` does to a kernel, in network namespaces that the tests make. Needs root.

#[path = "hostnet/frame.rs"]
mod frame;
#[path = "hostnet/namespace.rs"]
mod namespace;
#[path = "hostnet/ports.rs"]
mod ports;
#[path = "hostnet/segment.rs"]
mod segment;
#[path = "hostnet/world.rs"]
mod world;
