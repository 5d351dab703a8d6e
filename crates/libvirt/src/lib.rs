//! (being written)
pub mod accelerator;
pub mod domain;
pub mod hypervisor;
