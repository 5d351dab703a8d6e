//! The userland as a folder: programs of this machine with the libraries that they need, the stand-ins and their
//! names, and what else a root has to have.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use crate::router::cage;

/// Where this machine has a program, and where OpenWrt has it.
const PROGRAMS: [(&str, &str); 7] = [
    ("dnsmasq", "usr/sbin/dnsmasq"),
    ("nft", "usr/sbin/nft"),
    ("wg", "usr/bin/wg"),
    ("wireguard-go", "usr/bin/wireguard-go"),
    ("ip", "sbin/ip"),
    ("bridge", "sbin/bridge"),
    ("busybox", "bin/busybox"),
];

/// What starts a router, besides.
const STARTERS: [&str; 4] = ["mke2fs", "mount", "bash", "ldd"];

/// What init scripts of others begin with.
const RC_COMMON: &str = include_str!("rc.common");

/// Where the program with the stand-ins is.
const STANDINS: &str = "usr/libexec/standins";

/// The names that it has.
const NAMES: [&str; 17] = [
    "sbin/init",
    "sbin/procd",
    "sbin/netifd",
    "sbin/rpcd",
    "sbin/logd",
    "sbin/logread",
    "sbin/fw4",
    "sbin/ifup",
    "sbin/ifdown",
    "sbin/ifstatus",
    "sbin/reload_config",
    "bin/ubus",
    "usr/bin/logger",
    "sbin/procd-service",
    "usr/libexec/dhcp-script",
    "etc/init.d/boot",
    "etc/init.d/log",
];

/// Init scripts, and where in the order of a start they are.
const SCRIPTS: [(&str, u32); 7] = [
    ("boot", 10),
    ("log", 12),
    ("rpcd", 12),
    ("dnsmasq", 19),
    ("firewall", 19),
    ("network", 20),
    ("done", 95),
];

/// Names that busybox has, of those that OpenWrt's has.
const APPLETS: [&str; 54] = [
    "ash",
    "awk",
    "basename",
    "cat",
    "chmod",
    "chown",
    "cp",
    "cut",
    "date",
    "dd",
    "df",
    "dirname",
    "echo",
    "env",
    "false",
    "find",
    "grep",
    "head",
    "hostname",
    "insmod",
    "kill",
    "ln",
    "ls",
    "lsmod",
    "md5sum",
    "mkdir",
    "mktemp",
    "mount",
    "mv",
    "nc",
    "ping",
    "poweroff",
    "ps",
    "pwd",
    "readlink",
    "reboot",
    "rm",
    "rmdir",
    "sed",
    "sh",
    "sha256sum",
    "sleep",
    "sort",
    "stat",
    "sync",
    "tail",
    "test",
    "touch",
    "tr",
    "true",
    "udhcpc",
    "umount",
    "uname",
    "wc",
];

const FOLDERS: [&str; 16] = [
    "bin",
    "dev",
    "etc/config",
    "etc/init.d",
    "etc/rc.d",
    "etc/uci-defaults",
    "etc/nftables.d",
    "lib",
    "mnt",
    "proc",
    "root",
    "sbin",
    "standins",
    "sys",
    "tmp",
    "usr/libexec",
];

const FILES: [(&str, &str); 5] = [
    (
        "etc/passwd",
        "root:x:0:0:root:/root:/bin/ash\ndnsmasq:*:453:453:dnsmasq:/var/run/dnsmasq:/bin/false\nnobody:*:65534:65534:nobody:/var:/bin/false\n",
    ),
    ("etc/group", "root:x:0:\ndnsmasq:x:453:\nnogroup:x:65534:\n"),
    ("etc/hosts", "127.0.0.1 localhost\n::1 localhost\n"),
    (
        "etc/protocols",
        "icmp 1 ICMP\ntcp 6 TCP\nudp 17 UDP\nipv6-icmp 58 IPv6-ICMP\n",
    ),
    ("etc/shells", "/bin/ash\n"),
];

/// All programs of this machine that a router is made of and started by.
pub fn needs() -> Vec<PathBuf> {
    let made_of = programs().iter().map(|(from, _)| from.clone());
    made_of.chain(STARTERS.map(find)).collect()
}

/// Puts it together.
pub fn make(root: &Path) {
    for folder in FOLDERS {
        create(&root.join(folder));
    }
    link("tmp", &root.join("var"));
    link("/tmp/resolv.conf", &root.join("etc/resolv.conf"));
    for (path, text) in FILES {
        fs::write(root.join(path), text).expect("there is room for temporary files");
    }
    let mut libraries = BTreeSet::new();
    for (from, to) in programs() {
        copy(from, &root.join(to));
        libraries.extend(needed_by(from));
    }
    for library in libraries {
        copy(
            library,
            &root.join(library.strip_prefix("/").unwrap_or(library)),
        );
    }
    for name in NAMES {
        link(&format!("/{STANDINS}"), &root.join(name));
    }
    for (script, number) in SCRIPTS {
        let path = root.join("etc/init.d").join(script);
        if !path.is_symlink() {
            link(&format!("/{STANDINS}"), &path);
        }
        let start = root.join(format!("etc/rc.d/S{number}{script}"));
        link(&format!("../init.d/{script}"), &start);
    }
    let rc_common = format!("#!/bin/sh\n{RC_COMMON}");
    fs::write(root.join("etc/rc.common"), rc_common).expect("there is room for temporary files");
    let executable = fs::Permissions::from_mode(0o755);
    fs::set_permissions(root.join("etc/rc.common"), executable).expect("the file is ours");
    // By this name, the kernel asks for its modules.
    link("/bin/busybox", &root.join("sbin/modprobe"));
    for applet in APPLETS {
        link("busybox", &root.join("bin").join(applet));
    }
}

/// As an image without LuCI may be.
pub fn without_rpcd(root: &Path) {
    for path in ["sbin/rpcd", "etc/init.d/rpcd", "etc/rc.d/S12rpcd"] {
        fs::remove_file(root.join(path)).expect("it was made above");
    }
}

/// What is copied, from and to where.
fn programs() -> &'static [(PathBuf, &'static str)] {
    static PROGRAMS_HERE: OnceLock<Vec<(PathBuf, &str)>> = OnceLock::new();
    PROGRAMS_HERE.get_or_init(|| {
        let mut found: Vec<(PathBuf, &str)> = PROGRAMS
            .iter()
            .map(|(name, to)| (find(name), *to))
            .collect();
        found.push((cage::program(), STANDINS));
        found.push((rhyzome_uci_reference::program().to_owned(), "sbin/uci"));
        found
    })
}

fn find(name: &str) -> PathBuf {
    let folders = ["/usr/sbin", "/usr/bin", "/sbin", "/bin"];
    let mut paths = folders.iter().map(|folder| Path::new(folder).join(name));
    let found = paths.find(|path| path.exists());
    found.unwrap_or_else(|| panic!("{name} is missing: scripts/install-packages --test"))
}

/// The libraries that a program needs, with the loader.
fn needed_by(program: &Path) -> impl Iterator<Item = &'static Path> {
    static NEEDED: OnceLock<Vec<(PathBuf, Vec<PathBuf>)>> = OnceLock::new();
    let all = NEEDED.get_or_init(|| {
        let programs = programs().iter();
        let needed = programs.map(|(program, _)| (program.clone(), ask(program)));
        needed.collect()
    });
    let found = all.iter().find(|(path, _)| path == program);
    let found = found.map_or(&[][..], |(_, needed)| needed);
    found.iter().map(PathBuf::as_path)
}

/// Nothing for what is linked statically.
fn ask(program: &Path) -> Vec<PathBuf> {
    let output = Command::new("ldd").arg(program).output();
    let output = output.expect("libc's ldd is there");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let words = text.split_whitespace();
    words
        .filter(|word| word.starts_with('/') && !word.ends_with(':'))
        .map(PathBuf::from)
        .collect()
}

fn create(folder: &Path) {
    fs::create_dir_all(folder).expect("there is room for temporary files");
}

fn copy(from: &Path, to: &Path) {
    create(to.parent().expect("a file is in a folder"));
    fs::copy(from, to).unwrap_or_else(|error| panic!("{}: {error}", from.display()));
}

fn link(target: &str, path: &Path) {
    symlink(target, path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
}
