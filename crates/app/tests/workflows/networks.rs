//! Networks: allocation, isolation between projects, what may not be changed.

use rhyzome_app::{Kind, network, project};
use rhyzome_model::network::NetworkSpec;
use rhyzome_model::status::Phase;

use super::site::{Site, name};

#[tokio::test]
async fn a_network_gets_prefixes_a_port_and_an_endpoint() {
    let site = Site::new().await;
    let made = site.network("lab").await;
    assert_eq!(made.status.phase, Phase::Pending);
    assert_eq!(made.status.domain, "lab.default.rhyzome.internal");
    assert_eq!(made.status.endpoint.public_key, None);
    assert!((51820..=51829).contains(&made.status.endpoint.port));
    site.settle().await;
    let shown = network::get(&site.core, &site.admin, &site.default, &name("lab"))
        .await
        .expect("it");
    assert_eq!(shown.status.phase, Phase::Ready);
    assert_eq!(shown.status.endpoint.public_key.as_deref(), Some("key"));
    let port = shown.status.endpoint.port;
    assert_eq!(
        shown.status.endpoint.address,
        Some(format!("192.0.2.1:{port}"))
    );
}

#[tokio::test]
async fn prefixes_may_overlap_between_projects_but_not_inside_one() {
    let site = Site::new().await;
    let (core, admin) = (&site.core, &site.admin);
    let spec = |prefix: &str| NetworkSpec {
        ipv4: Some(prefix.parse().expect("a prefix")),
        ..NetworkSpec::default()
    };
    site.try_network("a", spec("10.1.0.0/24"))
        .await
        .expect("a network");
    let error = site
        .try_network("b", spec("10.1.0.0/16"))
        .await
        .expect_err("overlaps");
    assert_eq!(
        (error.kind(), error.field()),
        (Kind::Invalid, Some("spec.ipv4"))
    );
    assert_eq!(
        error.public(),
        "10.1.0.0/16 overlaps the network a of this project"
    );
    let garden = name("garden");
    project::create(core, admin, garden.clone())
        .await
        .expect("a project");
    network::create(core, admin, &garden, name("a"), spec("10.1.0.0/24"))
        .await
        .expect("isolated");
    let error = site
        .try_network("c", spec("10.1.2.3/24"))
        .await
        .expect_err("host bits");
    assert_eq!(error.field(), Some("spec.ipv4"));
}

#[tokio::test]
async fn every_network_of_a_router_has_a_port_of_its_own_until_there_are_none() {
    let site = Site::new().await;
    let mut ports = Vec::new();
    for number in 0..10 {
        ports.push(
            site.network(&format!("n{number}"))
                .await
                .status
                .endpoint
                .port,
        );
    }
    ports.sort_unstable();
    assert_eq!(ports, (51820..=51829).collect::<Vec<_>>());
    let error = site
        .try_network("more", NetworkSpec::default())
        .await
        .expect_err("no port");
    assert_eq!(error.kind(), Kind::NoCapacity);
}

#[tokio::test]
async fn an_update_reaches_the_router_and_an_outdated_one_is_refused() {
    let site = Site::new().await;
    let (core, admin, default) = (&site.core, &site.admin, &site.default);
    site.network("lab").await;
    site.settle().await;
    let egress = NetworkSpec {
        egress: true,
        ..NetworkSpec::default()
    };
    let changed =
        network::update(core, admin, default, &name("lab"), egress.clone(), Some(1)).await;
    let changed = changed.expect("changed");
    assert_eq!(
        (changed.meta.generation, changed.status.phase),
        (2, Phase::Pending)
    );
    let outdated =
        network::update(core, admin, default, &name("lab"), egress.clone(), Some(1)).await;
    assert_eq!(outdated.expect_err("outdated").kind(), Kind::Changed);
    site.settle().await;
    // The same once more is no change and no job.
    network::update(core, admin, default, &name("lab"), egress, None)
        .await
        .expect("the same");
    assert_eq!(site.router.work(core).await, 0);
    let moved = NetworkSpec {
        ipv4: Some("10.9.0.0/24".parse().expect("a prefix")),
        ..NetworkSpec::default()
    };
    let error = network::update(core, admin, default, &name("lab"), moved, None).await;
    assert_eq!(error.expect_err("fixed").field(), Some("spec.ipv4"));
}

#[tokio::test]
async fn nothing_of_one_project_is_found_from_another() {
    let site = Site::new().await;
    let (core, admin) = (&site.core, &site.admin);
    site.network("lab").await;
    let garden = name("garden");
    project::create(core, admin, garden.clone())
        .await
        .expect("a project");
    let error = network::get(core, admin, &garden, &name("lab"))
        .await
        .expect_err("not there");
    assert_eq!(error.kind(), Kind::NotFound);
    let (listed, _) = network::list(core, admin, &garden, &Default::default())
        .await
        .expect("a list");
    assert!(listed.is_empty());
    let events = rhyzome_app::event::after(core, admin, Some(&garden), 0, 100)
        .await
        .expect("events");
    assert!(
        events.iter().all(|e| e.resource_name != "lab"),
        "{events:?}"
    );
    let busy = project::delete(core, admin, &site.default, None)
        .await
        .expect_err("the default");
    assert_eq!(busy.kind(), Kind::InUse);
    project::delete(core, admin, &garden, None)
        .await
        .expect("an empty project goes");
}

#[tokio::test]
async fn a_request_whose_answer_was_lost_in_a_crash_is_not_done_twice() {
    use rhyzome_app::idempotency::{self, Begin};
    let site = Site::new().await;
    let (core, admin) = (&site.core, &site.admin);
    let begin = async |key: &str| {
        idempotency::begin(core, admin, key, "h")
            .await
            .expect("begun")
    };
    let Begin::New(done) = begin("done").await else {
        panic!("it was done before");
    };
    let Begin::New(not_done) = begin("not done").await else {
        panic!("it was done before");
    };
    let creating = rhyzome_app::network::create(
        core,
        admin,
        &site.default,
        name("lab"),
        NetworkSpec::default(),
    );
    let made = idempotency::during(&done, creating).await;
    let made = made.expect("a network");
    assert!(matches!(begin("done").await, Begin::InProgress));
    // Here the core is killed.
    drop((done, not_done));
    assert!(matches!(begin("not done").await, Begin::New(_)));
    let Begin::Lost(subject) = begin("done").await else {
        panic!("it would be done again");
    };
    let told = idempotency::answer(core, admin, &subject).await;
    let told = told.expect("the network");
    assert_eq!(told["id"], made.meta.id.to_string());
    let other = idempotency::begin(core, admin, "done", "another").await;
    assert!(other.is_err(), "{other:?}");
}
