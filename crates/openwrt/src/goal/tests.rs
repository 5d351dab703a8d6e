use super::*;
use crate::samples::{self, inhabited, vlan};

fn goal(networks: Vec<Network>, present: &Present) -> Goal {
    Goal::new(&samples::router(), networks, present)
}

fn with(package: &str, text: &str) -> Present {
    let mut files = samples::FILES;
    let added = |before: Option<&str>| format!("{}{text}", before.unwrap_or_default());
    let (network, dhcp, firewall) = (
        added(files.network),
        added(files.dhcp),
        added(files.firewall),
    );
    match package {
        "network" => files.network = Some(&network),
        "dhcp" => files.dhcp = Some(&dhcp),
        _ => files.firewall = Some(&firewall),
    }
    Present::read(files).unwrap()
}

fn two() -> Vec<Network> {
    vec![
        inhabited(1, vlan(1), false, 2),
        inhabited(2, vlan(10), true, 2),
    ]
}

/// Which of the two are blocked, and why one is.
fn check(present: &Present, networks: Vec<Network>, expect: &[u8], says: &str) {
    let ids: Vec<NetworkId> = networks.iter().map(|one| one.spec.network).collect();
    let goal = goal(networks, present);
    let blocked: Vec<NetworkId> = goal.blocked.keys().copied().collect();
    let expected: Vec<NetworkId> = expect.iter().map(|at| ids[usize::from(*at) - 1]).collect();
    assert_eq!(blocked, expected);
    assert_eq!(goal.networks.len() + blocked.len(), ids.len());
    let why: String = goal.blocked.values().map(ToString::to_string).collect();
    assert!(why.contains(says), "{why}");
}

#[test]
fn what_stands_in_one_networks_way_is_in_no_others() {
    check(&samples::present(), two(), &[], "");
    // Not rz_v10's, though its name begins so.
    let named = with("network", "config interface rz_v1\n\toption proto none\n");
    check(&named, two(), &[1], "the interface rz_v1");
    let of_nobody = with("network", "config interface rz_v9\n\toption proto none\n");
    check(&of_nobody, two(), &[], "");
    let zone = with(
        "firewall",
        "config zone\n\toption name x\n\tlist network rz_v10_wg\n",
    );
    check(&zone, two(), &[2], "takes rz_v10_wg");
    let host = with("dhcp", "config host\n\toption ip 10.1.2.3\n");
    check(&host, two(), &[2], "10.1.2.3");
    let used = with("network", "config interface x\n\toption device eth2.10\n");
    check(&used, two(), &[2], "VLAN 10");
}

#[test]
fn what_stands_in_all_networks_way_blocks_all() {
    let every = with(
        "firewall",
        "config zone\n\toption name x\n\tlist device 'rz_+'\n",
    );
    check(&every, two(), &[1, 2], "rz_+");
    let mut files = samples::FILES;
    files.dhcp = Some("");
    let none = Present::read(files).unwrap();
    check(&none, two(), &[1, 2], "no dnsmasq");
}

#[test]
fn of_two_that_cannot_be_together_the_later_one_is_blocked() {
    let mut networks = two();
    networks[1].spec.ipv4 = networks[0].spec.ipv4;
    networks[1].leases.clear();
    check(&samples::present(), networks, &[2], "overlaps");
}

#[test]
fn all_that_was_a_networks_is_within_also_under_an_earlier_number() {
    let before = "config interface rz_v7\n\toption rhyzome 00000000-0000-0000-0000-000000000001\n";
    let present = with("network", before);
    let these = BTreeSet::from([two()[0].spec.network]);
    let names = within(&[&Records::default()], &present, &these);
    assert_eq!(names, BTreeSet::from(["rz_v7".to_owned()]));
}
