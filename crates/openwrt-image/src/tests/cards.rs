//! The script that names network cards, run on cards of a network namespace. Needs root.

use std::process::Command;

/// OpenWrt's functions for reading its configuration, as far as the script calls them; `$1_$2` are the options.
const FUNCTIONS: &str = r#"
config_load() { case "$1" in rhyzome) sections="uplink trunk gone";; network) sections="lan five none";; esac; }
config_foreach() { for section in $sections; do "$1" "$section" "$2"; done; }
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
ip link set eth3 up
set +e
uplink_device=uplink uplink_mac=02:00:00:00:00:12
trunk_device=trunk trunk_mac=02:00:00:00:00:11
gone_device=gone gone_mac=02:00:00:00:00:99
lan_name=br-lan lan_macaddr=02:00:00:00:00:13
five_name=rz_p5 five_macaddr=02:00:00:00:00:10
none_name=rz_p6 none_macaddr=02:00:00:00:00:66
"#;

/// What is there after the script has run twice, as somebody may run it by hand, and what it said.
fn named(segmentation: &str, configuration: &str) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("network");
    std::fs::write(&path, configuration).unwrap();
    let path = path.display();
    let init = concat!(env!("CARGO_MANIFEST_DIR"), "/files/rhyzome-nics.init");
    let script = format!(
        "{FUNCTIONS}{CARDS}main_segmentation={segmentation}\n. {init}\nCONFIGURATION={path}\nstart\nstart\n\
         for at in /sys/class/net/*; do echo \"${{at##*/}} $(cat $at/address) $(cat $at/operstate)\"; done"
    );
    let output = Command::new("unshare")
        .args(["--net", "--mount", "sh", "-c", &script])
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    let text = String::from_utf8(output.stdout).unwrap();
    let lines = text.lines().filter(|line| !line.starts_with("lo "));
    let mut lines: Vec<String> = lines.map(str::to_owned).collect();
    lines.sort_unstable();
    lines
}

#[test]
fn cards_are_named_by_their_macs_and_those_that_nothing_is_said_of_are_left_alone() {
    let missing = "logged: -t rhyzome -p daemon.warn there is no network card with the MAC 02:00:00:00:00:99, which is to \
                   be gone";
    let expect = [
        "above 02:00:00:00:00:11 down",
        "eth0 02:00:00:00:00:10 down",
        "eth3 02:00:00:00:00:13 lowerlayerdown",
        missing,
        missing,
        "trunk 02:00:00:00:00:11 down",
        "uplink 02:00:00:00:00:12 down",
    ];
    assert_eq!(named("vlan", ""), expect);
}

#[test]
fn networks_that_are_cards_are_named_by_theirs_and_a_card_that_is_nobodys_stays_down() {
    let logged = |text: &str| format!("logged: -t rhyzome -p daemon.warn {text}");
    let gone =
        logged("there is no network card with the MAC 02:00:00:00:00:99, which is to be gone");
    let none =
        logged("there is no network card with the MAC 02:00:00:00:00:66, which is to be rz_p6");
    let aside =
        logged("the network card eth3 (02:00:00:00:00:13) is of no network, and stays down");
    let own = |text: &str| text.to_owned();
    let expect = [
        own("above 02:00:00:00:00:11 down"),
        aside,
        none.clone(),
        none,
        gone.clone(),
        gone,
        own("rz_020000000013 02:00:00:00:00:13 down"),
        own("rz_p5 02:00:00:00:00:10 down"),
        own("trunk 02:00:00:00:00:11 down"),
        own("uplink 02:00:00:00:00:12 down"),
    ];
    assert_eq!(
        named("port", "config device\n\tlist ports 'eth33'\n"),
        expect
    );
}

#[test]
fn a_card_that_somebody_configured_by_its_number_is_left_to_them() {
    for used in [
        "option device 'eth3'",
        "list ports 'eth3:t'",
        "option device eth3.40",
    ] {
        let lines = named("port", &format!("config interface lan\n\t{used}\n"));
        let kept = lines
            .iter()
            .any(|line| line == "eth3 02:00:00:00:00:13 lowerlayerdown");
        assert!(kept, "{lines:#?}");
        assert!(
            !lines.iter().any(|line| line.contains("stays down")),
            "{lines:#?}"
        );
    }
}
