//! A component and the core's edge, over real TLS on loopback.

/// The edge's own files, compiled into the test: neither crate may depend on the other.
#[path = "../../api/src"]
mod edge {
    pub mod grpc;
}
use edge::grpc;

#[path = "core/blobs.rs"]
mod blobs;
#[path = "core/jobs.rs"]
mod jobs;
#[path = "core/memory.rs"]
mod memory;
#[path = "core/site.rs"]
mod site;
#[path = "core/trust.rs"]
mod trust;
