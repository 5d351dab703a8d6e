//! Generates the messages and services from `proto/`, without an installed protoc.

use std::error::Error;

const FILES: [&str; 3] = [
    "rhyzome/component/v1/placement.proto",
    "rhyzome/component/v1/session.proto",
    "rhyzome/component/v1/enrollment.proto",
];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=proto");
    let descriptors = protox::compile(FILES, ["proto"])?;
    tonic_prost_build::configure()
        .btree_map(".")
        .compile_fds(descriptors)?;
    Ok(())
}
