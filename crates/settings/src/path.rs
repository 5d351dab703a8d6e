//! Paths in a configuration are tried before anything listens: opened, as the
//! program will, by the user that the program runs as.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use nix::fcntl::AtFlags;
use nix::unistd::AccessFlags;
use serde_json::Value;

use crate::problem::{Origin, Problem};
use crate::tree;

/// What must be at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PathKind {
    /// A file that can be read.
    File,
    /// A folder that can be listed.
    Folder,
    /// A folder that can be written to, or be made.
    WritableFolder,
}

/// Tries all paths that a configuration holds; keys that are null or absent
/// are not set, and not tried.
pub(crate) fn check_all(
    settings: &Value,
    paths: &[(&str, PathKind)],
    origin: impl Fn(&str) -> Origin,
) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (key, kind) in paths {
        let value = tree::get(settings, &tree::split(key));
        for path in value.map(paths_in).unwrap_or_default() {
            let (origin, key) = (origin(key), (*key).to_owned());
            if path.as_os_str().is_empty() {
                let reason = "the path is empty".to_owned();
                problems.push(Problem::BadValue {
                    origin,
                    key,
                    reason,
                });
            } else if let Err(reason) = kind.check(&path) {
                problems.push(Problem::Path {
                    origin,
                    key,
                    path,
                    reason,
                });
            }
        }
    }
    problems
}

fn paths_in(value: &Value) -> Vec<PathBuf> {
    match value {
        Value::String(path) => vec![PathBuf::from(path)],
        Value::Array(list) => list.iter().flat_map(paths_in).collect(),
        _ => Vec::new(),
    }
}

impl PathKind {
    fn check(self, path: &Path) -> Result<(), String> {
        match self {
            Self::File => {
                let file = File::open(path).map_err(|e| explain(path, &e, "file"))?;
                match file.metadata() {
                    Ok(meta) if meta.is_dir() => Err("is a folder, not a file".to_owned()),
                    Ok(_) => Ok(()),
                    Err(e) => Err(explain(path, &e, "file")),
                }
            }
            Self::Folder => match fs::read_dir(path) {
                Ok(_) => Ok(()),
                Err(e) => Err(explain(path, &e, "folder")),
            },
            Self::WritableFolder => writable(path),
        }
    }
}

fn writable(path: &Path) -> Result<(), String> {
    // The nearest thing that is there decides whether the rest can be made.
    for at in path.ancestors() {
        let at = if at.as_os_str().is_empty() {
            Path::new(".")
        } else {
            at
        };
        match fs::metadata(at) {
            Ok(meta) if !meta.is_dir() => return Err(not_a_folder(path, at)),
            Ok(_) => return may_write(path, at),
            Err(e) if is_missing(&e) => {}
            Err(e) => return Err(explain(at, &e, "folder")),
        }
    }
    Err("has no folder above it".to_owned())
}

/// Nothing is there, maybe because what should be a folder above is a file.
fn is_missing(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}

fn not_a_folder(path: &Path, at: &Path) -> String {
    if path == at {
        "is a file, not a folder".to_owned()
    } else {
        format!("cannot be made: {} is not a folder", at.display())
    }
}

fn may_write(path: &Path, at: &Path) -> Result<(), String> {
    let flags = AccessFlags::W_OK | AccessFlags::X_OK;
    // Asks for the effective user, who will do the writing.
    match nix::unistd::faccessat(nix::fcntl::AT_FDCWD, at, flags, AtFlags::AT_EACCESS) {
        Ok(()) => Ok(()),
        Err(errno) => {
            let error = io::Error::from(errno);
            let what = if path == at {
                "be written to"
            } else {
                "be made"
            };
            let whose = if error.kind() == io::ErrorKind::PermissionDenied {
                whose(at)
            } else {
                error.to_string()
            };
            Err(format!("cannot {what}: {} {whose}", at.display()))
        }
    }
}

/// Why a path cannot be opened: `what` is "file" or "folder". Follows the
/// path's own name in a message.
pub(crate) fn explain(path: &Path, error: &io::Error, what: &str) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => match missing_above(path) {
            Some(above) => format!("does not exist, nor does {}", above.display()),
            None => format!("does not exist: there is no such {what}"),
        },
        io::ErrorKind::PermissionDenied => match closed_above(path) {
            Some(above) => format!("cannot be reached: {} {}", above.display(), whose(&above)),
            None => format!("cannot be read: it {}", whose(path)),
        },
        io::ErrorKind::IsADirectory => "is a folder, not a file".to_owned(),
        io::ErrorKind::NotADirectory if what == "folder" => "is not a folder".to_owned(),
        _ => format!("cannot be read: {error}"),
    }
}

/// Owner and mode, and who asked.
fn whose(path: &Path) -> String {
    let running_as = nix::unistd::geteuid();
    match fs::metadata(path) {
        Ok(meta) => format!(
            "belongs to uid {} with mode {:04o}, and this process runs as uid {running_as}",
            meta.uid(),
            meta.permissions().mode() & 0o7777,
        ),
        Err(_) => format!("is closed to uid {running_as}, as which this process runs"),
    }
}

/// The topmost missing folder above a path.
fn missing_above(path: &Path) -> Option<PathBuf> {
    let above = path.ancestors().skip(1);
    above
        .filter(|at| !at.as_os_str().is_empty() && !at.exists())
        .last()
        .map(Path::to_owned)
}

/// The folder that lets nobody through to what is below it.
fn closed_above(path: &Path) -> Option<PathBuf> {
    let through = |at: &Path| {
        nix::unistd::faccessat(
            nix::fcntl::AT_FDCWD,
            at,
            AccessFlags::X_OK,
            AtFlags::AT_EACCESS,
        )
        .is_ok()
    };
    path.ancestors()
        .skip(1)
        .filter(|at| !at.as_os_str().is_empty() && !through(at))
        .last()
        .map(Path::to_owned)
}
