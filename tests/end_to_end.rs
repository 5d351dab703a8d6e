//! The whole system, end to end: real processes, libvirt, namespaces and WireGuard. Needs root.

#[path = "end_to_end/path.rs"]
mod path;
