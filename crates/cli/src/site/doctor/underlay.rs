//! The network between hosts, for networks that span them: where this host's tunnels would end, what
//! fits through them, and whether their port is free and open.
//!
//! Left out on purpose: asking other hosts. Whether they reach this one at that address only they know;
//! the core sees where a component's session comes from, and `rhyzome component show` compares.

use std::fs;
use std::net::{IpAddr, UdpSocket};
use std::process::{Command, Stdio};

use serde_json::Value;

use super::Check;
use super::firewall::{self, Dropping};

/// VXLAN's own port (RFC 7348), which `site.tunnel_port` changes.
const PORT: u16 = 4789;
/// VXLAN's header, Ethernet's and UDP's; IP's comes to it.
const AROUND: u64 = 8 + 14 + 8;
/// The smallest MTU that IPv6 allows (RFC 8200).
const LEAST: u64 = 1280;
/// What guests and members expect.
const USUAL: u64 = 1500;

pub fn checks() -> Vec<Check> {
    let links = links();
    let end = end();
    let mut checks = Vec::new();
    if let Some((address, how)) = &end {
        checks.push(mtu(*address, how, &links));
    }
    let taken = ["/proc/net/udp", "/proc/net/udp6"]
        .iter()
        .any(|path| has_port(&fs::read_to_string(path).unwrap_or_default(), PORT));
    checks.push(port(taken, &links));
    checks.push(open(firewall::dropping().as_ref()));
    checks
}

/// Where tunnels end, and how that is known: as a configuration says, or towards the core that was
/// joined, or on the way out. Nothing is sent.
fn end() -> Option<(IpAddr, String)> {
    for kind in ["libvirt", "linux"] {
        let path = format!("/etc/rhyzome/{kind}.toml");
        let text = fs::read_to_string(&path).unwrap_or_default();
        if let Some(address) = given(&text) {
            return Some((address, format!("as tunnel_address in {path} says")));
        }
    }
    for kind in ["libvirt", "linux"] {
        let path = format!("/var/lib/rhyzome/{kind}/identity/current/component.json");
        let text = fs::read_to_string(path).unwrap_or_default();
        if let Some(address) = core_of(&text).and_then(|core| own_address(&core)) {
            let how =
                "towards the core, which others may not reach it at: see `rhyzome component show`";
            return Some((address, how.to_owned()));
        }
    }
    // TEST-NET-1: routed like anything outside.
    let address = own_address("192.0.2.1:9").or_else(|| own_address("[2001:db8::1]:9"))?;
    Some((
        address,
        "on the way out; tunnel_address says another".to_owned(),
    ))
}

fn given(configuration: &str) -> Option<IpAddr> {
    let table: toml::Table = configuration.parse().ok()?;
    table.get("tunnel_address")?.as_str()?.parse().ok()
}

/// `HOST:PORT` of the core that a component has joined.
fn core_of(record: &str) -> Option<String> {
    let record: Value = serde_json::from_str(record).ok()?;
    let core = record["core"].as_str()?.strip_prefix("https://")?;
    Some(core.trim_end_matches('/').to_owned())
}

/// The address that packets to somewhere come from.
fn own_address(there: &str) -> Option<IpAddr> {
    use std::net::ToSocketAddrs as _;
    there.to_socket_addrs().ok()?.find_map(|there| {
        let any: IpAddr = if there.is_ipv4() {
            [0; 4].into()
        } else {
            [0; 16].into()
        };
        let socket = UdpSocket::bind((any, 0)).ok()?;
        socket.connect(there).ok()?;
        Some(socket.local_addr().ok()?.ip())
    })
}

/// All links with their addresses and kinds, as `ip` lists them.
fn links() -> Vec<Value> {
    let path = std::env::var("PATH").unwrap_or_default() + ":/usr/sbin:/sbin";
    let output = Command::new("/usr/bin/env")
        .arg(format!("PATH={path}"))
        .args(["ip", "-json", "-details", "address", "show"])
        .stdin(Stdio::null())
        .output();
    let output = output.map(|output| output.stdout).unwrap_or_default();
    serde_json::from_slice(&output).unwrap_or_default()
}

fn mtu(address: IpAddr, how: &str, links: &[Value]) -> Check {
    const NAME: &str = "tunnels between hosts end";
    if address.is_loopback() {
        return Check::ok(
            NAME,
            "nowhere: the core is on this machine; set tunnel_address if other hosts are to be reached",
        );
    }
    let is_on = |link: &&Value| {
        let addresses = link["addr_info"].as_array();
        addresses.is_some_and(|all| all.iter().any(|one| one["local"] == address.to_string()))
    };
    let Some(link) = links.iter().find(is_on) else {
        return Check::fail(
            NAME,
            format!("at {address} ({how}), which no link of this machine has"),
            "set tunnel_address to an address of this machine",
        );
    };
    let (name, mtu) = (
        link["ifname"].as_str().unwrap_or("?"),
        link["mtu"].as_u64().unwrap_or_default(),
    );
    let around = AROUND + if address.is_ipv4() { 20 } else { 40 };
    let fits = mtu.saturating_sub(around);
    let found =
        format!("at {address} on {name} ({how}), whose MTU of {mtu} leaves {fits} to a packet");
    if fits < LEAST {
        let advice = format!("an MTU of {} at least is needed there", LEAST + around);
        return Check::fail(NAME, found, advice);
    }
    let short = match fits < USUAL {
        true => format!(
            "; with an MTU of {} it would be the usual {USUAL}",
            USUAL + around
        ),
        false => String::new(),
    };
    Check::ok(NAME, found + &short)
}

/// Whether a port is taken, in the form of /proc/net/udp; the kernel's own tunnels are in it too.
fn has_port(table: &str, port: u16) -> bool {
    let end = format!(":{port:04X}");
    let local = |line: &str| {
        line.split_whitespace()
            .nth(1)
            .map(|local| local.ends_with(&end))
    };
    table.lines().skip(1).filter_map(local).any(|same| same)
}

fn port(taken: bool, links: &[Value]) -> Check {
    const NAME: &str = "tunnels' port";
    let vxlan = |link: &&Value| {
        let info = &link["linkinfo"];
        info["info_kind"] == "vxlan" && info["info_data"]["port"] == PORT
    };
    let names: Vec<&str> = links
        .iter()
        .filter(vxlan)
        .filter_map(|link| link["ifname"].as_str())
        .collect();
    match (taken, names.iter().find(|name| !name.starts_with("rz"))) {
        (true, Some(other)) => Check::warn(
            NAME,
            format!("UDP {PORT} is used by {other} too, which is another program's tunnel"),
            "numbers of networks could meet: `site.tunnel_port` of the core says another port, for all hosts",
        ),
        (true, None) if names.is_empty() => Check::fail(
            NAME,
            format!("UDP {PORT} is taken by a program"),
            "end that program, or set `site.tunnel_port` of the core to another port, for all hosts",
        ),
        (true, None) => Check::ok(NAME, format!("UDP {PORT} is used by networks' tunnels")),
        (false, _) => Check::ok(NAME, format!("UDP {PORT} is free")),
    }
}

/// As far as this machine knows: what is between hosts may drop it, too.
fn open(dropping: Option<&Dropping>) -> Check {
    const NAME: &str = "tunnels' port, from outside";
    match dropping {
        None => Check::warn(NAME, "cannot be seen", "`sudo rhyzome doctor` can"),
        Some(dropping) => match dropping.input_without(PORT) {
            Some(chain) => Check::warn(
                NAME,
                format!("{chain} drops what it does not know, and no rule there names UDP {PORT}"),
                format!("let UDP {PORT} in from the other hosts, and from nobody else"),
            ),
            None => Check::ok(NAME, "no rule on this machine is known to drop it"),
        },
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::site::doctor::Level;

    fn links(mtu: u64) -> Vec<Value> {
        vec![json!({"ifname": "eth0", "mtu": mtu, "addr_info": [
            {"local": "192.0.2.7"}, {"local": "2001:db8::7"}
        ]})]
    }

    #[test]
    fn the_tunnels_end_takes_its_part_of_the_mtu() {
        let check = |address: &str, mtu_of_link, level, part: &str| {
            let check = mtu(address.parse().unwrap(), "so", &links(mtu_of_link));
            let said = format!("{} {:?}", check.found, check.advice);
            assert_eq!(check.level, level, "{said}");
            assert!(said.contains(part), "{part:?} is not in {said}");
        };
        check("192.0.2.7", 1500, Level::Ok, "leaves 1450");
        check("192.0.2.7", 1500, Level::Ok, "an MTU of 1550");
        check("2001:db8::7", 1500, Level::Ok, "leaves 1430");
        check("2001:db8::7", 1570, Level::Ok, "leaves 1500 to a packet ");
        check("192.0.2.7", 1329, Level::Fail, "1330 at least");
        check("2001:db8::7", 1349, Level::Fail, "1350 at least");
        check("192.0.2.8", 1500, Level::Fail, "no link");
        check("127.0.0.1", 1500, Level::Ok, "nowhere");
    }

    #[test]
    fn whose_the_port_is_makes_the_difference() {
        let table = "  sl  local_address rem_address\n 1: 00000000:12B5 00000000:0000 07\n";
        assert!(has_port(table, PORT));
        assert!(!has_port(table, PORT + 1));
        let tunnel = |name: &str, port: u16| json!({"ifname": name, "linkinfo": {"info_kind": "vxlan", "info_data": {"port": port}}});
        assert_eq!(port(false, &[]).level, Level::Ok);
        assert_eq!(port(true, &[]).level, Level::Fail);
        assert_eq!(port(true, &[tunnel("rzv1", PORT)]).level, Level::Ok);
        assert_eq!(port(true, &[tunnel("flannel.1", PORT)]).level, Level::Warn);
        assert_eq!(port(true, &[tunnel("flannel.1", 8472)]).level, Level::Fail);
    }

    #[test]
    fn where_it_ends_is_read_from_what_the_component_has() {
        assert_eq!(
            given("tunnel_address = \"192.0.2.7\"\n"),
            "192.0.2.7".parse().ok()
        );
        assert_eq!(given("mtu = 1400\n"), None);
        let record = r#"{"core": "https://core.example:9090"}"#;
        assert_eq!(core_of(record).as_deref(), Some("core.example:9090"));
        assert_eq!(own_address("127.0.0.1:9"), "127.0.0.1".parse().ok());
    }
}
