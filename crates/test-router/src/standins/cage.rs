//! `cage FOLDER`: makes a router's namespaces, mounts its image in them, and starts its `init` when it is told to.
//! All ends when its input does.

use std::fs;
use std::io::Write;
use std::os::unix::fs::symlink;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::sync::mpsc::channel;

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::{Signal, kill};
use nix::sys::stat::{Mode, SFlag, makedev, mknod};
use nix::unistd::{Pid, chdir, pivot_root};

use rhyzome_test_router::FAULTS;

/// The journal is written when somebody asks for it and not every five seconds, and a rename does not write out
/// what is renamed: what was not synced is not there after a loss of power.
const OPTIONS: &str = "loop,noatime,commit=600,noauto_da_alloc";

/// Character devices: name, major, minor.
const DEVICES: [(&str, u64, u64); 7] = [
    ("null", 1, 3),
    ("zero", 1, 5),
    ("full", 1, 7),
    ("random", 1, 8),
    ("urandom", 1, 9),
    ("tty", 5, 0),
    ("kmsg", 1, 11),
];

pub fn run(words: &[String]) -> ExitCode {
    let folder = PathBuf::from(words.first().expect("a folder"));
    let device = prepare(&folder);
    say(&format!("ready {}", device.display()));
    let mut order = String::new();
    let _ = std::io::stdin().read_line(&mut order);
    if order.trim() != "boot" {
        return ExitCode::FAILURE;
    }
    // A process whose children are in another process namespace can have no more threads.
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        for _line in std::io::stdin().lines() {}
        // With its first process, all of a process namespace ends.
        if let Ok(pid) = receiver.recv() {
            let _ = kill(pid, Signal::SIGKILL);
        }
    });
    unshare(CloneFlags::CLONE_NEWPID).expect("tests run as root");
    let mut command = Command::new("/sbin/init");
    command
        .env_clear()
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    // SAFETY: between fork and exec, one system call is made.
    unsafe {
        // Also where this process ends before it can.
        command.pre_exec(|| Ok(set_pdeathsig(Signal::SIGKILL)?));
    }
    let mut init = command.spawn().expect("the image has an init");
    let pid = Pid::from_raw(init.id().cast_signed());
    say(&format!("init {pid}"));
    let _ = sender.send(pid);
    let _ = init.wait();
    ExitCode::SUCCESS
}

fn say(line: &str) {
    println!("{line}");
    std::io::stdout().flush().expect("the test reads");
}

/// Into new namespaces, with the image as the root. Returns its block device.
fn prepare(folder: &Path) -> PathBuf {
    let flags = CloneFlags::CLONE_NEWNS
        | CloneFlags::CLONE_NEWNET
        | CloneFlags::CLONE_NEWUTS
        | CloneFlags::CLONE_NEWIPC;
    unshare(flags).expect("tests run as root");
    bind(None, "/", MsFlags::MS_REC | MsFlags::MS_PRIVATE);
    let root = folder.join("root");
    let status = Command::new("mount")
        .args(["-t", "ext4", "-o", OPTIONS])
        .args([&folder.join("image"), &root])
        .status()
        .expect("mount is there: scripts/install-packages --test");
    assert!(status.success(), "the image cannot be mounted");
    let device = device_of(&root);
    let inside = |path: &str| root.join(path.trim_start_matches('/'));
    bind(
        Some(&folder.join("faults")),
        inside(FAULTS),
        MsFlags::MS_BIND,
    );
    make_devices(&inside("dev"));
    chdir(&root).expect("it is a folder");
    pivot_root(".", ".").expect("it is a mount");
    umount2(".", MntFlags::MNT_DETACH).expect("it is mounted");
    device
}

fn bind(from: Option<&Path>, to: impl AsRef<Path>, flags: MsFlags) {
    mount(from, to.as_ref(), None::<&str>, flags, None::<&str>).expect("the namespace is ours");
}

fn device_of(root: &Path) -> PathBuf {
    let mounts = fs::read_to_string("/proc/self/mounts").expect("there is /proc");
    let root = root.to_string_lossy();
    let mut lines = mounts.lines().map(|line| line.split(' '));
    let found = lines.find_map(|mut words| {
        let device = words.next()?;
        (words.next()? == root).then(|| PathBuf::from(device))
    });
    found.expect("it was mounted")
}

fn make_devices(folder: &Path) {
    mount(
        Some("dev"),
        folder,
        Some("tmpfs"),
        MsFlags::empty(),
        Some("mode=755,size=1m"),
    )
    .expect("the namespace is ours");
    fs::create_dir(folder.join("net")).expect("it is empty");
    let tun = [("net/tun", 10, 200)];
    for (name, major, minor) in DEVICES.into_iter().chain(tun) {
        let mode = Mode::from_bits_truncate(0o666);
        mknod(
            &folder.join(name),
            SFlag::S_IFCHR,
            mode,
            makedev(major, minor),
        )
        .expect("the folder is ours");
    }
    for (name, target) in [
        ("fd", "/proc/self/fd"),
        ("stdin", "fd/0"),
        ("stdout", "fd/1"),
        ("stderr", "fd/2"),
    ] {
        symlink(target, folder.join(name)).expect("it is empty");
    }
}
