//! The real `uci`, which was built beside the library.

use std::ffi::{CStr, OsStr, c_void};
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// Where the program and its libraries are.
#[derive(Debug, Clone)]
pub struct Program {
    pub path: PathBuf,
    /// What has to be in `LD_LIBRARY_PATH`.
    pub libraries: PathBuf,
}

impl Program {
    /// Finds it beside the library that this process runs with.
    ///
    /// # Errors
    /// It is not there.
    pub fn find() -> io::Result<Self> {
        let missing = |what: &str| io::Error::new(io::ErrorKind::NotFound, what.to_owned());
        // SAFETY: all of `Dl_info` is pointers, and dladdr fills it.
        let library = unsafe {
            let mut info: libc::Dl_info = std::mem::zeroed();
            let function = libuci_sys::uci_alloc_context as *const c_void;
            if libc::dladdr(function, &raw mut info) == 0 || info.dli_fname.is_null() {
                return Err(missing("nobody knows where libuci is"));
            }
            let path = CStr::from_ptr(info.dli_fname);
            PathBuf::from(OsStr::from_bytes(path.to_bytes()))
        };
        let libraries = library.parent().unwrap_or(Path::new("/")).to_owned();
        let path = libraries.join("../bin/uci").canonicalize()?;
        Ok(Self { path, libraries })
    }

    /// A command on a folder of configurations, with a folder of its own for what is not committed.
    pub fn command(&self, config: &Path, delta: &Path) -> Command {
        let mut command = Command::new(&self.path);
        command.env("LD_LIBRARY_PATH", &self.libraries);
        command.arg("-c").arg(config).arg("-t").arg(delta);
        command
    }

    /// Runs `uci batch` on a folder of configurations. It ends with 0 also where lines failed.
    ///
    /// # Errors
    /// It cannot be run.
    pub fn batch(&self, config: &Path, delta: &Path, lines: &str) -> io::Result<Output> {
        let mut child = self
            .command(config, delta)
            .arg("batch")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        if let Some(mut stdin) = child.stdin.take() {
            stdin.write_all(lines.as_bytes())?;
        }
        child.wait_with_output()
    }
}
