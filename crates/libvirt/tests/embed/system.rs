//! A libvirtd for one test, as Debian has it on a host: QEMU runs as a user without rights. What it has in
//! `/etc`, `/run` and `/var` is in a mount namespace of the test's.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::unistd::Pid;
use rhyzome_libvirt::{Settings, down};

pub const URI: &str = "qemu:///system";
/// A pool of files.
pub const POOL: &str = "disks";
/// A pool of logical volumes.
pub const LVM: &str = "volumes";
/// A pool of ZFS volumes, where the host has ZFS.
const ZFS: &str = "zvols";
const TOOLS: [&str; 9] = [
    "vgchange", "vgscan", "vgs", "lvs", "lvcreate", "lvextend", "lvremove", "lvchange", "pvs",
];

/// What libvirtd has its own folders in, besides `/etc/libvirt`.
const OWN: [&str; 4] = ["/run", "/var/lib", "/var/log", "/var/cache"];

/// libvirtd and virtlogd, with the guests that are left, until this is dropped.
pub struct Daemons {
    settings: Settings,
    running: Vec<Child>,
    _group: Group,
}

impl Daemons {
    pub fn start(settings: &Settings) -> Self {
        unshare(CloneFlags::CLONE_NEWNS).unwrap();
        let none = None::<&str>;
        mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).unwrap();
        // Its own as a whole: on the host nothing is made to be mounted over.
        let host = folder_of(settings).join("run");
        fs::create_dir_all(&host).unwrap();
        let (bind, all) = (MsFlags::MS_BIND, MsFlags::MS_BIND | MsFlags::MS_REC);
        mount(Some("/run"), &host, none, all, none).unwrap();
        for folder in OWN {
            let (kind, open) = (Some("tmpfs"), Some("mode=755"));
            mount(kind, folder, kind, MsFlags::empty(), open).unwrap();
        }
        // What LVM needs of the host, where there is LVM.
        for folder in ["udev", "lvm", "lock"] {
            let (from, to) = (host.join(folder), Path::new("/run").join(folder));
            if from.exists() {
                fs::create_dir(&to).unwrap();
                mount(Some(&from), &to, none, bind, none).unwrap();
            }
        }
        let own = folder_of(settings).join("etc");
        fs::create_dir_all(&own).unwrap();
        mount(Some(&own), "/etc/libvirt", none, bind, none).unwrap();
        hide_kvm(settings);
        let running = ["virtlogd", "libvirtd"].map(daemon).into();
        wait_until("libvirtd and virtlogd run", || {
            ["virtlogd-sock", "libvirt-sock"]
                .iter()
                .all(|it| listens(it))
        });
        let pool = pool(settings);
        fs::create_dir_all(&pool).unwrap();
        fs::set_permissions(&pool, fs::Permissions::from_mode(0o711)).unwrap();
        virsh(&[
            "pool-define-as",
            POOL,
            "dir",
            "--target",
            pool.to_str().unwrap(),
        ]);
        let group = Group::make(settings);
        let (name, target) = (&group.name, group.devices());
        let target = target.to_str().unwrap();
        let source = ["--source-name", name, "--target", target];
        virsh(&[&["pool-define-as", LVM, "logical"], &source[..]].concat());
        if devices().contains(&ZFS) {
            let (file, dataset) = (folder_of(settings).join("tank"), format!("{name}/vms"));
            let made = fs::File::create(&file).unwrap();
            made.set_len(256 << 20).unwrap();
            let create = ["create", "-o", "cachefile=none", name];
            said("zpool", &[&create[..], &[file.to_str().unwrap()]].concat());
            said("zfs", &["create", &dataset]);
            virsh(&["pool-define-as", ZFS, "zfs", "--source-name", &dataset]);
        }
        let settings = settings.clone();
        Self {
            settings,
            running,
            _group: group,
        }
    }
}

impl Drop for Daemons {
    fn drop(&mut self) {
        let (failed, settings) = (std::thread::panicking(), self.settings.clone());
        let downed = std::thread::spawn(move || {
            let runtime = tokio::runtime::Runtime::new().unwrap();
            runtime.block_on(down::down(&settings, true)).unwrap();
        });
        let downed = downed.join();
        for daemon in self.running.iter_mut().rev() {
            daemon.kill().unwrap();
            daemon.wait().unwrap();
        }
        if !failed {
            downed.unwrap();
            assert_eq!(volumes(&self.settings), Vec::<PathBuf>::new());
        }
    }
}

/// A volume group: of LVM on a loop device, where kernel and tools have it; otherwise tools of the test's in
/// the place of LVM's make loop devices. All of it holds what somebody else left there.
struct Group {
    name: String,
    files: PathBuf,
    /// The loop device that LVM is on.
    real: Option<String>,
}

impl Group {
    fn make(settings: &Settings) -> Self {
        let host = folder_of(settings);
        let name = settings.state.parent().unwrap().file_name().unwrap();
        let mut group = Self {
            name: name.to_str().unwrap().to_owned(),
            files: host.join("volumes"),
            real: None,
        };
        fs::create_dir(&group.files).unwrap();
        let devices = fs::read_to_string("/proc/misc").unwrap();
        if devices.contains("device-mapper") && Path::new("/usr/sbin/lvcreate").exists() {
            let file = host.join("disk");
            fs::write(&file, vec![0xaa; 64 << 20]).unwrap();
            let device = said("losetup", &["--find", "--show", file.to_str().unwrap()]);
            said("vgcreate", &[&group.name, device.trim()]);
            group.real = Some(device.trim().to_owned());
        } else {
            fs::create_dir(group.devices()).unwrap();
            group.pretend(&host.join("tools"));
        }
        group
    }

    fn pretend(&self, tools: &Path) {
        fs::create_dir(tools).unwrap();
        let script = include_str!("fake-lvm")
            .replace("@VG@", &self.name)
            .replace("@FILES@", self.files.to_str().unwrap());
        for tool in TOOLS {
            let path = tools.join(tool);
            fs::write(&path, &script).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        }
        let layers = Some(format!("lowerdir={}:/usr/sbin", tools.display()));
        let kind = Some("overlay");
        mount(kind, "/usr/sbin", kind, MsFlags::empty(), layers.as_deref()).unwrap();
    }

    fn devices(&self) -> PathBuf {
        Path::new("/dev").join(&self.name)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if devices().contains(&ZFS) {
            said("zpool", &["destroy", &self.name]);
        }
        if let Some(device) = &self.real {
            said("vgremove", &["--force", &self.name]);
            said("losetup", &["--detach", device]);
            return;
        }
        let left = fs::read_dir(&self.files).unwrap().flatten();
        let left: Vec<_> = left.map(|file| file.path()).collect();
        for file in &left {
            let device = self.devices().join(file.file_name().unwrap());
            let detach = ["--detach", device.to_str().unwrap()];
            let _ = Command::new("losetup").args(detach).status();
        }
        fs::remove_dir_all(self.devices()).unwrap();
        if !std::thread::panicking() {
            assert_eq!(left, Vec::<PathBuf>::new(), "volumes are left");
        }
    }
}

/// Where the device is for root alone, libvirtd takes what it found out with root's rights for outdated at
/// each look, and takes ten seconds to find it out again. On a host, guests may open it.
fn hide_kvm(settings: &Settings) {
    if !Path::new("/dev/kvm").exists() {
        return;
    }
    let empty = folder_of(settings).join("no-kvm");
    fs::write(&empty, "").unwrap();
    fs::set_permissions(&empty, fs::Permissions::from_mode(0o000)).unwrap();
    let none = None::<&str>;
    mount(Some(&empty), "/dev/kvm", none, MsFlags::MS_BIND, none).unwrap();
    // Guests' own mount namespaces cannot take along a file in the place of a device.
    fs::write("/etc/libvirt/qemu.conf", "namespaces = []\n").unwrap();
}

/// Ends with the thread that started it.
fn daemon(name: &str) -> Child {
    Command::new("setpriv")
        .args(["--pdeathsig", "SIGKILL", name])
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

fn listens(socket: &str) -> bool {
    UnixStream::connect(Path::new("/run/libvirt").join(socket)).is_ok()
}

/// The libvirtd of this test, which is a child of this process.
pub fn libvirtd() -> Pid {
    let children = fs::read_dir("/proc/self/task").unwrap().flatten();
    let children = children.map(|task| fs::read_to_string(task.path().join("children")).unwrap());
    let children: Vec<String> = children.collect();
    let mut children = children.iter().flat_map(|line| line.split_whitespace());
    let is_one = |pid: &&str| {
        let command = fs::read_to_string(format!("/proc/{pid}/cmdline"));
        command.is_ok_and(|it| it.starts_with("libvirtd"))
    };
    let pid = children.find(is_one).expect("libvirtd runs");
    Pid::from_raw(pid.parse().unwrap())
}

pub fn wait_until_libvirtd_is_gone() {
    wait_until("libvirtd is gone", || !listens("libvirt-sock"));
}

/// Starts it again; it goes with this thread.
pub fn start_libvirtd() {
    drop(daemon("libvirtd"));
    wait_until("libvirtd runs", || listens("libvirt-sock"));
}

fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    let limit = Instant::now() + Duration::from_secs(30);
    while !is_so() {
        assert!(Instant::now() < limit, "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The pools in which a disk is a device.
pub fn devices() -> Vec<&'static str> {
    let has_zfs = Path::new("/dev/zfs").exists() && Path::new("/usr/sbin/zpool").exists();
    [LVM].into_iter().chain(has_zfs.then_some(ZFS)).collect()
}

pub fn virsh(arguments: &[&str]) -> String {
    said("virsh", &[&["-q", "-c", URI], arguments].concat())
}

/// libvirt sees only after a moment that a guest's process is gone.
pub fn wait_until_no_guest_runs() {
    wait_until("libvirt shows no guest", || {
        virsh(&["list", "--name"]).trim().is_empty()
    });
}

fn said(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments:?}: {said}");
    String::from_utf8(output.stdout).unwrap()
}

fn folder_of(settings: &Settings) -> PathBuf {
    settings.state.with_file_name("host")
}

/// Where the pool is.
pub fn pool(settings: &Settings) -> PathBuf {
    settings.state.with_file_name("pool")
}

/// The files in the pool.
pub fn volumes(settings: &Settings) -> Vec<PathBuf> {
    let entries = fs::read_dir(pool(settings)).unwrap().flatten();
    entries.map(|entry| entry.path()).collect()
}
