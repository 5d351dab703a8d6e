//! The protocol `dhcp`, by busybox' client: an address is asked for once, and kept.

use std::fs;
use std::process::ExitCode;

use super::super::shell;

/// What the client runs when it has an answer.
const SCRIPT: &str = "/usr/libexec/dhcp-script";

/// What a server gave.
pub struct Lease {
    pub address: String,
    pub netmask: Option<String>,
    pub gateway: Option<String>,
}

/// Asks for some seconds.
pub fn ask(device: &str) -> Option<Lease> {
    let path = path(device);
    let _ = fs::remove_file(&path);
    shell::words(&format!("ip link set {device} up"));
    shell::words(&format!(
        "/bin/busybox udhcpc -i {device} -s {SCRIPT} -q -n -f -t 3 -T 1"
    ));
    let text = fs::read_to_string(path).ok()?;
    let one = |key: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(key));
        line.filter(|value| !value.is_empty()).map(str::to_owned)
    };
    Some(Lease {
        address: one("ip=")?,
        netmask: one("subnet="),
        gateway: one("router="),
    })
}

/// As the client's script: writes down what it is told in its environment.
pub fn write_lease() -> ExitCode {
    let value = |key: &str| std::env::var(key).unwrap_or_default();
    let gateway = value("router");
    let gateway = gateway.split(' ').next().unwrap_or_default();
    let text = format!(
        "ip={}\nsubnet={}\nrouter={gateway}\n",
        value("ip"),
        value("subnet")
    );
    if !value("ip").is_empty() {
        let names = value("dns");
        let servers = names
            .split_whitespace()
            .map(|server| format!("nameserver {server}\n"));
        let _ = fs::write("/tmp/resolv.conf", servers.collect::<String>());
        let _ = fs::write(path(&value("interface")), text);
    }
    ExitCode::SUCCESS
}

fn path(device: &str) -> String {
    format!("/tmp/run/lease.{device}")
}
