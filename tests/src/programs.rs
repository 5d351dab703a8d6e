//! Where the programs are that the tests run.

use std::path::{Path, PathBuf};

/// A program of the workspace, built beside this one.
///
/// # Panics
/// Where it was not built.
pub fn binary(name: &str) -> PathBuf {
    let own = std::env::current_exe().expect("a process has a program");
    let folder = own.parent().expect("a program is in a folder");
    // Tests are one folder below.
    let folder = match folder.file_name() {
        Some(last) if last == "deps" => folder.parent().expect("it is in target/debug"),
        _ => folder,
    };
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
    built("hello/hello.elf", "unikernels/hello/build")
}

/// A file of the Linux without a distribution: `vmlinuz` or `initrd.img`.
///
/// # Panics
/// Where it was not built.
pub fn linux(file: &str) -> PathBuf {
    built(&format!("linux/{file}"), "images/linux/build")
}

fn built(file: &str, by: &str) -> PathBuf {
    let target = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target");
    let path = target.join(file);
    let shown = path.display();
    assert!(path.exists(), "{shown} is not there: run `{by}` before");
    path
}
