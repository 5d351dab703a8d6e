//! Doing something in other namespaces than the test's.

use std::os::fd::BorrowedFd;

use nix::sched::{CloneFlags, setns, unshare};

/// Does something in namespaces, on a thread of its own. With a mount namespace comes its root.
pub fn inside<T: Send>(namespaces: &[BorrowedFd<'_>], work: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            // A thread that shares its root with others may not change its mount namespace.
            unshare(CloneFlags::CLONE_FS).expect("tests run as root");
            for namespace in namespaces {
                setns(namespace, CloneFlags::empty()).expect("tests run as root");
            }
            work()
        });
        match thread.join() {
            Ok(done) => done,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}
