//! `cargo xtask bench`: builds the programs as they are released, and has them measured by `crates/bench`.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, ensure};

/// Hands all that was said on. What is built says so on standard error: standard output is the figures'.
pub fn run(root: &Path, arguments: &[&str]) -> anyhow::Result<bool> {
    let mut hello = Command::new(root.join("unikernels/hello/build"));
    finish(&mut hello, "the unikernel cannot be built")?;
    let mut build = Command::new(env!("CARGO"));
    build.args([
        "build",
        "--quiet",
        "--release",
        "--locked",
        "--workspace",
        "--bins",
    ]);
    finish(build.current_dir(root), "the programs cannot be built")?;
    let mut bench = Command::new(root.join("target/release/rhyzome-bench"));
    let status = bench.args(arguments).status().context("rhyzome-bench")?;
    Ok(status.success())
}

/// Runs a command that has to succeed.
pub fn finish(command: &mut Command, what: &str) -> anyhow::Result<()> {
    let status = command
        .stdout(Stdio::null())
        .status()
        .with_context(|| what.to_owned())?;
    ensure!(status.success(), "{what}: {status}");
    Ok(())
}
