use super::*;
use crate::desired::desired;
use crate::router::Network;
use crate::samples::{inhabited, present, router, vlan};
use crate::validate::validate;
use proptest::prelude::*;
use rhyzome_model::segment::Segment;
use rhyzome_uci::{Section, Value, batch};
use rhyzome_uci_reference::run_batch;
use std::fs;
use std::path::Path;

fn wanted(networks: &[Network]) -> Sections {
    desired(&validate(&router(), networks).unwrap())
}

fn packages(present: &mut Present) -> [&mut Package; 3] {
    [
        &mut present.firewall,
        &mut present.network,
        &mut present.dhcp,
    ]
}

fn apply(present: &mut Present, plan: &Plan) {
    let mine = |name: &'static str| move |section: &Section| is_ours(name, section);
    for (package, (name, changes)) in packages(present).into_iter().zip(plan.packages()) {
        assert_eq!(package.name().as_str(), name);
        package.apply(changes, mine(name)).unwrap();
    }
}

fn foreign(present: &mut Present) -> Vec<Section> {
    let all = packages(present).into_iter().flat_map(|package| {
        let name = package.name().to_string();
        let sections = package.sections().to_vec().into_iter();
        sections.filter(move |section| !is_ours(&name, section))
    });
    all.collect()
}

/// Up to four networks of different segments with some members.
fn networks() -> impl Strategy<Value = Vec<Network>> {
    let one = (0..3_u8, any::<bool>(), 0..4_u8);
    prop::collection::vec(prop::option::of(one), 4).prop_map(|slots| {
        let made = (1_u8..).zip(slots).filter_map(|(number, slot)| {
            let (kind, egress, members) = slot?;
            let vni = (5000 + u32::from(number)).try_into().unwrap();
            let segment = match kind {
                0 => vlan(100 + u16::from(number)),
                1 => Segment::Vxlan(vni),
                _ => Segment::Port(vni),
            };
            Some(inhabited(number, segment, egress, members))
        });
        made.collect()
    })
}

#[test]
fn a_peer_that_comes_and_goes_is_one_section() {
    let mut there = present();
    let before = inhabited(1, vlan(100), false, 1);
    let first = plan(&there, &wanted(std::slice::from_ref(&before)), &Within::All).unwrap();
    apply(&mut there, &first);
    let mut after = before.clone();
    after.peers = inhabited(1, vlan(100), false, 2).peers;
    let added = plan(&there, &wanted(std::slice::from_ref(&after)), &Within::All).unwrap();
    insta::assert_snapshot!(added, @"
    network: set rz_v100_peer_00000000000000000000000000000003=wireguard_rz_v100_wg
    network: set rz_v100_peer_00000000000000000000000000000003.rhyzome='00000000-0000-0000-0000-000000000001'
    network: set rz_v100_peer_00000000000000000000000000000003.description='Rhyzome peer 00000000-0000-0000-0000-000000000003'
    network: set rz_v100_peer_00000000000000000000000000000003.public_key='BwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwM='
    network: set list rz_v100_peer_00000000000000000000000000000003.allowed_ips='10.200.0.3/32' 'fd00:1:3::3/128'
    network: set rz_v100_peer_00000000000000000000000000000003.route_allowed_ips='1'
    ");
    apply(&mut there, &added);
    let removed = plan(&there, &wanted(&[before]), &Within::All).unwrap();
    insta::assert_snapshot!(
        removed,
        @"network: delete rz_v100_peer_00000000000000000000000000000003"
    );
}

#[test]
fn egress_changes_a_rule_in_its_place() {
    let mut there = present();
    let first = plan(
        &there,
        &wanted(&[inhabited(1, vlan(100), false, 0)]),
        &Within::All,
    )
    .unwrap();
    apply(&mut there, &first);
    let opened = plan(
        &there,
        &wanted(&[inhabited(1, vlan(100), true, 0)]),
        &Within::All,
    )
    .unwrap();
    insta::assert_snapshot!(opened, @"
    firewall: set rz_v100_out.target='ACCEPT'
    firewall: set rz_v100_nat=nat
    firewall: set rz_v100_nat.name='Rhyzome default/net-1: egress'
    firewall: set rz_v100_nat.family='ipv4'
    firewall: set rz_v100_nat.src='wan'
    firewall: set list rz_v100_nat.proto='all'
    firewall: set rz_v100_nat.src_ip='10.1.1.0/24'
    firewall: set rz_v100_nat.target='MASQUERADE'
    dhcp: set list rz_v100.dhcp_option='option:mtu,1500' 'option:router,10.1.1.1' 'option:dns-server,10.1.1.1' 'option:domain-search,net-1.default.rhyzome.internal' 'option:classless-static-route,0.0.0.0/0,10.1.1.1,169.254.169.254/32,0.0.0.0'
    ");
}

#[test]
fn a_rule_that_somebody_took_away_comes_back_to_its_place() {
    let mut there = present();
    let sections = wanted(&[
        inhabited(1, vlan(1), true, 0),
        inhabited(2, vlan(2), true, 0),
    ]);
    let first = plan(&there, &sections, &Within::All).unwrap();
    apply(&mut there, &first);
    let gone = [Change::DeleteSection {
        section: "rz_v1_out".parse().unwrap(),
    }];
    there.firewall.apply(&gone, |_| true).unwrap();
    let mended = plan(&there, &sections, &Within::All).unwrap();
    apply(&mut there, &mended);
    assert_eq!(
        rules(&there.firewall, "rz_v1"),
        rules(&sections.firewall, "rz_v1")
    );
    // The other network's are as they were.
    assert!(
        mended
            .firewall
            .iter()
            .all(|change| network_of(change.section()) == Some("rz_v1"))
    );
    assert_eq!(plan(&there, &sections, &Within::All), Ok(Plan::default()));
}

#[test]
fn a_foreign_section_of_our_name_stops_the_plan() {
    let mut there = present();
    let taken = Section::named("interface".parse().unwrap(), "rz_v100".parse().unwrap());
    there.network.add(taken).unwrap();
    let error = plan(
        &there,
        &wanted(&[inhabited(1, vlan(100), false, 0)]),
        &Within::All,
    )
    .unwrap_err();
    assert_eq!(error.to_string(), "/etc/config/network");
    assert_eq!(
        error.source.to_string(),
        "the section rz_v100 is somebody else's"
    );
}

#[test]
fn a_plan_does_not_tell_keys() {
    let network = inhabited(1, vlan(100), false, 1);
    let key = network.endpoint_key.to_base64().to_string();
    let plan = plan(&present(), &wanted(&[network]), &Within::All).unwrap();
    assert!(!format!("{plan} {plan:?}").contains(&key));
}

/// What somebody may have done to our sections: `which` names one, `how` what.
fn disturb(present: &mut Present, which: usize, how: u8) {
    let mut names = Vec::new();
    for (place, package) in packages(present).into_iter().enumerate() {
        let called = package.name().to_string();
        let ours = package
            .named()
            .filter(|(_, section)| is_ours(&called, section));
        names.extend(ours.map(|(name, _)| (place, name.clone())));
    }
    let Some((place, section)) = names.get(which % names.len().max(1)).cloned() else {
        return;
    };
    let value = Value::one("by hand").unwrap();
    let option = "proto".parse().unwrap();
    let change = match how {
        0 => Change::DeleteSection { section },
        1 => Change::SetOption {
            section,
            option,
            value,
        },
        _ => Change::DeleteOption { section, option },
    };
    let [a, b, c] = packages(present);
    [a, b, c][place].apply(&[change], |_| true).unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn a_plan_converges_from_anywhere_and_leaves_others_alone(
        before in networks(), after in networks(), hands in prop::collection::vec((any::<usize>(), 0..3_u8), 0..4),
    ) {
        let mut there = present();
        let others = foreign(&mut there);
        for networks in [before, after] {
            let sections = wanted(&networks);
            let next = plan(&there, &sections, &Within::All).unwrap();
            apply(&mut there, &next);
            prop_assert_eq!(plan(&there, &sections, &Within::All), Ok(Plan::default()));
            prop_assert_eq!(&foreign(&mut there), &others);
            for network in super::networks(&sections.firewall) {
                prop_assert_eq!(rules(&there.firewall, network), rules(&sections.firewall, network));
            }
            for (which, how) in &hands {
                disturb(&mut there, *which, *how);
            }
        }
    }
}

/// Makes a plan with the real `uci`, and reads what came of it.
fn with_uci(folder: &Path, present: &mut Present, plan: &Plan) -> Present {
    let (config, delta) = (folder.join("config"), folder.join("delta"));
    fs::create_dir_all(&config).unwrap();
    let mut lines = String::new();
    for (package, (name, changes)) in packages(present).into_iter().zip(plan.packages()) {
        fs::write(config.join(name), package.text()).unwrap();
        lines += &batch(package.name(), changes);
        lines += &format!("commit {name}\n");
    }
    let output = run_batch(&config, &delta, &lines).unwrap();
    assert!(
        output.stderr.is_empty(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let text = |name: &str| fs::read_to_string(config.join(name)).unwrap();
    let texts = [text("network"), text("dhcp"), text("firewall")];
    Present::read(crate::present::Files {
        network: Some(&texts[0]),
        dhcp: Some(&texts[1]),
        firewall: Some(&texts[2]),
    })
    .unwrap()
}

proptest! {
    // A process each.
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 12, ..ProptestConfig::default() })]

    #[test]
    fn uci_makes_of_a_plan_what_was_wanted(before in networks(), after in networks()) {
        let folder = tempfile::tempdir().unwrap();
        let mut there = present();
        let others = foreign(&mut there);
        for networks in [before, after] {
            let sections = wanted(&networks);
            let next = plan(&there, &sections, &Within::All).unwrap();
            there = with_uci(folder.path(), &mut there, &next);
            prop_assert_eq!(plan(&there, &sections, &Within::All), Ok(Plan::default()));
            prop_assert_eq!(&foreign(&mut there), &others);
        }
    }
}
