//! What networks need of the kernel, and of this process.
//!
//! What the kernel can do is tried in a network namespace that is gone a moment later, where this may be
//! done; nothing of the host's own is touched.

use std::fs;
use std::process::{Command, Stdio};

use super::Check;
use super::virtualization::version_of;
use crate::site::join::has_tool;

/// `CAP_NET_ADMIN` and `CAP_SYS_ADMIN`, capabilities(7).
const NET_ADMIN: u32 = 12;
const SYS_ADMIN: u32 = 21;

pub fn checks() -> Vec<Check> {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let permissions = permissions(nix::unistd::geteuid().is_root(), capabilities(&status));
    let may_try = permissions.level == super::Level::Ok;
    let mut checks = vec![permissions];
    checks.extend([
        tool("nft", "nftables"),
        tool("dnsmasq", "dnsmasq-base"),
        tool("ip", "iproute2"),
    ]);
    checks.push(tun());
    if may_try && has_tool("unshare") && has_tool("ip") && has_tool("nft") {
        checks.push(tried(
            "network namespaces",
            "true",
            "a kernel with CONFIG_NET_NS is needed",
        ));
        checks.push(tried(
            "bridge and veth",
            "ip link add rzb type bridge && ip link add rza type veth peer name rzc && ip link set rza master rzb",
            "a kernel with CONFIG_BRIDGE and CONFIG_VETH is needed; `modprobe bridge veth` loads them",
        ));
        checks.push(tried(
            "nftables",
            "nft add table inet rz && nft add chain inet rz c '{ type nat hook postrouting priority 100; }' \
             && nft add rule inet rz c masquerade",
            "a kernel with CONFIG_NF_TABLES_INET and CONFIG_NFT_MASQ is needed",
        ));
        checks.push(tried(
            "nftables on bridges",
            "nft add table bridge rz && nft add chain bridge rz c '{ type filter hook forward priority 0; policy drop; }' \
             && nft add set bridge rz s '{ typeof iifname . ether saddr . ip saddr; }'",
            "a kernel with CONFIG_NF_TABLES_BRIDGE is needed: without it, instances could lie about who they are",
        ));
        checks.push(tried(
            "tunnels between hosts",
            "ip link add rzb type bridge && ip link add rzv type vxlan id 5000 dstport 4789 nolearning \
             local 127.0.0.1 && ip link set rzv master rzb && ip link set rzv type bridge_slave learning off",
            "a kernel with CONFIG_VXLAN is needed for networks that span hosts; `modprobe vxlan` loads it",
        ));
        checks.push(wireguard(
            in_namespace("ip link add rzw type wireguard").is_ok(),
        ));
    }
    checks
}

fn permissions(root: bool, capabilities: u64) -> Check {
    const NAME: &str = "permissions";
    let has = |capability: u32| capabilities & (1 << capability) != 0;
    match (root, has(NET_ADMIN) && has(SYS_ADMIN)) {
        (true, true) => Check::ok(NAME, "root, with the capabilities that networks need"),
        (true, false) => Check::fail(
            NAME,
            "root, but without CAP_NET_ADMIN or CAP_SYS_ADMIN, as in a container",
            "give the container these capabilities, or use the machine itself",
        ),
        (false, _) => Check::warn(
            NAME,
            "not root: what the kernel can do is not tried",
            "`sudo rhyzome doctor` looks closer; a site needs root, its members do not",
        ),
    }
}

/// The effective ones, out of proc_pid_status(5).
fn capabilities(status: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    line.and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok())
        .unwrap_or_default()
}

fn tool(tool: &'static str, package: &str) -> Check {
    let option = if tool == "ip" { "-V" } else { "--version" };
    match version_of(tool, option) {
        Some(version) => Check::ok(tool, version),
        None => Check::fail(
            tool,
            "is missing",
            format!("install the package {package}; `scripts/install-packages` does so"),
        ),
    }
}

fn tun() -> Check {
    const NAME: &str = "/dev/net/tun";
    match fs::OpenOptions::new().read(true).write(true).open(NAME) {
        Ok(_) => Check::ok(NAME, "opens"),
        Err(e) => Check::fail(
            NAME,
            format!("cannot be used: {e}"),
            "`modprobe tun`; in a container, pass the device in: instances' interfaces are made with it",
        ),
    }
}

fn tried(name: &'static str, script: &str, advice: &str) -> Check {
    match in_namespace(script) {
        Ok(()) => Check::ok(name, "work"),
        Err(why) => Check::fail(name, format!("do not work: {why}"), advice),
    }
}

fn wireguard(kernel: bool) -> Check {
    const NAME: &str = "WireGuard";
    if kernel {
        Check::ok(NAME, "in the kernel")
    } else {
        Check::ok(
            NAME,
            "not in the kernel: endpoints run in userspace, which needs nothing else",
        )
    }
}

/// Runs a script in a network namespace of its own, which ends with it.
fn in_namespace(script: &str) -> Result<(), String> {
    let output = Command::new("unshare")
        .args(["--net", "--", "sh", "-ec", script])
        .env(
            "PATH",
            std::env::var("PATH").unwrap_or_default() + ":/usr/sbin:/sbin",
        )
        .stdin(Stdio::null())
        .output()
        .map_err(|e| e.to_string())?;
    if output.status.success() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&output.stderr);
    Err(text
        .lines()
        .next()
        .unwrap_or("it failed without a word")
        .trim()
        .to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::site::doctor::Level;

    #[test]
    fn root_without_capabilities_is_not_enough() {
        let all = capabilities("Name:\tx\nCapEff:\t000001ffffffffff\n");
        assert_eq!(permissions(true, all).level, Level::Ok);
        let few = capabilities("CapEff:\t00000000a80425fb\n");
        assert_eq!(permissions(true, few).level, Level::Fail);
        assert_eq!(permissions(false, 0).level, Level::Warn);
    }
}
