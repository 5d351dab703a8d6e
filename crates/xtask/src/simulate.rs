//! `cargo xtask simulate`: builds `crates/simulation`, and lets it go.

use std::path::Path;
use std::process::Command;

use anyhow::Context as _;

use crate::bench::finish;

/// Hands all that was said on.
pub fn run(root: &Path, arguments: &[&str]) -> anyhow::Result<bool> {
    let mut build = Command::new(env!("CARGO"));
    build.args(["build", "--quiet", "--locked", "--workspace"]);
    build.args(["--bin", "rhyzome-simulation"]);
    finish(build.current_dir(root), "the simulation cannot be built")?;
    let mut simulation = Command::new(root.join("target/debug/rhyzome-simulation"));
    let status = simulation.args(arguments).status();
    Ok(status.context("rhyzome-simulation")?.success())
}
