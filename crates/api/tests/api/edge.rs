//! Components and the core's gRPC edge, over real TLS on loopback, with a gateway kept in memory: what
//! the protocol promises whatever the core decides.

mod blobs;
mod clock;
mod jobs;
mod memory;
mod site;
mod trust;
