//! The programs that make disks and let them grow: each knows its own format best.

use std::io;
use std::path::Path;
use std::process::Stdio;

use rhyzome_component::DriverError;

use crate::instances::from_disk;

/// A program, and the package that it is in.
#[derive(Clone, Copy, Debug)]
pub struct Program {
    pub name: &'static str,
    pub package: &'static str,
}

/// What such a program says where a disk is full (errno(3)).
pub const NO_ROOM: &str = "No space left on device";

pub const QEMU_IMG: Program = Program {
    name: "qemu-img",
    package: "qemu-utils",
};
pub const LVEXTEND: Program = Program {
    name: "lvextend",
    package: "lvm2",
};
pub const ZFS: Program = Program {
    name: "zfs",
    package: "zfsutils-linux",
};

impl Program {
    /// Runs it to its end; it is ended where nobody waits for it any more.
    ///
    /// # Errors
    /// *transient*, with what it said.
    pub async fn run(self, arguments: &[&str]) -> Result<(), DriverError> {
        let Self { name, package } = self;
        let output = tokio::process::Command::new(name)
            .args(arguments)
            // What it says is looked at.
            .env("LC_ALL", "C")
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output()
            .await
            .map_err(|error| match error.kind() {
                io::ErrorKind::NotFound => DriverError::transient(format!(
                    "{name} is not installed: install the package {package}"
                )),
                _ => from_disk(&format!("{name} could not be run"), error),
            })?;
        if output.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&output.stderr);
        Err(DriverError::transient(format!(
            "`{name} {}` failed: {}",
            arguments.first().unwrap_or(&""),
            said.trim()
        )))
    }
}

/// A path as an argument.
pub fn text(path: &Path) -> Result<&str, DriverError> {
    path.to_str()
        .ok_or_else(|| DriverError::permanent(format!("the path {path:?} is no text")))
}
