//! Several hosts: what each is told of the others, who goes where, and a host that is gone.

use rhyzome_app::{Kind, component, gone, instance, network, session};
use rhyzome_model::component::{ComponentSpec, Cordon, HostFacts};
use rhyzome_model::instance::{Attachment, BridgeInterface, InstanceSpec};
use rhyzome_model::job::{FailureKind, Job, Task};
use rhyzome_model::network::VtepPlacement;
use rhyzome_model::placement::{PlacementKind, PlacementSpec};
use rhyzome_model::status::Phase;
use rhyzome_model::{ComponentId, MacAddr, Size};

use super::site::{Site, name, spec};
use super::wide::{Wide, facts};

fn ends(jobs: &[Job]) -> Vec<&VtepPlacement> {
    jobs.iter()
        .filter_map(|job| match &job.task {
            Task::Ensure { placement } => match &placement.spec {
                PlacementSpec::Vtep(vtep) => Some(vtep),
                _ => None,
            },
            _ => None,
        })
        .collect()
}

fn others(jobs: &[Job]) -> Vec<PlacementKind> {
    jobs.iter()
        .filter_map(|job| match &job.task {
            Task::Ensure { placement } => Some(placement.spec.kind()),
            _ => None,
        })
        .filter(|kind| *kind != PlacementKind::Vtep)
        .collect()
}

async fn left(site: &Site, component: ComponentId) -> usize {
    let mut conn = site.core.store.read().await.expect("a connection");
    let rows = rhyzome_store::placement::of_component(&mut conn, component).await;
    rows.expect("rows").len()
}

#[tokio::test]
async fn a_new_instance_changes_what_is_told_of_its_own_host_and_nothing_else() {
    let wide = Wide::new(3).await;
    for host in 1..=3 {
        wide.create(&format!("first-{host}"), host)
            .await
            .expect("an instance");
        wide.settle().await;
    }
    wide.create("second", 1).await.expect("an instance");
    let told = wide.settle().await;
    assert_eq!(others(&told[0]), [PlacementKind::Lease]);
    assert_eq!(others(&told[1]), [PlacementKind::Instance]);
    assert!(
        ends(&told[1]).is_empty(),
        "its own host knows the others already"
    );
    let mut macs = [wide.mac("first-1").await, wide.mac("second").await];
    macs.sort();
    for jobs in [&told[0], &told[2], &told[3]] {
        let [end] = ends(jobs)[..] else {
            panic!("one end each: {jobs:?}")
        };
        assert_eq!(end.host, wide.hosts[0].id);
        assert_eq!(end.address, std::net::IpAddr::from([192, 0, 2, 1]));
        assert_eq!(end.macs, macs);
    }
    assert!(others(&told[2]).is_empty() && others(&told[3]).is_empty());
    assert_eq!(
        wide.site.show("second").await.expect("it").status.phase,
        Phase::Ready
    );
}

#[tokio::test]
async fn a_host_that_leaves_a_network_is_forgotten_by_the_others() {
    let wide = Wide::new(2).await;
    wide.create("a", 1).await.expect("an instance");
    wide.create("b", 2).await.expect("an instance");
    wide.settle().await;
    let (core, admin, project) = (&wide.site.core, &wide.site.admin, &wide.site.default);
    let before = left(&wide.site, wide.hosts[0].id).await;
    instance::delete(core, admin, project, &name("b"), None)
        .await
        .expect("deleting");
    wide.settle().await;
    assert_eq!(left(&wide.site, wide.hosts[1].id).await, 0);
    assert_eq!(left(&wide.site, wide.hosts[0].id).await, before - 1);
    instance::delete(core, admin, project, &name("a"), None)
        .await
        .expect("deleting");
    wide.settle().await;
    assert_eq!(
        left(&wide.site, wide.site.router.id).await,
        1,
        "the network alone"
    );
    rhyzome_app::network::delete(core, admin, project, &name("lab"), None)
        .await
        .expect("deleting");
    wide.settle().await;
    assert_eq!(left(&wide.site, wide.site.router.id).await, 0);
}

#[tokio::test]
async fn there_is_no_tunnel_between_components_of_one_host() {
    let wide = Wide::new(1).await;
    let same = HostFacts {
        host: "host-100".to_owned(),
        ..facts(1)
    };
    session::connected(&wide.site.core, wide.hosts[0].id, &same, "1", None)
        .await
        .expect("a session");
    wide.create("a", 1).await.expect("an instance");
    let mut conn = wide.site.core.store.read().await.expect("a connection");
    for component in [wide.site.router.id, wide.hosts[0].id] {
        let rows = rhyzome_store::placement::of_component(&mut conn, component).await;
        assert!(
            rows.expect("rows")
                .iter()
                .all(|row| row.kind != PlacementKind::Vtep)
        );
    }
}

#[tokio::test]
async fn the_others_learn_where_a_hosts_tunnels_end_now() {
    let mut wide = Wide::new(2).await;
    wide.create("a", 1).await.expect("an instance");
    wide.create("b", 2).await.expect("an instance");
    wide.settle().await;
    let moved = HostFacts {
        tunnel_address: Some([192, 0, 2, 77].into()),
        ..facts(1)
    };
    wide.hosts[0].session =
        session::connected(&wide.site.core, wide.hosts[0].id, &moved, "1", None)
            .await
            .expect("a session");
    let told = wide.settle().await;
    for jobs in [&told[0], &told[2]] {
        let [end] = ends(jobs)[..] else {
            panic!("one end each: {jobs:?}")
        };
        assert_eq!(end.address, std::net::IpAddr::from([192, 0, 2, 77]));
    }
}

#[tokio::test]
async fn a_guessed_end_that_is_not_where_the_session_comes_from_is_warned_of() {
    let wide = Wide::new(1).await;
    let core = &wide.site.core;
    let end = facts(1).tunnel_address.expect("an address");
    let elsewhere = std::net::IpAddr::from([203, 0, 113, 9]);
    for (guessed, from, warned) in [
        (true, elsewhere, true),
        (true, end, false),
        // The operator said so.
        (false, elsewhere, false),
    ] {
        let facts = HostFacts {
            tunnel_address_guessed: guessed,
            ..facts(1)
        };
        session::connected(core, wide.hosts[0].id, &facts, "1", Some(from))
            .await
            .expect("a session");
        let shown = component::get(core, &wide.site.admin, &name("h1")).await;
        let shown = shown.expect("the component");
        assert_eq!(shown.seen_from, Some(from));
        let said = shown.warnings.join("\n");
        assert_eq!(said.contains("set tunnel_address"), warned, "{said}");
        assert_eq!(said.contains("203.0.113.9"), warned, "{said}");
    }
}

#[tokio::test]
async fn a_host_that_no_tunnel_reaches_gets_nothing_of_the_network_and_says_why() {
    let wide = Wide::new(2).await;
    let without = HostFacts {
        tunnel_address: None,
        ..facts(1)
    };
    let narrow = HostFacts {
        mtu: Some(1400),
        ..facts(2)
    };
    for (host, facts) in wide.hosts.iter().zip([without, narrow]) {
        session::connected(&wide.site.core, host.id, &facts, "1", None)
            .await
            .expect("a session");
    }
    let refused = wide.create("a", 1).await.expect_err("no way");
    assert_eq!(refused.kind(), Kind::NoCapacity);
    assert!(
        refused.to_string().contains("set tunnel_address"),
        "{refused}"
    );
    let refused = wide.create("a", 2).await.expect_err("too narrow");
    assert!(
        refused.to_string().contains("1400 fit through the tunnel"),
        "{refused}"
    );
    let alone = InstanceSpec {
        host: Some(name("h1")),
        ..spec(&[])
    };
    assert_eq!(
        wide.create_as("b", alone)
            .await
            .expect("no network, no tunnel"),
        "h1"
    );
}

#[tokio::test]
async fn instances_go_where_labels_groups_and_cordons_let_them() {
    let wide = Wide::new(3).await;
    wide.label("h2", "disk", "ssd").await;
    let apart = || InstanceSpec {
        anti_affinity: Some(name("db")),
        ..spec(&["lab"])
    };
    let mut seen = Vec::new();
    for number in 1..=3 {
        seen.push(
            wide.create_as(&format!("db-{number}"), apart())
                .await
                .expect("a host of its own"),
        );
    }
    seen.sort();
    assert_eq!(seen, ["h1", "h2", "h3"]);
    let fourth = wide
        .create_as("db-4", apart())
        .await
        .expect_err("no fourth host");
    assert!(
        fourth.to_string().contains("has to be apart from"),
        "{fourth}"
    );
    let labelled = InstanceSpec {
        require: [("disk".to_owned(), "ssd".to_owned())].into(),
        affinity: Some(name("web")),
        ..spec(&["lab"])
    };
    assert_eq!(
        wide.create_as("web-1", labelled.clone())
            .await
            .expect("on ssd"),
        "h2"
    );
    let together = InstanceSpec {
        affinity: Some(name("web")),
        ..spec(&["lab"])
    };
    assert_eq!(
        wide.create_as("web-2", together.clone())
            .await
            .expect("beside"),
        "h2"
    );
    let (core, admin, project) = (&wide.site.core, &wide.site.admin, &wide.site.default);
    let cordon = Some(Cordon {
        reason: Some("new disks".to_owned()),
    });
    let change = ComponentSpec {
        cordon,
        labels: labelled.require.clone(),
    };
    component::update(core, admin, &name("h2"), change, None)
        .await
        .expect("cordoned");
    let refused = wide
        .create_as("web-3", together)
        .await
        .expect_err("its host is cordoned");
    assert!(
        refused.to_string().contains("h2: is cordoned: new disks"),
        "{refused}"
    );
    let why = instance::why(core, admin, project, &name("web-1"))
        .await
        .expect("a reason");
    assert_eq!(why.placing.len(), 4, "a word on each: {:?}", why.placing);
    let grown = InstanceSpec {
        memory: Size::mib(160),
        affinity: None,
        ..labelled
    };
    let grown = instance::update(core, admin, project, &name("web-1"), grown, None).await;
    let grown = grown.expect("what is there may grow");
    assert_eq!(grown.spec.affinity, Some(name("web")), "left out, it stays");
}

#[tokio::test]
async fn a_host_that_is_gone_is_shown_so_and_what_is_on_it_is_unknown_until_it_is_back() {
    let wide = Wide::new(2).await;
    wide.create("a", 1).await.expect("an instance");
    wide.create("b", 2).await.expect("an instance");
    wide.settle().await;
    let (core, admin) = (&wide.site.core, &wide.site.admin);
    let lost = &wide.hosts[0];
    let alive = || async {
        for component in [&wide.site.router, &wide.hosts[1]] {
            session::heartbeat(core, component.id, component.session)
                .await
                .expect("alive");
        }
        gone::once(core).await.expect("looked");
    };
    wide.site.clock.advance(29_000);
    alive().await;
    let shown = || async { component::get(core, admin, &name("h1")).await.expect("it") };
    assert_eq!(shown().await.gone_since, None, "within the bound");
    wide.site.clock.advance(2_000);
    alive().await;
    assert_eq!(shown().await.gone_since, shown().await.last_seen);
    let page = rhyzome_app::PageRequest {
        after: None,
        limit: 10,
    };
    let (rows, _) = component::list(core, admin, &page).await.expect("a list");
    let gone_ones: Vec<_> = rows.iter().filter(|row| row.gone_since.is_some()).collect();
    assert_eq!(
        gone_ones.len(),
        2,
        "h1, and the node that the site began with"
    );
    let a = wide.site.show("a").await.expect("it");
    assert_eq!(
        (a.status.phase, &a.status.observed),
        (Phase::Unknown, &None)
    );
    let own = a
        .status
        .conditions
        .iter()
        .find(|c| c.kind == "Instance")
        .expect("its own");
    assert_eq!((own.holds, own.reason.as_str()), (false, "Gone"));
    assert!(
        own.message.contains("it was running then"),
        "{}",
        own.message
    );
    let (rows, _) = instance::list(core, admin, &wide.site.default, &page)
        .await
        .expect("a list");
    let states: Vec<_> = rows
        .iter()
        .map(|row| (row.phase, row.state.is_some()))
        .collect();
    assert_eq!(states, [(Phase::Unknown, false), (Phase::Ready, true)]);
    alive().await;
    let story = wide.site.story().await;
    let told = |what: &str| {
        story
            .iter()
            .filter(|line| **line == format!("instance a {what}"))
            .count()
    };
    assert_eq!((told("unknown"), told("known")), (1, 0), "{story:?}");
    session::heartbeat(core, lost.id, lost.session)
        .await
        .expect("back");
    assert_eq!(shown().await.gone_since, None);
    assert_eq!(
        wide.site.show("a").await.expect("it").status.phase,
        Phase::Ready
    );
    assert!(
        wide.site
            .story()
            .await
            .contains(&"instance a known".to_owned())
    );
}

#[tokio::test]
async fn a_tunnel_to_a_new_host_says_that_its_own_host_refused_the_segment() {
    let wide = Wide::new(2).await;
    wide.create("web", 1).await.expect("an instance");
    let (core, refused) = (&wide.site.core, FailureKind::Permanent);
    let segments = wide.hosts[0].claim(core).await;
    wide.hosts[0]
        .fail(core, &segments[0], refused, "no bridges here")
        .await;
    wide.settle().await;
    wide.create("db", 2).await.expect("an instance");
    let (admin, project) = (&wide.site.admin, &wide.site.default);
    let lab = network::get(core, admin, project, &name("lab")).await;
    let conditions = lab.expect("it").status.conditions;
    let silent: Vec<_> = conditions
        .iter()
        .filter(|found| found.kind == "Vtep" && !found.message.ends_with("no bridges here"))
        .map(|found| (&found.reason, &found.message))
        .collect();
    assert!(silent.is_empty(), "{silent:?}");
    let told = conditions.iter().filter(|found| found.kind == "Vtep");
    assert_eq!(told.count(), 2, "of the router and of the other host");
}

#[tokio::test]
async fn an_interface_on_a_hosts_bridge_has_an_ethernet_address_of_its_own() {
    let wide = Wide::new(2).await;
    let facts = HostFacts {
        bridges: vec![name("uplink")],
        ..facts(2)
    };
    let (core, admin, project) = (&wide.site.core, &wide.site.admin, &wide.site.default);
    session::connected(core, wide.hosts[1].id, &facts, "1", None)
        .await
        .expect("a session");
    let on = |bridge: &str, mac: Option<MacAddr>| InstanceSpec {
        bridges: vec![Attachment {
            bridge: name(bridge),
            mac,
        }],
        ..spec(&["lab"])
    };
    let create = async |called: &str, spec: InstanceSpec| {
        instance::create(core, admin, project, name(called), spec).await
    };
    let refused = create("gw", on("trunk", None)).await.expect_err("none");
    assert!(
        refused.to_string().contains("has no bridge trunk"),
        "{refused}"
    );
    let gateway = create("gw", on("uplink", None)).await.expect("on h2");
    assert_eq!(gateway.status.host, name("h2"));
    let mac = gateway.spec.bridges[0].mac.expect("one was chosen");
    assert_ne!(mac, gateway.status.interfaces[0].mac);

    let refused = create("other", on("uplink", Some(mac))).await;
    let refused = refused.expect_err("it is the first one's").to_string();
    assert!(
        refused.contains(&mac.to_string()) && refused.contains("another instance's"),
        "{refused}"
    );
    let leased = gateway.status.interfaces[0].mac;
    let refused = create("other", on("uplink", Some(leased))).await;
    refused.expect_err("it is a lease's");

    let told = wide.settle().await;
    let instances = told.iter().flatten().filter_map(|job| match &job.task {
        Task::Ensure { placement } => match &placement.spec {
            PlacementSpec::Instance(spec) => Some(spec.bridges.clone()),
            _ => None,
        },
        _ => None,
    });
    let expected = vec![BridgeInterface {
        bridge: name("uplink"),
        mac,
    }];
    assert_eq!(instances.collect::<Vec<_>>(), [expected]);

    let moved = instance::update(core, admin, project, &name("gw"), on("trunk", None), None).await;
    moved.expect_err("another bridge");
    let grown = InstanceSpec {
        cpus: 2,
        ..on("uplink", None)
    };
    let grown = instance::update(core, admin, project, &name("gw"), grown, None).await;
    assert_eq!(grown.expect("grown").spec.bridges[0].mac, Some(mac));

    instance::delete(core, admin, project, &name("gw"), None)
        .await
        .expect("deleting");
    wide.settle().await;
    create("other", on("uplink", Some(mac)))
        .await
        .expect("the address is free again");
}
