//! Where the programs are that the tests run.

use std::path::{Path, PathBuf};

/// A program of the workspace, built beside this test.
///
/// # Panics
/// Where it was not built.
pub fn binary(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("a process has a program");
    let folder = test
        .parent()
        .and_then(Path::parent)
        .expect("tests are in target/debug/deps");
    let path = folder.join(name);
    assert!(
        path.exists(),
        "{} is not there: run `cargo build --workspace --bins` before",
        path.display()
    );
    path
}

/// The unikernel `hello`.
///
/// # Panics
/// Where it was not built.
pub fn hello() -> PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/hello/hello.elf");
    assert!(
        path.exists(),
        "{} is not there: run `unikernels/hello/build` before",
        path.display()
    );
    path
}
