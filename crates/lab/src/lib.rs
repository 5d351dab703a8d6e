//! Tests inside of a guest with Debian's kernel, for what the kernel of the machine at hand may not be able to do:
//! 802.1Q, VLANs on bridges, WireGuard.
//!
//! ```text
//!   test program ─ stdin, stdout of QEMU ─ virtio port ─ images/linux/lab: runs the test program again, as root,
//!                                                        for the one test, and says how it ended
//! ```
//!
//! The guest has busybox, the kernel's modules, and what a test takes along: its own program and others of this
//! machine with their libraries. QEMU imitates the processor, so that this works on any machine, and a boot takes
//! some seconds: the tests of a program share one.
//!
//! Needs `target/linux`, which `images/linux/build` makes. Everything panics that does not work: only tests use this.
//! Left out on purpose: networks and disks of the guest. Tests make links and namespaces inside.

mod archive;
mod luggage;
mod machine;
mod shared;

pub use luggage::Luggage;
pub use machine::{Machine, Output};
pub use shared::Lab;
