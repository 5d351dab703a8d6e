//! What carries a network: by its router's choice, with a number of its own, only where a host can.

use rhyzome_app::{Kind, SiteSettings, instance, network, project, session};
use rhyzome_model::component::{ComponentKind, HostFacts, Trunk};
use rhyzome_model::instance::InstanceSpec;
use rhyzome_model::job::{Job, Task};
use rhyzome_model::network::NetworkSpec;
use rhyzome_model::placement::{PlacementKind, PlacementSpec};
use rhyzome_model::segment::{Segment, Segmentation, VlanId};
use rhyzome_model::{ComponentId, InstanceId, Name, NetworkId};
use rhyzome_store::network::NewNetwork;

use super::site::{Component, Site, kinds, name, spec};
use super::wide::{Wide, facts};

fn vlan(number: u16) -> VlanId {
    number.try_into().expect("a VLAN")
}

/// As of a host that has a trunk, besides what it has in any case.
fn trunked(facts: HostFacts) -> HostFacts {
    HostFacts {
        segmentations: vec![Segmentation::Vlan, Segmentation::Vxlan],
        trunk: Some(Trunk {
            device: "eth1".to_owned(),
            mtu: 1500,
        }),
        ..facts
    }
}

async fn say(site: &Site, id: ComponentId, facts: &HostFacts) {
    session::connected(&site.core, id, facts, "1", None)
        .await
        .expect("a session");
}

/// What those that are told of a network's segment are told.
fn told(jobs: &[Job]) -> Vec<(PlacementKind, Segment)> {
    let segment = |job: &Job| match &job.task {
        Task::Ensure { placement } => match &placement.spec {
            PlacementSpec::Network(spec) => Some((PlacementKind::Network, spec.segment)),
            PlacementSpec::Segment(spec) => Some((PlacementKind::Segment, spec.segment)),
            _ => None,
        },
        _ => None,
    };
    jobs.iter().filter_map(segment).collect()
}

#[tokio::test]
async fn a_network_is_what_its_router_prefers_and_has_the_same_vlan_wherever_it_is_made_anew() {
    let mut numbers = Vec::new();
    for _ in 0..2 {
        let mut site = Site::new().await;
        let before = site.network("old").await;
        assert_eq!(before.status.segment.kind, Segmentation::Vxlan);
        site.router.session = session::connected(
            &site.core,
            site.router.id,
            &trunked(HostFacts::default()),
            "1",
            None,
        )
        .await
        .expect("a session");
        let made = site.network("lab").await.status;
        assert_eq!(made.segment.kind, Segmentation::Vlan);
        assert_eq!(made.segment.trunk.as_deref(), Some("eth1"));
        assert_eq!(made.mtu, 1500);
        let other = site.network("other").await.status;
        assert_ne!(made.segment.number, other.segment.number);
        let jobs = site.router.claim(&site.core).await;
        let number = u16::try_from(made.segment.number).expect("12 bits");
        let expected = (PlacementKind::Network, Segment::Vlan(vlan(number)));
        assert!(told(&jobs).contains(&expected), "{:?}", told(&jobs));
        numbers.push((made.segment.number, other.segment.number));

        let old = network::get(&site.core, &site.admin, &site.default, &name("old")).await;
        let old = old.expect("it").status.segment;
        assert_eq!(old.kind, Segmentation::Vxlan, "it stays what it is");
    }
    assert_eq!(numbers[0], numbers[1]);
}

/// Takes all VLANs but one, as so many networks would.
async fn take_all_but(site: &Site, left: u16) {
    let mut conn = site.core.store.read().await.expect("a connection");
    let project = rhyzome_store::project::get(&mut conn, &site.default).await;
    let project = project.expect("the project").expect("the project").meta.id;
    let project = rhyzome_model::ProjectId(project);
    drop(conn);
    let spec = NetworkSpec::default();
    let mut tx = site.core.store.write().await.expect("a transaction");
    for number in (1..=4094).filter(|number| *number != left) {
        let called = name(&format!("n{number}"));
        let [high, low] = number.to_be_bytes();
        let row = NewNetwork {
            id: NetworkId(uuid::Uuid::now_v7()),
            project,
            name: &called,
            spec: &spec,
            router: site.router.id,
            ipv4: format!("10.{high}.{low}.0/24").parse().expect("a prefix"),
            ipv6: format!("fd00:1:2:{number:x}::/64").parse().expect("one"),
            mtu: 1500,
            port: number,
            vni: u32::from(number).try_into().expect("24 bits"),
            segment: Segment::Vlan(vlan(number)),
        };
        rhyzome_store::network::insert(&mut tx, &row, site.core.now())
            .await
            .expect("inserted");
    }
    tx.commit().await.expect("committed");
}

#[tokio::test]
async fn the_last_vlan_is_found_and_after_it_a_network_is_refused_and_nothing_made() {
    let site = Site::of(SiteSettings {
        vlans: (vlan(1), vlan(4094)),
        ..SiteSettings::default()
    })
    .await;
    let facts = HostFacts {
        endpoint_ports: Some((1, 65535)),
        ..trunked(HostFacts::default())
    };
    say(&site, site.router.id, &facts).await;
    take_all_but(&site, 1234).await;
    let last = site.network("last").await.status.segment;
    assert_eq!((last.kind, last.number), (Segmentation::Vlan, 1234));

    let before = site.story().await;
    let refused = site.try_network("more", NetworkSpec::default()).await;
    let refused = refused.expect_err("none is left");
    assert_eq!(refused.kind(), Kind::NoCapacity);
    assert_eq!(
        refused.public(),
        "no router can take it: gate: all VLANs of the site, 1 to 4094, are used by networks: delete some, or let \
         site.vlans of the core have more"
    );
    assert_eq!(site.story().await, before);
    let missing = network::get(&site.core, &site.admin, &site.default, &name("more")).await;
    assert_eq!(missing.expect_err("not made").kind(), Kind::NotFound);

    let facts = HostFacts::default();
    Component::join(&site.core, ComponentKind::Linux, "tunnels", &facts).await;
    let made = site.network("more").await.status;
    assert_eq!(
        (made.router, made.segment.kind),
        (name("tunnels"), Segmentation::Vxlan)
    );
}

#[tokio::test]
async fn an_instance_goes_only_where_its_networks_vlan_can_be_and_has_no_tunnels() {
    let wide = Wide::new(2).await;
    let site = &wide.site;
    say(site, site.router.id, &trunked(facts(100))).await;
    let untagged = HostFacts {
        details: [("vlan".to_owned(), "the kernel has no 802.1Q".to_owned())].into(),
        ..facts(1)
    };
    say(site, wide.hosts[0].id, &untagged).await;
    say(site, wide.hosts[1].id, &trunked(facts(2))).await;
    let number = site.network("tagged").await.status.segment.number;
    let on = |host: Option<&str>| InstanceSpec {
        host: host.map(name),
        ..spec(&["tagged"])
    };
    let refused = wide.create_as("a", on(Some("h1"))).await;
    let refused = refused.expect_err("no trunk").to_string();
    let why =
        format!("h1: tagged is VLAN {number}, which cannot be here: the kernel has no 802.1Q");
    assert!(refused.contains(&why), "{refused}");
    assert_eq!(wide.create_as("a", on(None)).await.expect("room"), "h2");

    let narrow = HostFacts {
        trunk: Some(Trunk {
            device: "eth7".to_owned(),
            mtu: 1400,
        }),
        ..trunked(facts(1))
    };
    say(site, wide.hosts[0].id, &narrow).await;
    let refused = wide.create_as("b", on(Some("h1"))).await;
    let refused = refused.expect_err("too narrow").to_string();
    assert!(
        refused.contains("1400 fit through VLANs on eth7"),
        "{refused}"
    );
}

#[tokio::test]
async fn hosts_of_a_vlan_are_told_of_it_and_not_of_each_other() {
    let mut wide = Wide::new(2).await;
    let gate = &mut wide.site.router;
    gate.session = session::connected(&wide.site.core, gate.id, &trunked(facts(100)), "1", None)
        .await
        .expect("a session");
    for (number, host) in (1..).zip(&mut wide.hosts) {
        let facts = trunked(facts(number));
        host.session = session::connected(&wide.site.core, host.id, &facts, "1", None)
            .await
            .expect("a session");
    }
    let number = wide.site.network("tagged").await.status.segment.number;
    for host in ["h1", "h2"] {
        let on = InstanceSpec {
            host: Some(name(host)),
            ..spec(&["tagged"])
        };
        wide.create_as(host, on).await.expect("room");
    }
    let jobs = wide.settle().await.concat();
    assert!(!kinds(&jobs).contains(&PlacementKind::Vtep), "{jobs:?}");
    let segment = Segment::Vlan(vlan(u16::try_from(number).expect("12 bits")));
    let segments = told(&jobs);
    let expected = (PlacementKind::Segment, segment);
    assert_eq!(segments.iter().filter(|told| **told == expected).count(), 2);
}

#[tokio::test]
async fn prefixes_that_one_routing_domain_cannot_keep_apart_are_refused_before_anything_is_made() {
    let site = Site::new().await;
    let facts = HostFacts::assumed(ComponentKind::Openwrt);
    Component::join(&site.core, ComponentKind::Openwrt, "gw", &facts).await;
    let garden = name("garden");
    project::create(&site.core, &site.admin, garden.clone())
        .await
        .expect("a project");
    let create = async |project: &Name, called: &str, router: Option<&str>, ipv4: &str| {
        let spec = NetworkSpec {
            ipv4: Some(ipv4.parse().expect("a prefix")),
            router: router.map(name),
            ..NetworkSpec::default()
        };
        network::create(&site.core, &site.admin, project, name(called), spec).await
    };
    create(&site.default, "lab", Some("gw"), "10.1.0.0/24")
        .await
        .expect("the first");
    let refused = create(&garden, "beds", Some("gw"), "10.1.0.0/16").await;
    let refused = refused.expect_err("they overlap");
    assert_eq!(
        (refused.kind(), refused.field(), refused.public()),
        (
            Kind::Invalid,
            Some("spec.ipv4"),
            "10.1.0.0/16 overlaps the network lab of the project default on gw, whose networks share one routing \
             domain: ask for another prefix or for another router"
        )
    );
    let six = NetworkSpec {
        ipv6: Some("fd00:1:2:3::/64".parse().expect("a prefix")),
        router: Some(name("gw")),
        ..NetworkSpec::default()
    };
    network::create(
        &site.core,
        &site.admin,
        &site.default,
        name("six"),
        six.clone(),
    )
    .await
    .expect("the first");
    let refused = network::create(&site.core, &site.admin, &garden, name("six"), six).await;
    assert_eq!(
        refused.expect_err("they overlap").field(),
        Some("spec.ipv6")
    );

    // Another router isolates them, and is chosen where nobody asks for one.
    let elsewhere = create(&garden, "beds", None, "10.1.0.0/16").await;
    assert_eq!(elsewhere.expect("apart").status.router, name("gate"));
    create(&garden, "shed", Some("gw"), "10.2.0.0/24")
        .await
        .expect("it overlaps nothing");
}

/// Makes the router the instance `gate` on the hypervisor, with slots for so many network cards.
async fn in_a_machine(wide: &mut Wide, card_slots: u32) -> InstanceId {
    let alone = InstanceSpec {
        host: Some(name("h1")),
        card_slots,
        ..spec(&[])
    };
    wide.create_as("gate", alone).await.expect("room");
    wide.settle().await;
    let machine = wide.site.show("gate").await.expect("it").meta.id;
    let facts = HostFacts {
        segmentations: vec![Segmentation::Port],
        machine: Some(machine),
        ..facts(100)
    };
    let router = &mut wide.site.router;
    router.session = session::connected(&wide.site.core, router.id, &facts, "1", None)
        .await
        .expect("a session");
    InstanceId(machine)
}

#[tokio::test]
async fn a_network_card_is_put_in_before_its_network_is_made_and_taken_out_after_it_is_gone() {
    let mut wide = Wide::new(2).await;
    let machine = in_a_machine(&mut wide, 1).await;
    let made = wide.site.network("wired").await;
    assert_eq!(made.status.segment.kind, Segmentation::Port);
    assert_eq!(wide.site.router.claim(&wide.site.core).await.len(), 0);
    let jobs = wide.settle().await;
    let card = jobs[1].iter().find_map(|job| match &job.task {
        Task::Ensure { placement } => match &placement.spec {
            PlacementSpec::Segment(spec) => Some(spec.clone()),
            _ => None,
        },
        _ => None,
    });
    let card = card.expect("on the hypervisor of the router");
    assert_eq!((card.network.0, card.router), (made.meta.id, Some(machine)));
    assert_eq!(kinds(&jobs[0]), [PlacementKind::Network]);

    let refused = wide.site.try_network("more", NetworkSpec::default()).await;
    let refused = refused.expect_err("one card, one network").to_string();
    assert!(
        refused.contains("gate, which was made with slots for 1 of them, and all are used"),
        "{refused}"
    );

    let on = |host: &str| InstanceSpec {
        host: Some(name(host)),
        ..spec(&["wired"])
    };
    let refused = wide.create_as("a", on("h2")).await.expect_err("elsewhere");
    assert!(
        refused.to_string().contains("comes to no other host"),
        "{refused}"
    );
    wide.create_as("a", on("h1")).await.expect("room");
    wide.settle().await;
    let (core, admin, project) = (&wide.site.core, &wide.site.admin, &wide.site.default);
    instance::delete(core, admin, project, &name("a"), None)
        .await
        .expect("deleting");
    let jobs = wide.settle().await;
    assert!(
        !kinds(&jobs[1]).contains(&PlacementKind::Segment),
        "the card stays"
    );

    let refused = instance::delete(core, admin, project, &name("gate"), None).await;
    let refused = refused.expect_err("it carries a network").to_string();
    assert!(
        refused.contains("cards of gate and would go with it, 1 in all"),
        "{refused}"
    );
    network::delete(core, admin, project, &name("wired"), None)
        .await
        .expect("deleting");
    assert_eq!(
        wide.hosts[0].claim(core).await.len(),
        0,
        "not before the router"
    );
    let jobs = wide.settle().await;
    assert_eq!(kinds(&jobs[0]), [PlacementKind::Network]);
    assert_eq!(kinds(&jobs[1]), [PlacementKind::Segment]);
}

#[tokio::test]
async fn a_router_gets_no_network_cards_in_a_machine_that_is_not_called_like_it() {
    let mut wide = Wide::new(1).await;
    in_a_machine(&mut wide, 4).await;
    let alone = InstanceSpec {
        host: Some(name("h1")),
        ..spec(&[])
    };
    wide.create_as("somebodys", alone).await.expect("room");
    let theirs = wide.site.show("somebodys").await.expect("it").meta.id;
    let facts = HostFacts {
        segmentations: vec![Segmentation::Port],
        machine: Some(theirs),
        ..facts(100)
    };
    say(&wide.site, wide.site.router.id, &facts).await;
    let refused = wide.site.try_network("wired", NetworkSpec::default()).await;
    let refused = refused.expect_err("not its own").to_string();
    assert!(
        refused.contains("no instance gate is known to be that"),
        "{refused}"
    );
}
