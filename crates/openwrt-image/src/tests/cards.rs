//! The script that names network cards, run on cards of a network namespace. Needs root.

use std::process::Command;

/// OpenWrt's functions for reading its configuration, as far as the script calls them; `$1_$2` are the options.
const FUNCTIONS: &str = r#"
config_load() { [ "$1" = rhyzome ]; }
config_foreach() { for section in uplink trunk gone; do "$1" "$section" "$2"; done; }
config_get() { eval "$1=\$$2_$3"; }
logger() { echo "logged: $*"; }
"#;

/// Four cards, of which two are not spoken of, and a bridge that has the MAC of another.
const CARDS: &str = r#"
set -e
mount -t sysfs cards /sys
ip link add eth0 address 02:00:00:00:00:10 type veth peer name eth1 address 02:00:00:00:00:11
ip link add eth2 address 02:00:00:00:00:12 type veth peer name eth3 address 02:00:00:00:00:13
ip link add above address 02:00:00:00:00:11 type bridge
ip link set eth1 up
set +e
uplink_device=uplink uplink_mac=02:00:00:00:00:12
trunk_device=trunk trunk_mac=02:00:00:00:00:11
gone_device=gone gone_mac=02:00:00:00:00:99
"#;

#[test]
fn cards_are_named_by_their_macs_and_those_that_nothing_is_said_of_are_left_alone() {
    let init = concat!(env!("CARGO_MANIFEST_DIR"), "/files/rhyzome-nics.init");
    // Twice, as somebody may do by hand.
    let script = format!(
        "{FUNCTIONS}{CARDS}. {init}\nstart\nstart\nfor at in /sys/class/net/*; do echo \"${{at##*/}} $(cat $at/address)\"; done"
    );
    let output = Command::new("unshare")
        .args(["--net", "--mount", "sh", "-c", &script])
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let mut lines: Vec<&str> = text
        .lines()
        .filter(|line| !line.starts_with("lo "))
        .collect();
    lines.sort_unstable();
    let missing = "logged: -t rhyzome -p daemon.warn there is no network card with the MAC 02:00:00:00:00:99, which is to \
                   be gone";
    let expect = [
        "above 02:00:00:00:00:11",
        "eth0 02:00:00:00:00:10",
        "eth3 02:00:00:00:00:13",
        missing,
        missing,
        "trunk 02:00:00:00:00:11",
        "uplink 02:00:00:00:00:12",
    ];
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!((lines.as_slice(), &*errors), (expect.as_slice(), ""));
}
