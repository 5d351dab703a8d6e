//! What the guest's kernel can do that the machine at hand may not.

use std::process::Command;

use crate::LAB;

/// Runs a command that has to succeed; gives what it wrote.
fn command(line: &str) -> String {
    let output = attempt(line);
    output.unwrap_or_else(|complaint| panic!("{line}: {complaint}"))
}

fn attempt(line: &str) -> Result<String, String> {
    let mut words = line.split_whitespace();
    let mut command = Command::new(words.next().unwrap());
    let output = command.args(words).output().unwrap();
    if output.status.success() {
        Ok(String::from_utf8(output.stdout).unwrap())
    } else {
        Err(String::from_utf8_lossy(&output.stderr).into_owned())
    }
}

fn pings(from: &str, to: &str) -> bool {
    attempt(&format!("ip netns exec {from} ping -c 1 -W 1 {to}")).is_ok()
}

/// A host, which is a namespace, with a link to a bridge that knows VLANs.
fn plug(name: &str) {
    command(&format!("ip netns add {name}"));
    command(&format!(
        "ip link add {name} type veth peer name trunk netns {name}"
    ));
    command(&format!("ip link set {name} master switch up"));
    command(&format!("ip -n {name} link set trunk up"));
}

/// Gives a host an address in a VLAN, tagged on its link.
fn tagged(host: &str, vlan: u16, address: &str) {
    command(&format!(
        "ip -n {host} link add link trunk name v{vlan} type vlan id {vlan}"
    ));
    command(&format!(
        "ip -n {host} address add {address}/24 dev v{vlan}"
    ));
    command(&format!("ip -n {host} link set v{vlan} up"));
}

/// Counts what a host gets with this source address in its frames, whatever the tag.
fn count(host: &str, mac: &str) {
    let rules = [
        "add table netdev seen".to_owned(),
        "add counter netdev seen frames".to_owned(),
        "add chain netdev seen arriving { type filter hook ingress device trunk priority 0 ; }"
            .to_owned(),
        format!("add rule netdev seen arriving ether saddr {mac} counter name frames"),
    ];
    for rule in rules {
        command(&format!("ip netns exec {host} nft {rule}"));
    }
}

fn counted(host: &str) -> u64 {
    let text = command(&format!(
        "ip netns exec {host} nft list counter netdev seen frames"
    ));
    let (_, rest) = text.split_once("packets ").unwrap();
    rest.split_whitespace().next().unwrap().parse().unwrap()
}

#[test]
fn two_vlans_on_one_trunk_are_apart_and_a_stranger_gets_into_neither() {
    LAB.run(|| {
        command(
            "ip link add switch type bridge vlan_filtering 1 vlan_default_pvid 0 forward_delay 0",
        );
        command("ip link set switch up");
        for host in ["one", "two", "stranger"] {
            plug(host);
        }
        for (host, last) in [("one", 1), ("two", 2)] {
            for vlan in [10, 20] {
                command(&format!("bridge vlan add dev {host} vid {vlan}"));
                tagged(host, vlan, &format!("10.0.{vlan}.{last}"));
            }
        }
        assert!(pings("one", "10.0.10.2") && pings("one", "10.0.20.2"));
        // On the same trunk, with the address but not the tag of the other.
        command("ip -n two address add 10.0.10.3/24 dev v20");
        command("ip -n two address del 10.0.10.2/24 dev v10");
        command("ip netns exec two sysctl -q -w net.ipv4.conf.all.arp_ignore=1");
        assert!(!pings("one", "10.0.10.3"));

        let mac = "02:00:00:00:00:99";
        command(&format!("ip -n stranger link set trunk address {mac}"));
        command("ip -n stranger address add 10.0.10.9/24 dev trunk");
        tagged("stranger", 10, "10.0.20.9");
        count("one", mac);
        assert!(!pings("stranger", "10.0.10.1") && !pings("stranger", "10.0.20.1"));
        assert_eq!(counted("one"), 0);
        // The same frames do arrive where the stranger is none.
        command("bridge vlan add dev stranger vid 10");
        assert!(!pings("stranger", "10.0.20.1"));
        assert!(counted("one") > 0);
    });
}

#[test]
fn the_kernel_has_wireguard() {
    LAB.run(|| {
        let key = |name: &str| {
            let private = command("wg genkey");
            std::fs::write(format!("/tmp/{name}"), &private).unwrap();
            let public = format!("wg pubkey </tmp/{name}");
            let output = Command::new("sh").args(["-c", &public]).output().unwrap();
            String::from_utf8(output.stdout).unwrap().trim().to_owned()
        };
        command("ip netns add near");
        command("ip netns add far");
        command("ip -n near link add wire type veth peer name wire netns far");
        let ends = [("near", 1, key("near")), ("far", 2, key("far"))];
        for (host, number, _) in &ends {
            command(&format!(
                "ip -n {host} address add 192.0.2.{number}/24 dev wire"
            ));
            command(&format!("ip -n {host} link set wire up"));
            command(&format!("ip -n {host} link add wg0 type wireguard"));
            command(&format!(
                "ip -n {host} address add 10.9.0.{number}/24 dev wg0"
            ));
            let (_, other, peer) = &ends[2 - *number];
            command(&format!(
                "ip netns exec {host} wg set wg0 private-key /tmp/{host} listen-port 51820 \
                 peer {peer} endpoint 192.0.2.{other}:51820 allowed-ips 10.9.0.{other}/32"
            ));
            command(&format!("ip -n {host} link set wg0 up"));
        }
        assert!(pings("near", "10.9.0.2"));
        let kind = command("ip -n near -details link show wg0");
        assert!(kind.contains("wireguard"), "{kind}");
        // Taken out of the live interface, a peer is out at once.
        command(&format!(
            "ip netns exec far wg set wg0 peer {} remove",
            ends[0].2
        ));
        assert!(!pings("near", "10.9.0.2"));
    });
}
