//! Doing something inside a network namespace, on a thread that is thrown away afterwards.
//!
//! A namespace belongs to a thread (setns(2)), so the threads of the runtime are never moved: what
//! they open stays in the namespace the process was started in.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use nix::sched::{CloneFlags, setns};

/// Why nothing can be done in a namespace.
#[derive(Debug, thiserror::Error)]
pub enum NamespaceError {
    /// The namespace's file cannot be opened.
    #[error("the network namespace {path} cannot be opened")]
    Open {
        /// The namespace.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The namespace cannot be entered.
    #[error("the network namespace {path} cannot be entered")]
    Enter {
        /// The namespace.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The thread cannot be started.
    #[error("no thread for the network namespace")]
    Thread(#[source] io::Error),
}

/// Runs `work` in the namespace at `path`, or in the caller's if there is none.
///
/// # Errors
/// A namespace that is not there or may not be entered.
pub(super) fn within<T: Send>(
    path: Option<&Path>,
    work: impl FnOnce() -> T + Send,
) -> Result<T, NamespaceError> {
    let Some(path) = path else {
        return Ok(work());
    };
    let file = File::open(path).map_err(|source| NamespaceError::Open {
        path: path.to_owned(),
        source,
    })?;
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name("namespace".to_owned());
        let entered = thread
            .spawn_scoped(scope, || {
                setns(&file, CloneFlags::CLONE_NEWNET)?;
                Ok::<T, nix::errno::Errno>(work())
            })
            .map_err(NamespaceError::Thread)?;
        match entered.join() {
            Ok(done) => done.map_err(|errno| NamespaceError::Enter {
                path: path.to_owned(),
                source: errno.into(),
            }),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}
