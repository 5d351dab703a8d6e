//! Kernel parameters below `/proc/sys`, of the calling thread's network namespace.

use std::io;
use std::path::PathBuf;

#[derive(Debug, thiserror::Error)]
pub enum SysctlError {
    #[error("cannot read the kernel parameter {0}")]
    Read(String, #[source] io::Error),
    #[error("cannot set the kernel parameter {0} to {1}")]
    Write(String, String, #[source] io::Error),
}

fn path(name: &str) -> PathBuf {
    PathBuf::from("/proc/sys").join(name)
}

/// Reads a parameter, named like `net/ipv4/ip_forward`; none where this kernel has no such.
pub fn read(name: &str) -> Result<Option<String>, SysctlError> {
    match std::fs::read_to_string(path(name)) {
        Ok(text) => Ok(Some(text.trim().to_owned())),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(SysctlError::Read(name.to_owned(), e)),
    }
}

/// Sets a parameter where it has another value. Returns whether it had.
pub fn ensure(name: &str, value: &str) -> Result<bool, SysctlError> {
    if read(name)?.as_deref() == Some(value) {
        return Ok(false);
    }
    std::fs::write(path(name), value)
        .map_err(|e| SysctlError::Write(name.to_owned(), value.to_owned(), e))?;
    Ok(true)
}

/// Like [`ensure`], but fine where this kernel has no such parameter.
pub fn ensure_where_present(name: &str, value: &str) -> Result<bool, SysctlError> {
    match read(name)? {
        None => Ok(false),
        Some(_) => ensure(name, value),
    }
}
