//! WireGuard: the kernel's where it has it, else wireguard-go.
//!
//! One bad key or prefix fails the whole interface. A peer without a key is passed over.

use std::fmt::Write;
use std::fs;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::super::config::{Options, Section, Value};
use super::super::log::say;
use super::super::{has, shell};
use super::kernel;
use rhyzome_test_router::Fault;

/// How long wireguard-go may take to have a device, and to end once it has none.
const BOUND: Duration = Duration::from_secs(10);

/// Makes the device with all its peers. Returns whether all of it was taken.
pub fn make(section: &mut Section, peers: &[Section]) -> bool {
    if section.one("private_key") == Some("generate") {
        generate(section);
    }
    let section = &*section;
    let name = &section.name;
    kernel::delete(name);
    if has(Fault::WireguardFails) || !kernel::is_name(name) || !make_device(name) {
        return false;
    }
    if let Some(mtu) = section.one("mtu") {
        kernel::ip(&format!("link set {name} mtu {mtu}"));
    }
    let made = set(name, "setconf", &configuration(section, peers));
    if !made {
        kernel::delete(name);
    }
    made
}

/// Writes a key in the place of the word, and with that whatever anybody has left uncommitted, as the real script does.
fn generate(section: &mut Section) {
    let output = shell::words("wg genkey");
    let key = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    shell::words(&format!(
        "uci set network.{}.private_key={key}",
        section.name
    ));
    shell::words("uci commit network");
    for (option, value) in &mut section.options {
        if option == "private_key" {
            *value = Value::One(key.clone());
        }
    }
}

/// Makes the peers of a device those that are said, without disturbing the others.
pub fn renew(section: &Section, peers: &[Section]) -> bool {
    set(&section.name, "syncconf", &configuration(section, peers))
}

fn set(name: &str, how: &str, text: &str) -> bool {
    let path = format!("/tmp/wireguard.{name}");
    let written = fs::write(&path, text);
    let output = shell::words(&format!("wg {how} {name} {path}"));
    let _ = fs::remove_file(path);
    if !output.status.success() {
        let errors = String::from_utf8_lossy(&output.stderr);
        say(
            "netifd",
            &format!("Interface '{name}' setup failed: {}", errors.trim()),
        );
    }
    written.is_ok() && output.status.success()
}

/// The wireguard-go of a device that was there before ends a little later than its device, and removes the socket by
/// its name: the next one's, if that is there by then, which ends with its socket. So this waits until nobody answers.
fn make_device(name: &str) -> bool {
    if shell::succeeds(&format!("ip link add dev {name} type wireguard")) {
        return true;
    }
    let socket = format!("/var/run/wireguard/{name}.sock");
    if !until(|| UnixStream::connect(&socket).is_err()) {
        return false;
    }
    let _ = fs::remove_file(&socket);
    let started = Command::new("wireguard-go")
        .args(["-f", name])
        .env("WG_PROCESS_FOREGROUND", "1")
        .env("LOG_LEVEL", "error")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let Ok(mut child) = started else { return false };
    std::thread::spawn(move || child.wait());
    until(|| Path::new(&socket).exists())
}

/// Waits until something is so. Returns whether it is.
fn until(is_so: impl Fn() -> bool) -> bool {
    let begin = Instant::now();
    while !is_so() {
        if begin.elapsed() > BOUND {
            return false;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    true
}

/// As `wg setconf` takes it.
fn configuration(section: &Section, peers: &[Section]) -> String {
    let mut text = String::from("[Interface]\n");
    add(
        &mut text,
        section,
        &[
            ("private_key", "PrivateKey"),
            ("listen_port", "ListenPort"),
            ("fwmark", "FwMark"),
        ],
    );
    for peer in peers.iter().filter(|peer| is_there(peer)) {
        text.push_str("[Peer]\n");
        add(
            &mut text,
            peer,
            &[
                ("public_key", "PublicKey"),
                ("preshared_key", "PresharedKey"),
                ("persistent_keepalive", "PersistentKeepalive"),
            ],
        );
        for prefix in peer.list("allowed_ips") {
            let _ = writeln!(text, "AllowedIPs = {prefix}");
        }
        if let Some(host) = peer.one("endpoint_host") {
            let port = peer.one("endpoint_port").unwrap_or("51820");
            let _ = writeln!(text, "Endpoint = {host}:{port}");
        }
    }
    text
}

fn add(text: &mut String, section: &Section, keys: &[(&str, &str)]) {
    for (option, key) in keys {
        if let Some(value) = section.one(option) {
            let _ = writeln!(text, "{key} = {value}");
        }
    }
}

fn is_there(peer: &Section) -> bool {
    peer.one("public_key").is_some() && !peer.flag("disabled", false)
}

/// The prefixes that are routed to the device: none, unless a peer says so.
pub fn routes(peers: &[Section]) -> Vec<&str> {
    let routed = peers
        .iter()
        .filter(|peer| is_there(peer) && peer.flag("route_allowed_ips", false));
    routed.flat_map(|peer| peer.list("allowed_ips")).collect()
}
