//! What a guest is told of itself, in the forms that guests read: a seed disk for cloud-init (NoCloud),
//! and the answers of the metadata service (NoCloud, Amazon EC2's paths, and plain lines for unikernels).
//!
//! All of it follows from the instance's placement. Where the disk is plugged in and how the service gets
//! onto a segment is its hypervisor's matter; who asks, the service is told.

pub mod documents;
mod iso;
pub mod paths;
mod seed;
pub mod service;
mod token;

pub use seed::seed;
pub use service::{Callers, Service};

#[cfg(test)]
mod samples;
