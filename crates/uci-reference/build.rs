//! Builds libuci and `uci` out of the sources that libuci-sys brings.
//!
//! Its own build takes cmake, json-c and a libclang older than 16, which newer systems do not have. It is kept from that
//! by a variable in `.cargo/config.toml`, with which it takes the bindings that it brings, and builds nothing in C.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "what cannot be built is said and ends the build"
)]

use std::path::{Path, PathBuf};
use std::process::Command;

/// Without what converts from and to ubus' messages.
const LIBRARY: [&str; 5] = ["libuci.c", "file.c", "util.c", "delta.c", "parse.c"];

fn main() {
    let sources = sources().join("uci");
    let out = PathBuf::from(std::env::var_os("OUT_DIR").unwrap());
    // cmake makes it of its options, of which none is set.
    std::fs::write(out.join("uci_config.h"), "").unwrap();
    let files = LIBRARY.map(|file| sources.join(file));
    let mut build = cc::Build::new();
    build.include(&out).include(&sources).files(&files);
    build.std("gnu99").opt_level(1).warnings(false);
    build.compile("uci");
    let program = out.join("uci");
    make_program(&build, &sources, &files, &program);
    println!("cargo:rustc-env=UCI_PROGRAM={}", program.display());
    println!("cargo:rerun-if-changed=build.rs");
}

/// Linked statically, so that it runs in a root that has nothing else.
fn make_program(build: &cc::Build, sources: &Path, library: &[PathBuf], program: &Path) {
    let mut compiler = build.get_compiler().to_command();
    compiler.arg("-static").arg(sources.join("cli.c"));
    let status = compiler.args(library).arg("-o").arg(program).status();
    let status = status.expect("the C compiler runs");
    assert!(status.success(), "uci was not built: {status}");
}

/// Where cargo has put libuci-sys.
fn sources() -> PathBuf {
    // What of the workspace is not built now may not be here yet; then cargo gets it.
    let said = metadata(&["--offline"]).or_else(|_| metadata(&[]));
    let metadata = said.unwrap_or_else(|error| panic!("cargo metadata: {error}"));
    let packages = metadata["packages"].as_array().unwrap();
    let package = packages
        .iter()
        .find(|package| package["name"] == "libuci-sys");
    let manifest = package.and_then(|package| package["manifest_path"].as_str());
    let manifest = Path::new(manifest.expect("libuci-sys is a dependency"));
    manifest.parent().unwrap().to_owned()
}

fn metadata(more: &[&str]) -> Result<serde_json::Value, String> {
    let output = Command::new(std::env::var_os("CARGO").unwrap())
        .args(["metadata", "--format-version", "1", "--locked"])
        .arg("--filter-platform")
        .arg(std::env::var_os("TARGET").unwrap())
        .args(more)
        .output()
        .expect("cargo runs");
    match output.status.success() {
        true => Ok(serde_json::from_slice(&output.stdout).unwrap()),
        false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
    }
}
