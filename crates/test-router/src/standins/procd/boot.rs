//! From nothing to a router whose init scripts have run.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::mount::{MsFlags, mount};
use nix::sys::statvfs::{FsFlags, statvfs};
use nix::unistd::sethostname;

use super::Services;

/// What `init` mounts, where nothing is mounted yet: where, and the type.
const MOUNTS: [(&str, &str); 4] = [
    ("/proc", "proc"),
    ("/sys", "sysfs"),
    ("/dev", "devtmpfs"),
    ("/tmp", "tmpfs"),
];

const FOLDERS: [&str; 6] = [
    "/tmp/run",
    "/tmp/lock",
    "/tmp/log",
    "/tmp/etc",
    "/tmp/lib",
    "/tmp/run/ubus",
];

/// It is there when all scripts have run.
const BOOTED: &str = "/tmp/booted";

/// What a router's `sysctl.conf` says; and addresses are there at once, and frames inside a bridge are not the
/// business of IP's filters.
const SETTINGS: [(&str, &str); 6] = [
    ("net/ipv4/ip_forward", "1"),
    ("net/ipv6/conf/all/forwarding", "1"),
    ("net/ipv6/conf/default/forwarding", "1"),
    ("net/ipv6/conf/default/accept_dad", "0"),
    ("net/bridge/bridge-nf-call-iptables", "0"),
    ("net/bridge/bridge-nf-call-ip6tables", "0"),
];

pub fn mount_all() {
    // A kernel that starts this mounts the root read-only unless it is told otherwise.
    let read_only = statvfs("/").is_ok_and(|root| root.flags().contains(FsFlags::ST_RDONLY));
    if read_only {
        let flags = MsFlags::MS_REMOUNT | MsFlags::MS_NOATIME;
        if let Err(error) = mount(None::<&str>, "/", None::<&str>, flags, None::<&str>) {
            eprintln!("init: the root stays read-only: {error}");
        }
    }
    for (path, kind) in MOUNTS {
        // Of what is mounted already, there is something in it.
        let there = fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_some());
        if !there {
            let mounted = mount(Some(kind), path, Some(kind), MsFlags::empty(), None::<&str>);
            if let Err(error) = mounted {
                eprintln!("init: cannot mount {path}: {error}");
            }
        }
    }
    for folder in FOLDERS {
        if let Err(error) = fs::create_dir_all(folder) {
            eprintln!("init: cannot make {folder}: {error}");
        }
    }
    for (key, value) in SETTINGS {
        // Where the kernel has none of it, there is nothing to set.
        let _ = fs::write(format!("/proc/sys/{key}"), value);
    }
    let _ = sethostname("OpenWrt");
    let _ = fs::write("/tmp/resolv.conf", "nameserver 127.0.0.1\n");
}

/// Of `/etc/openwrt_release`.
pub fn release() -> String {
    let text = fs::read_to_string("/etc/openwrt_release").unwrap_or_default();
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("DISTRIB_RELEASE="));
    line.unwrap_or_default().trim_matches('\'').to_owned()
}

/// Runs the defaults of a first start, then each script in its order.
pub fn run_scripts(services: &Services) {
    for script in sorted("/etc/uci-defaults") {
        let status = services.run(Command::new("/bin/sh").arg(&script));
        if status == Some(0) {
            let _ = fs::remove_file(script);
        }
    }
    for script in sorted("/etc/rc.d") {
        let name = script.file_name().unwrap_or_default().to_string_lossy();
        if name.starts_with('S') {
            services.run(Command::new(&script).arg("boot").stdin(Stdio::null()));
        }
    }
    super::reload_config();
    if let Err(error) = fs::write(BOOTED, "") {
        eprintln!("init: cannot write {BOOTED}: {error}");
    }
    println!("procd: - init complete -");
}

fn sorted(folder: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(Path::new(folder)).into_iter().flatten();
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    paths
}
