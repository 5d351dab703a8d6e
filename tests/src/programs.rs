//! Where the programs are that the tests run.

use std::os::unix::fs::PermissionsExt as _;
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

/// Another build of a program as far as anybody can tell: its digest is another one. Made in a folder.
///
/// # Panics
/// Where it cannot be written.
pub fn another(program: &Path, folder: &Path, which: &str) -> PathBuf {
    let mut bytes = std::fs::read(program).expect("it was built");
    bytes.extend_from_slice(which.as_bytes());
    let path = folder.join(format!("another-{which}"));
    std::fs::write(&path, bytes).expect("the folder is the test's own");
    let runs = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(&path, runs).expect("it is ours");
    path
}

/// A program that says that it is a component's, and then does nothing (`hang`), ends (`exit`) or does not even
/// say that (`mute`).
pub fn stand_in(folder: &Path, does: &str, program: &str) -> PathBuf {
    another(
        &binary("rhyzome-stand-in"),
        folder,
        &format!("{does}-{program}"),
    )
}

/// The component for OpenWrt, as it is for routers.
///
/// # Panics
/// Where it was not built.
pub fn openwrt() -> PathBuf {
    built("openwrt/rhyzome-openwrt", "packaging/openwrt/build")
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
