//! Virtio 1.x over PCI, as far as a network card needs it. Legacy devices are refused with a reason.
//!
//! Source: Virtual I/O Device (VIRTIO) version 1.2; its sections are named where they apply.

pub mod net;
mod queue;
mod transport;
