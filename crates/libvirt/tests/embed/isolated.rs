//! A host for one test: a process, a network namespace and a state directory of its own, taken down
//! with the component's own program whatever became of the test.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use rhyzome_hostnet::Namespace;
use rhyzome_libvirt::{Libvirt, Settings};

use crate::system;
use crate::world::{World, qemu_of};

/// The state directory of the test whose child this process is.
const STATE: &str = "RHYZOME_TEST_STATE";
/// Set in the process that a test makes to kill it.
pub const SECOND: &str = "RHYZOME_TEST_SECOND";

/// Runs a test in a process of its own, and takes its host down afterwards.
pub fn isolated<F: Future<Output = ()>>(test: &'static str, body: fn(World) -> F) {
    isolated_on(Libvirt::Embedded, test, body);
}

/// As [`isolated`], on a libvirtd that runs for the test alone, with a storage pool.
pub fn isolated_on_system<F: Future<Output = ()>>(test: &'static str, body: fn(World) -> F) {
    isolated_on(Libvirt::Uri(system::URI.to_owned()), test, body);
}

/// As [`isolated`], with the state on a disk of so many MiB, which nobody else sees.
pub fn isolated_on_a_disk<F>(mib: usize, test: &'static str, body: fn(World) -> F)
where
    F: Future<Output = ()> + 'static,
{
    let alone = move || {
        // A mount namespace is a thread's, and that of the processes that it starts.
        let none = None::<&str>;
        unshare(CloneFlags::CLONE_NEWNS).unwrap();
        mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).unwrap();
        isolated_with(Libvirt::Embedded, Some(mib), test, body);
    };
    if std::env::var_os(STATE).is_some() {
        return isolated(test, body);
    }
    std::thread::spawn(alone).join().unwrap();
}

fn isolated_on<F: Future<Output = ()>>(libvirt: Libvirt, test: &'static str, body: fn(World) -> F) {
    isolated_with(libvirt, None, test, body);
}

/// Mounts a disk of so many MiB on a folder, until the namespace goes.
pub fn mount_disk(folder: &Path, mib: usize) {
    let (kind, options) = (Some("tmpfs"), format!("size={mib}m,mode=711"));
    mount(kind, folder, kind, MsFlags::empty(), Some(options.as_str())).unwrap();
}

fn isolated_with<F: Future<Output = ()>>(
    libvirt: Libvirt,
    disk: Option<usize>,
    test: &'static str,
    body: fn(World) -> F,
) {
    if let Ok(state) = std::env::var(STATE) {
        return inside(libvirt, test, Path::new(&state), body);
    }
    let folder = tempfile::Builder::new().prefix("rzl").tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let state = folder.path().join("s");
    let _mounted = disk.map(|mib| {
        fs::create_dir(&state).unwrap();
        mount_disk(&state, mib);
        Mounted(state.clone())
    });
    build_hello(&folder.path().join("hello.elf"));
    let passed = again(test, &state).status().unwrap().success();
    let down = Command::new(env!("CARGO_BIN_EXE_rhyzome-libvirt"))
        .args(["down", "--purge", "--set"])
        .arg(format!("component.state_dir={}", state.display()))
        .status()
        .unwrap();
    assert!(passed, "the test failed in its own process; see above");
    assert!(down.success(), "taking the test's host down failed");
    assert_eq!(qemu_of(&state, |_| true), Vec::<i32>::new());
    for left in ["instances", "images", "libvirt"] {
        assert!(!state.join(left).exists(), "{left} is left after a purge");
    }
    let mark = Settings::new(&state).mark().to_string();
    let namespaces = Namespace::list().unwrap();
    let ours = namespaces.iter().find(|it| it.name().ends_with(&mark));
    assert_eq!(ours, None, "a namespace is left after a purge");
}

/// A disk on a folder, which is in the way of removing the folder.
struct Mounted(PathBuf);

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = umount2(&self.0, MntFlags::MNT_DETACH);
    }
}

/// This program again, for one test.
pub fn again(test: &str, state: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args([test, "--exact", "--nocapture", "--test-threads=1"])
        .env(STATE, state);
    command
}

fn inside<F: Future<Output = ()>>(
    libvirt: Libvirt,
    test: &'static str,
    state: &Path,
    body: fn(World) -> F,
) {
    // The second process of a test is in the first one's namespaces already.
    let is_first = std::env::var_os(SECOND).is_none();
    if is_first {
        unshare(CloneFlags::CLONE_NEWNET).unwrap();
    }
    let on_system = libvirt != Libvirt::Embedded;
    let settings = Settings {
        pool: on_system.then(|| system::POOL.to_owned()),
        libvirt,
        ..Settings::new(state)
    };
    let _down = (is_first && on_system).then(|| system::Daemons::start(&settings));
    let hello = state.with_file_name("hello.elf");
    let world = World {
        settings,
        test,
        hello,
    };
    // Its threads come from this one, and are in its namespaces.
    tokio::runtime::Runtime::new()
        .unwrap()
        .block_on(body(world));
}

fn build_hello(to: &Path) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../unikernels/hello/build");
    let output = Command::new(script).arg(to).output().unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}
