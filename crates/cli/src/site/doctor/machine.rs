//! Ports, the clock, the disk, the memory.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::path::Path;
use std::time::{Duration, SystemTime};

use super::Check;
use crate::site::layout::Layout;
use crate::site::port;

const GIB: u64 = 1 << 30;

/// The first of the UDP ports that endpoints get.
const FIRST_ENDPOINT: u16 = 51_820;

pub fn checks() -> Vec<Check> {
    let state = Layout::of(None)
        .map(|layout| layout.root().to_owned())
        .unwrap_or_default();
    let meminfo = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let built = std::env::current_exe()
        .and_then(fs::metadata)
        .and_then(|m| m.modified())
        .ok();
    vec![
        tcp("HTTP port", 8080, "--listen"),
        tcp("components' port", 9090, "--listen-components"),
        endpoint(),
        address(port::own_address()),
        clock(SystemTime::now(), built),
        disk(&state, free(&state)),
        memory(available(&meminfo)),
    ]
}

fn tcp(name: &'static str, number: u16, option: &str) -> Check {
    match port::check(SocketAddr::from((Ipv4Addr::LOCALHOST, number))) {
        Ok(()) => Check::ok(name, format!("{number} is free")),
        Err(e) => Check::ok(
            name,
            format!("{e}; the next free one is taken, or yours with `{option}`"),
        ),
    }
}

fn endpoint() -> Check {
    const NAME: &str = "endpoints' ports";
    match UdpSocket::bind((Ipv4Addr::UNSPECIFIED, FIRST_ENDPOINT)) {
        Ok(_) => Check::ok(
            NAME,
            format!(
                "UDP from {FIRST_ENDPOINT} on, one a network; open them in front of this machine, if members are outside"
            ),
        ),
        Err(e) => Check::warn(
            NAME,
            format!("UDP {FIRST_ENDPOINT} cannot be used: {e}"),
            "another WireGuard may have it: `endpoint_ports` of rhyzome-linux says which ones to use",
        ),
    }
}

fn address(own: Option<IpAddr>) -> Check {
    const NAME: &str = "public address";
    match own {
        Some(ip) => Check::ok(
            NAME,
            format!("{ip}, unless `--public-address` says another one"),
        ),
        None => Check::warn(
            NAME,
            "this machine has no way out, so peers would be pointed at 127.0.0.1",
            "`rhyzome up --public-address HOST` says by what members reach it",
        ),
    }
}

/// Certificates need a clock that is about right: one before this program was built is wrong.
fn clock(now: SystemTime, built: Option<SystemTime>) -> Check {
    const NAME: &str = "clock";
    let slack = Duration::from_secs(24 * 3600);
    match built {
        Some(built) if now + slack < built => Check::fail(
            NAME,
            "it is earlier than when this program was made",
            "set it, and let systemd-timesyncd or chrony keep it: certificates depend on it",
        ),
        _ => Check::ok(NAME, "plausible"),
    }
}

fn disk(path: &Path, free: Option<u64>) -> Check {
    const NAME: &str = "disk";
    match free {
        None => Check::warn(
            NAME,
            "how much is free cannot be seen",
            "images and instances need some GiB",
        ),
        Some(free) if free < GIB => Check::fail(
            NAME,
            format!("{:.1} GiB are free for {}", gib(free), path.display()),
            "images and instances need more; `--state` says another place",
        ),
        Some(free) if free < 5 * GIB => Check::warn(
            NAME,
            format!("{:.1} GiB are free for {}", gib(free), path.display()),
            "enough for unikernels, scarce for virtual machines",
        ),
        Some(free) => Check::ok(
            NAME,
            format!("{:.0} GiB are free for {}", gib(free), path.display()),
        ),
    }
}

fn memory(available: Option<u64>) -> Check {
    const NAME: &str = "memory";
    match available {
        None => Check::warn(
            NAME,
            "how much is available cannot be seen",
            "look with `free -h`",
        ),
        Some(bytes) if bytes < GIB => Check::warn(
            NAME,
            format!("{:.1} GiB are available", gib(bytes)),
            "enough for a few unikernels",
        ),
        Some(bytes) => Check::ok(NAME, format!("{:.0} GiB are available", gib(bytes))),
    }
}

#[expect(clippy::cast_precision_loss, reason = "it is shown with two digits")]
fn gib(bytes: u64) -> f64 {
    bytes as f64 / GIB as f64
}

/// What is free where a path is, or will be.
fn free(path: &Path) -> Option<u64> {
    let there = path.ancestors().find(|path| path.exists())?;
    let stat = nix::sys::statvfs::statvfs(there).ok()?;
    Some(stat.blocks_available() * stat.fragment_size())
}

/// `MemAvailable`, proc_meminfo(5), in bytes.
fn available(meminfo: &str) -> Option<u64> {
    let line = meminfo
        .lines()
        .find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kib: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::site::doctor::Level;

    #[test]
    fn a_clock_from_before_this_program_was_made_is_wrong() {
        let built = SystemTime::now();
        assert_eq!(clock(built, Some(built)).level, Level::Ok);
        let past = built - Duration::from_secs(48 * 3600);
        assert_eq!(clock(past, Some(built)).level, Level::Fail);
    }

    #[test]
    fn scarce_room_is_said() {
        let level = |gib: u64| disk(Path::new("/x"), Some(gib * GIB)).level;
        assert_eq!(
            (level(0), level(2), level(100)),
            (Level::Fail, Level::Warn, Level::Ok)
        );
        assert_eq!(
            available("MemTotal: 9 kB\nMemAvailable:    2048 kB\n"),
            Some(2 << 20)
        );
        assert_eq!(memory(Some(GIB / 2)).level, Level::Warn);
    }
}
