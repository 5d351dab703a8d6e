//! Tables of hosts and demands, and what holds for any of them.

use proptest::prelude::*;
use uuid::Uuid;

use super::*;

fn host(name: &str, memory: u64, used: u64) -> Host {
    Host {
        id: ComponentId(Uuid::new_v5(&Uuid::NAMESPACE_OID, name.as_bytes())),
        name: name.parse().expect("a name"),
        connected: true,
        cpus: 4,
        memory: Size::mib(memory),
        used_cpus: 0,
        used_memory: Size::mib(used),
        firmware: vec![Firmware::Bios],
        bridges: vec!["uplink".parse().expect("a name")],
        without_uefi: Some("install ovmf".to_owned()),
        labels: BTreeMap::new(),
        cordon: None,
        cut_off: None,
    }
}

fn check(demand: &Demand, hosts: &[Host], expect: Option<&str>, reasons: &[&str]) {
    let placed = place(demand, hosts);
    let name = hosts
        .iter()
        .find(|host| Some(host.id) == placed.host)
        .map(|host| host.name.as_str());
    assert_eq!(name, expect);
    let said: Vec<_> = placed
        .verdicts
        .iter()
        .map(|verdict| verdict.reason.as_str())
        .collect();
    assert_eq!(said, reasons);
}

fn demand(memory: u64) -> Demand {
    Demand {
        cpus: 1,
        memory: Size::mib(memory),
        host: None,
        firmware: None,
        bridges: Vec::new(),
        require: BTreeMap::new(),
        together_with: Vec::new(),
        apart_from: Vec::new(),
    }
}

#[test]
fn a_host_without_a_bridge_that_is_asked_for_says_where_to_name_it() {
    let with = |bridge: &str| Demand {
        bridges: vec![bridge.parse().expect("a name")],
        ..demand(64)
    };
    let hosts = [host("a", 1024, 0)];
    check(
        &with("uplink"),
        &hosts,
        Some("a"),
        &["1GiB of memory free, the largest share"],
    );
    let missing = "has no bridge trunk: its configuration names those there are under `bridges`";
    check(&with("trunk"), &hosts, None, &[missing]);
}

#[test]
fn of_many_hosts_the_chosen_one_and_some_others_are_told_of() {
    let hosts: Vec<Host> = (0..500)
        .map(|n| host(&format!("host{n:03}"), 1024, if n == 400 { 0 } else { 512 }))
        .collect();
    let placed = place(&demand(64), &hosts);
    assert_eq!(placed.host, Some(hosts[400].id));
    assert_eq!(placed.verdicts.len(), VERDICTS);
    let chosen: Vec<_> = placed.verdicts.iter().filter(|v| v.chosen).collect();
    assert_eq!(chosen.len(), 1);
    assert_eq!(chosen[0].host, hosts[400].name);
    assert_eq!(place(&demand(4096), &hosts).verdicts.len(), VERDICTS);
}

#[test]
fn a_host_without_the_firmware_says_what_is_missing() {
    let modern = Demand {
        firmware: Some(Firmware::Uefi),
        ..demand(64)
    };
    let old = Host {
        firmware: Vec::new(),
        without_uefi: None,
        ..host("old", 1024, 0)
    };
    check(
        &modern,
        &[host("a", 1024, 0), old],
        None,
        &[
            "cannot boot disks by UEFI: install ovmf",
            "cannot boot disks by UEFI",
        ],
    );
}

#[test]
fn the_host_with_the_largest_free_share_is_chosen() {
    check(
        &demand(64),
        &[
            host("a", 1024, 512),
            host("b", 4096, 1024),
            host("c", 1024, 512),
        ],
        Some("b"),
        &[
            "fits, but has a smaller share of its memory free (512MiB)",
            "3GiB of memory free, the largest share",
            "fits, but has a smaller share of its memory free (512MiB)",
        ],
    );
    check(
        &demand(64),
        &[host("b", 1024, 0), host("a", 1024, 0)],
        Some("a"),
        &[
            "fits, but has a smaller share of its memory free (1GiB)",
            "1GiB of memory free, the largest share",
        ],
    );
}

#[test]
fn labels_groups_and_cordons_come_before_room() {
    let labels = |zone: &str| BTreeMap::from([("zone".to_owned(), zone.to_owned())]);
    let in_zone = |name: &str, zone: &str| Host {
        labels: labels(zone),
        ..host(name, 1024, 0)
    };
    let reason = Some("new disks".to_owned());
    let cordoned = Host {
        cordon: Some(Cordon { reason }),
        ..in_zone("c", "a")
    };
    let far = Host {
        cut_off: Some("has no tunnel".to_owned()),
        ..in_zone("d", "a")
    };
    let wanted = Demand {
        require: labels("a"),
        apart_from: vec![host("e", 0, 0).id],
        ..demand(64)
    };
    let full = Host {
        used_memory: Size::mib(900),
        ..in_zone("f", "a")
    };
    let hosts = [
        host("a", 1024, 0),
        in_zone("b", "b"),
        cordoned,
        far,
        in_zone("e", "a"),
        full,
    ];
    check(
        &wanted,
        &hosts,
        Some("f"),
        &[
            "zone=a wanted, it has no zone",
            "zone=a wanted, it has zone=b",
            "is cordoned: new disks",
            "has no tunnel",
            "an instance that it has to be apart from is there",
            "124MiB of memory free, the largest share",
        ],
    );
    let together = Demand {
        together_with: vec![hosts[5].id],
        ..demand(64)
    };
    let placed = place(&together, &hosts);
    assert_eq!(placed.host, Some(hosts[5].id));
    let too_much = Demand {
        memory: Size::mib(512),
        ..together
    };
    assert_eq!(
        place(&too_much, &hosts).host,
        None,
        "never elsewhere, for room"
    );
}

#[test]
fn a_host_that_cannot_take_it_says_why() {
    let away = Host {
        connected: false,
        ..host("away", 1024, 0)
    };
    let busy = Host {
        used_cpus: 32,
        ..host("busy", 1024, 0)
    };
    check(
        &demand(512),
        &[away, busy, host("full", 1024, 768)],
        None,
        &[
            "is not connected",
            "1 processors wanted, 0 left to promise",
            "512MiB of memory wanted, 256MiB free",
        ],
    );
    let asked = Demand {
        host: Some("b".parse().expect("a name")),
        ..demand(64)
    };
    check(
        &asked,
        &[host("a", 1024, 0), host("b", 1024, 900)],
        Some("b"),
        &[
            "another host was asked for",
            "124MiB of memory free, the largest share",
        ],
    );
    let wide = Demand {
        cpus: 5,
        ..demand(64)
    };
    check(
        &wide,
        &[host("a", 1024, 0)],
        None,
        &["5 processors wanted, it has 4"],
    );
}

/// A demand out of small numbers, so that hosts fill up.
fn any_demand() -> impl Strategy<Value = (u64, u32, Option<u8>)> {
    (16u64..400, 1u32..5, prop::option::of(0u8..2))
}

proptest! {
    #[test]
    fn no_host_is_overbooked_and_no_group_broken(
        demands in prop::collection::vec(any_demand(), 1..40),
        sizes in prop::collection::vec((64u64..2048, any::<bool>(), any::<bool>()), 1..6),
    ) {
        let mut hosts: Vec<Host> = sizes
            .iter()
            .enumerate()
            .map(|(number, (memory, connected, is_cordoned))| Host {
                connected: *connected,
                cordon: is_cordoned.then(Cordon::default),
                ..host(&format!("h{number}"), *memory, 0)
            })
            .collect();
        let mut groups: BTreeMap<u8, Vec<ComponentId>> = BTreeMap::new();
        for (memory, cpus, group) in demands {
            let wanted = Demand {
                cpus,
                apart_from: group.map(|g| groups.entry(g).or_default().clone()).unwrap_or_default(),
                ..demand(memory)
            };
            let placed = place(&wanted, &hosts);
            prop_assert_eq!(placed.verdicts.len(), hosts.len());
            prop_assert_eq!(placed.verdicts.iter().filter(|v| v.chosen).count(), usize::from(placed.host.is_some()));
            let Some(id) = placed.host else {
                // Nobody was passed over that could have taken it.
                for one in &hosts {
                    prop_assert_eq!(place(&wanted, std::slice::from_ref(one)).host, None);
                }
                continue;
            };
            let chosen = hosts.iter_mut().find(|host| host.id == id).expect("one of them");
            chosen.used_memory = Size::bytes(chosen.used_memory.as_bytes() + wanted.memory.as_bytes());
            chosen.used_cpus += cpus;
            prop_assert!(chosen.used_memory <= chosen.memory);
            prop_assert!(chosen.used_cpus <= chosen.cpus * CPU_OVERCOMMIT);
            prop_assert!(chosen.connected && chosen.cordon.is_none());
            if let Some(group) = group {
                let there = groups.entry(group).or_default();
                prop_assert!(!there.contains(&id));
                there.push(id);
            }
        }
    }
}
