//! QEMU processes of an embedded libvirt that went with its process, killed in the wrong moment: nobody
//! knows them any more.
//!
//! Only those are ended whose process id libvirt wrote down and whose command line names the state
//! directory.

use std::fs;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// A process that could not be ended.
#[derive(Debug, thiserror::Error)]
#[error("the process {pid} cannot be ended")]
pub struct Unended {
    pid: i32,
    source: Errno,
}

/// Ends guests that libvirt lost.
pub fn end_lost(root: &Path) -> Result<(), Unended> {
    for path in inside(&root.join("run/qemu")) {
        if path.extension().is_some_and(|ending| ending == "pid") {
            end(&path, root)?;
        }
    }
    Ok(())
}

/// Where libvirt spoke with processes that it asked what QEMU can do. Each goes when it was told, unless
/// libvirt is killed before.
pub fn questioned(root: &Path) -> Vec<PathBuf> {
    let is_one = |path: &PathBuf| {
        let name = path.file_name().and_then(|name| name.to_str());
        name.is_some_and(|name| name.starts_with("qmp-"))
    };
    let mut found = inside(&root.join("lib/qemu"));
    found.retain(is_one);
    found
}

/// Ends those processes, with their folders. For whoever has libvirt open now, and looked before.
pub fn end_questioned(root: &Path, left: &[PathBuf]) {
    for folder in left {
        if let Err(error) = end(&folder.join("qmp.pid"), root) {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "a process of QEMU is left"
            );
            continue;
        }
        if let Err(error) = fs::remove_dir_all(folder) {
            tracing::warn!(%error, folder = %folder.display(), "a folder of libvirt's is left");
        }
    }
}

fn inside(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).collect()
}

fn end(pid: &Path, root: &Path) -> Result<(), Unended> {
    let pid = fs::read_to_string(pid).ok();
    let pid = pid.and_then(|text| text.trim().parse().ok());
    let Some(pid) = pid.filter(|pid| is_qemu_of(*pid, root)) else {
        return Ok(());
    };
    tracing::warn!(
        pid,
        "ending a QEMU process that libvirt does not know any more"
    );
    match kill(Pid::from_raw(pid), Signal::SIGKILL) {
        Ok(()) | Err(Errno::ESRCH) => Ok(()),
        Err(source) => Err(Unended { pid, source }),
    }
}

fn is_qemu_of(pid: i32, root: &Path) -> bool {
    let Ok(line) = fs::read(format!("/proc/{pid}/cmdline")) else {
        return false;
    };
    let line = String::from_utf8_lossy(&line).into_owned();
    let program = line.split('\0').next().unwrap_or_default();
    let inside = format!("{}/", root.display());
    program.contains("qemu") && line.split('\0').any(|argument| argument.contains(&inside))
}
