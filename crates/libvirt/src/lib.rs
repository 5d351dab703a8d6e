//! The component of a hypervisor: instances through libvirt, segments and port rules through the kernel.
//!
//! [`LibvirtDriver`] keeps placements; [`down`](down::down) takes all of it off the host without a core.
//! Neither stops a guest by ending: guests are QEMU processes of their own, and are taken up again.
//! What is left out: deciding what should run where, which the core does.

pub mod accelerator;
mod cache;
mod cards;
mod configuration;
mod console;
pub mod disk;
pub mod domain;
pub mod down;
mod driver;
mod embed;
mod ending;
pub mod host;
pub mod hypervisor;
mod instances;
mod leftovers;
mod metadata;
mod record;
mod restart;
mod segments;
pub mod settings;
pub mod step;
pub mod uefi;

pub use configuration::Configuration;
pub use driver::LibvirtDriver;
pub use settings::{Libvirt, Settings};
