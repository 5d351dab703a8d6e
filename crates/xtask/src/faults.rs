//! `cargo xtask faults`: builds the programs with their faults in, and lets `tests/faults` try all of them.

use std::path::Path;
use std::process::Command;

use anyhow::Context as _;

use crate::bench::finish;
use crate::cargo::cargo;

/// Hands all that was said on.
pub fn run(root: &Path, arguments: &[&str]) -> anyhow::Result<bool> {
    finish(
        &mut Command::new(root.join("unikernels/hello/build")),
        "the unikernel cannot be built",
    )?;
    let mut build = cargo(root);
    build.args(["build", "--quiet", "--locked", "--workspace", "--bins"]);
    finish(&mut build, "the programs cannot be built")?;
    let mut faults = Command::new(root.join("target/debug/rhyzome-faults"));
    let status = faults.args(arguments).status().context("rhyzome-faults")?;
    Ok(status.success())
}
