//! `cargo xtask simulate`: builds `crates/simulation`, and lets it go.

use std::path::Path;
use std::process::Command;

use anyhow::Context as _;

use crate::bench::finish;
use crate::cargo::cargo;

/// Hands all that was said on.
pub fn run(root: &Path, arguments: &[&str]) -> anyhow::Result<bool> {
    let mut build = cargo(root);
    build.args(["build", "--quiet", "--locked", "--workspace"]);
    build.args(["--bin", "rhyzome-simulation"]);
    finish(&mut build, "the simulation cannot be built")?;
    let mut simulation = Command::new(root.join("target/debug/rhyzome-simulation"));
    let status = simulation.args(arguments).status();
    Ok(status.context("rhyzome-simulation")?.success())
}
