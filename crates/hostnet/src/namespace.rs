//! Named network namespaces, in `/run/netns` like those of iproute2, so that `ip netns` sees them.

use std::fs::{DirBuilder, File, OpenOptions};
use std::future::Future;
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, setns, unshare};

const DIRECTORY: &str = "/run/netns";
const OWN: &str = "/proc/thread-self/ns/net";

#[derive(Debug, thiserror::Error)]
pub enum NamespaceError {
    #[error("cannot prepare the folder of network namespaces, {DIRECTORY}")]
    Directory(#[source] io::Error),
    #[error("cannot make the network namespace {0}")]
    Create(String, #[source] io::Error),
    #[error("cannot enter the network namespace {0}")]
    Enter(String, #[source] io::Error),
    #[error("cannot delete the network namespace {0}")]
    Delete(String, #[source] io::Error),
    #[error("the work in the network namespace {0} ended without a result")]
    Lost(String),
}

/// A name below `/run/netns`, whether or not there is such a namespace.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Namespace {
    name: String,
}

impl Namespace {
    pub fn named(name: impl Into<String>) -> Self {
        Self { name: name.into() }
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn path(&self) -> PathBuf {
        Path::new(DIRECTORY).join(&self.name)
    }

    /// All that there are, whoever made them.
    pub fn list() -> Result<Vec<Self>, NamespaceError> {
        let entries = match std::fs::read_dir(DIRECTORY) {
            Ok(entries) => entries,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(e) => return Err(NamespaceError::Directory(e)),
        };
        let mut found = Vec::new();
        for entry in entries {
            let entry = entry.map_err(NamespaceError::Directory)?;
            if let Ok(name) = entry.file_name().into_string() {
                found.push(Self { name });
            }
        }
        found.sort();
        Ok(found)
    }

    /// Whether the name stands for a namespace, and not for an empty file that a maker left who was
    /// interrupted.
    pub fn exists(&self) -> bool {
        self.inode().is_some()
    }

    /// The number by which the kernel tells namespaces apart.
    pub fn inode(&self) -> Option<u64> {
        let path = self.path();
        let inode = std::fs::metadata(&path).ok()?.ino();
        is_namespace(&path).then_some(inode)
    }

    /// Whether a process is inside: one that has ended is not.
    pub fn holds(&self, pid: i32) -> bool {
        let process = std::fs::metadata(format!("/proc/{pid}/ns/net")).ok();
        process.is_some_and(|process| self.inode() == Some(process.ino()))
    }

    /// Makes it where there is none. Returns whether there was none.
    pub async fn ensure(&self) -> Result<bool, NamespaceError> {
        if self.exists() {
            return Ok(false);
        }
        share_directory().map_err(NamespaceError::Directory)?;
        let path = self.path();
        let name = self.name.clone();
        on_spare_thread(&self.name, move || {
            create(&path).map_err(|e| NamespaceError::Create(name, e))
        })
        .await??;
        Ok(true)
    }

    /// Lets go of the name. The namespace itself ends with its last process; delete its links first
    /// where their other ends must not outlive this call.
    pub fn delete(&self) -> Result<(), NamespaceError> {
        let failed = |e: io::Error| NamespaceError::Delete(self.name.clone(), e);
        loop {
            match umount2(&self.path(), MntFlags::MNT_DETACH) {
                // There may be another one below.
                Ok(()) => {}
                Err(Errno::EINVAL | Errno::ENOENT) => break,
                Err(e) => return Err(failed(e.into())),
            }
        }
        match std::fs::remove_file(self.path()) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(failed(e)),
            _ => Ok(()),
        }
    }

    /// Runs a piece of work inside, on a thread and a runtime of its own: what it opens and starts
    /// belongs to the namespace.
    pub async fn run<T, F, Fut>(&self, work: F) -> Result<T, NamespaceError>
    where
        T: Send + 'static,
        F: FnOnce() -> Fut + Send + 'static,
        Fut: Future<Output = T>,
    {
        let path = self.path();
        let name = self.name.clone();
        // Closed when the future is dropped: then the work ends where it waits, too.
        let (mut wanted, want) = tokio::sync::oneshot::channel::<()>();
        let done = on_spare_thread(&self.name, move || {
            let failed = |e: io::Error| NamespaceError::Enter(name.clone(), e);
            enter(&path).map_err(failed)?;
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .map_err(failed)?;
            runtime.block_on(async {
                tokio::select! {
                    done = work() => Ok(done),
                    () = wanted.closed() => Err(NamespaceError::Lost(name.clone())),
                }
            })
        });
        let done = done.await?;
        drop(want);
        done
    }
}

/// The namespace that the calling thread is in, to move links into.
pub fn current() -> Result<File, NamespaceError> {
    File::open(OWN).map_err(|e| NamespaceError::Enter("of this thread".to_owned(), e))
}

async fn on_spare_thread<T: Send + 'static>(
    name: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, NamespaceError> {
    let (send, receive) = tokio::sync::oneshot::channel();
    std::thread::Builder::new()
        .name("namespace".to_owned())
        .spawn(move || {
            // Whoever waited may have gone: then nobody wants the result.
            let _ = send.send(work());
        })
        .map_err(|e| NamespaceError::Enter(name.to_owned(), e))?;
    receive
        .await
        .map_err(|_| NamespaceError::Lost(name.to_owned()))
}

fn enter(path: &Path) -> io::Result<()> {
    let file = File::open(path)?;
    setns(file, CloneFlags::CLONE_NEWNET)?;
    Ok(())
}

/// Several may try at once, also in other processes: the file below the mount is their lock.
fn create(path: &Path) -> io::Result<()> {
    let open = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o444)
        .open(path);
    let file = match open {
        // A namespace cannot be opened for writing.
        Err(_) if is_namespace(path) => return Ok(()),
        opened => opened?,
    };
    let _lock = Flock::lock(file, FlockArg::LockExclusive).map_err(|(_, errno)| errno)?;
    if is_namespace(path) {
        return Ok(());
    }
    unshare(CloneFlags::CLONE_NEWNET)?;
    let flags = MsFlags::MS_BIND;
    mount(Some(OWN), path, None::<&str>, flags, None::<&str>)?;
    Ok(())
}

fn is_namespace(path: &Path) -> bool {
    let device = |path: &Path| std::fs::metadata(path).ok().map(|there| there.dev());
    device(path).is_some_and(|there| Some(there) == device(Path::new(OWN)))
}

/// Makes the folder a shared mount, as `ip netns` does, so that a namespace let go of here is let go
/// of in the other mount namespaces too.
fn share_directory() -> io::Result<()> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o755)
        .create(DIRECTORY)?;
    let share = || {
        mount(
            None::<&str>,
            DIRECTORY,
            None::<&str>,
            MsFlags::MS_SHARED | MsFlags::MS_REC,
            None::<&str>,
        )
    };
    match share() {
        Ok(()) => Ok(()),
        Err(Errno::EINVAL) => {
            let flags = MsFlags::MS_BIND | MsFlags::MS_REC;
            mount(
                Some(DIRECTORY),
                DIRECTORY,
                None::<&str>,
                flags,
                None::<&str>,
            )?;
            share()?;
            Ok(())
        }
        Err(e) => Err(e.into()),
    }
}
