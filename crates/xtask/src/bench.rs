//! `cargo xtask bench`: builds the programs as they are released, and has them measured by `crates/bench`.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, ensure};

use crate::cargo::cargo;

/// What needs more than the programs: real hosts, and others to compare with.
const ON_HOSTS: [&str; 4] = ["start", "first-request", "tunnel", "peers"];
/// What tunnels are compared with, as `cargo install` takes it; into a folder of this repository's own.
const GOTATUN: [&str; 4] = ["gotatun-cli", "--locked", "--version", "0.10.2"];

/// Hands all that was said on. What is built says so on standard error: standard output is the figures'.
pub fn run(root: &Path, arguments: &[&str]) -> anyhow::Result<bool> {
    let is_named = |names: &[&str]| arguments.iter().any(|word| names.contains(word));
    if is_named(&ON_HOSTS) {
        let mut install = Command::new(root.join("scripts/install-packages"));
        finish(install.arg("--bench"), "packages are missing")?;
    }
    if is_named(&["tunnel"]) {
        let mut install = cargo(root);
        install.args(["install", "--quiet", "--root"]);
        install.arg(root.join("target/tools")).args(GOTATUN);
        finish(&mut install, "gotatun cannot be built")?;
    }
    let mut hello = Command::new(root.join("unikernels/hello/build"));
    finish(&mut hello, "the unikernel cannot be built")?;
    let mut build = cargo(root);
    build.args([
        "build",
        "--quiet",
        "--release",
        "--locked",
        "--workspace",
        "--bins",
    ]);
    finish(&mut build, "the programs cannot be built")?;
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
