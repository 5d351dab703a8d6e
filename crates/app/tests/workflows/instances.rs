//! The life of an instance.

use rhyzome_app::{Kind, instance, network, session};
use rhyzome_model::Size;
use rhyzome_model::instance::{InstanceSpec, InstanceState, Power};
use rhyzome_model::job::{FailureKind, Outcome, Task};
use rhyzome_model::placement::{Observed, PlacementKind, PlacementSpec};
use rhyzome_model::status::Phase;

use super::site::{Site, instance_observed, kinds, name, spec, well_done};

#[tokio::test]
async fn an_instance_has_its_addresses_before_anything_boots_and_waits_for_what_it_needs() {
    let site = Site::new().await;
    site.image().await;
    site.network("lab").await;
    let made = site.instance("web", &["lab"]).await.expect("an instance");
    let interface = &made.status.interfaces[0];
    assert_eq!(interface.dns_name, "web.lab.default.rhyzome.internal");
    let line = format!("ip={}/24 gw=", interface.ipv4);
    assert!(
        made.status.command_line.starts_with(&line),
        "{}",
        made.status.command_line
    );
    assert_eq!(made.status.phase, Phase::Pending);

    // The hypervisor may make the segment, but not the instance: its lease is not there yet.
    let jobs = site.hypervisor.claim(&site.core).await;
    assert_eq!(kinds(&jobs), [PlacementKind::Segment]);
    site.hypervisor
        .answer(&site.core, &jobs[0], &well_done(&jobs[0]))
        .await;
    assert!(site.hypervisor.claim(&site.core).await.is_empty());
    // The router makes the network first, then the lease.
    let jobs = site.router.claim(&site.core).await;
    assert_eq!(kinds(&jobs), [PlacementKind::Network]);
    assert!(site.router.claim(&site.core).await.is_empty());
    site.router
        .answer(&site.core, &jobs[0], &well_done(&jobs[0]))
        .await;
    let jobs = site.router.claim(&site.core).await;
    assert_eq!(kinds(&jobs), [PlacementKind::Lease]);
    site.router
        .answer(&site.core, &jobs[0], &well_done(&jobs[0]))
        .await;
    let jobs = site.hypervisor.claim(&site.core).await;
    assert_eq!(kinds(&jobs), [PlacementKind::Instance]);
    let Task::Ensure { placement } = &jobs[0].task else {
        panic!("an ensure: {jobs:?}")
    };
    let PlacementSpec::Instance(told) = &placement.spec else {
        panic!("an instance")
    };
    assert_eq!(told.interfaces[0].mac, interface.mac);
    site.hypervisor
        .answer(&site.core, &jobs[0], &well_done(&jobs[0]))
        .await;

    let shown = site.show("web").await.expect("it");
    assert_eq!(shown.status.phase, Phase::Ready);
    assert!(
        shown.status.conditions.iter().all(|c| c.holds),
        "{:?}",
        shown.status.conditions
    );
}

#[tokio::test]
async fn a_deleted_instance_leaves_nothing_and_what_it_needed_goes_after_it() {
    let site = Site::new().await;
    site.image().await;
    site.network("lab").await;
    site.instance("a", &["lab"]).await.expect("an instance");
    site.instance("b", &["lab"]).await.expect("an instance");
    site.settle().await;

    let (core, admin, project) = (&site.core, &site.admin, &site.default);
    let deleting = instance::delete(core, admin, project, &name("a"), None)
        .await
        .expect("deleting");
    assert_eq!(deleting.expect("on its way").status.phase, Phase::Deleting);
    // The lease stays until the instance is gone; the segment stays for b.
    assert!(site.router.claim(core).await.is_empty());
    let jobs = site.hypervisor.claim(core).await;
    assert_eq!(kinds(&jobs), [PlacementKind::Instance]);
    site.hypervisor
        .answer(core, &jobs[0], &well_done(&jobs[0]))
        .await;
    assert_eq!(
        kinds(&site.router.claim(core).await),
        [PlacementKind::Lease]
    );
    site.clock.advance(120_000);
    site.settle().await;
    assert_eq!(
        site.show("a").await.expect_err("gone").kind(),
        Kind::NotFound
    );
    assert_eq!(
        site.show("b").await.expect("there").status.phase,
        Phase::Ready
    );

    let in_use = network::delete(core, admin, project, &name("lab"), None).await;
    assert_eq!(in_use.expect_err("b is in it").kind(), Kind::InUse);
    instance::delete(core, admin, project, &name("b"), None)
        .await
        .expect("deleting");
    network::delete(core, admin, project, &name("lab"), None)
        .await
        .expect("deleting");
    site.settle().await;
    assert_eq!(
        network::get(core, admin, project, &name("lab"))
            .await
            .expect_err("gone")
            .kind(),
        Kind::NotFound
    );
    let mut conn = core.store.read().await.expect("a connection");
    for component in [site.hypervisor.id, site.router.id] {
        let left = rhyzome_store::placement::of_component(&mut conn, component).await;
        assert!(left.expect("placements").is_empty());
    }
}

#[tokio::test]
async fn an_instance_recreated_under_its_name_gets_the_same_addresses() {
    let site = Site::new().await;
    site.image().await;
    site.network("lab").await;
    let first = site.instance("web", &["lab"]).await.expect("an instance");
    site.settle().await;
    instance::delete(&site.core, &site.admin, &site.default, &name("web"), None)
        .await
        .expect("deleting");
    let taken = site
        .instance("web", &["lab"])
        .await
        .expect_err("still there");
    assert_eq!(taken.kind(), Kind::NameTaken);
    site.settle().await;
    let again = site.instance("web", &["lab"]).await.expect("an instance");
    assert_eq!(again.status.interfaces, first.status.interfaces);
    assert_ne!(again.meta.id, first.meta.id);
}

#[tokio::test]
async fn stopping_and_starting_change_the_wanted_state_and_the_address_stays() {
    let site = Site::new().await;
    site.image().await;
    site.network("lab").await;
    let made = site.instance("web", &["lab"]).await.expect("an instance");
    site.settle().await;
    let (core, admin, project) = (&site.core, &site.admin, &site.default);

    let stopping = instance::stop(core, admin, project, &name("web"), false)
        .await
        .expect("stopping");
    assert_eq!(stopping.spec.power, Power::Stopped);
    assert_eq!(stopping.status.phase, Phase::Pending);
    site.settle().await;
    let stopped = site.show("web").await.expect("it");
    assert_eq!(
        stopped.status.observed.as_ref().map(|o| o.state),
        Some(InstanceState::Stopped)
    );
    assert_eq!(stopped.status.interfaces, made.status.interfaces);
    // Once more is no change.
    instance::stop(core, admin, project, &name("web"), false)
        .await
        .expect("stopped");
    assert_eq!(site.hypervisor.work(core).await, 0);
    instance::start(core, admin, project, &name("web"))
        .await
        .expect("starting");
    site.settle().await;
    let running = site.show("web").await.expect("it");
    assert_eq!(
        running.status.observed.map(|o| o.state),
        Some(InstanceState::Running)
    );
}

#[tokio::test]
async fn an_instance_that_ended_by_itself_is_shown_so_and_can_be_started_again() {
    let site = Site::new().await;
    site.image().await;
    site.instance("job", &[]).await.expect("an instance");
    let jobs = site.hypervisor.claim(&site.core).await;
    let Task::Ensure { placement } = &jobs[0].task else {
        panic!("an ensure")
    };
    site.hypervisor
        .answer(&site.core, &jobs[0], &well_done(&jobs[0]))
        .await;
    let crashed = Observed::Instance(instance_observed(InstanceState::Crashed, "panic: no init"));
    session::observed(
        &site.core,
        site.hypervisor.id,
        placement.id,
        placement.generation,
        &crashed,
    )
    .await
    .expect("recorded");
    let shown = site.show("job").await.expect("it");
    assert_eq!(
        shown.status.observed.map(|o| o.reason).as_deref(),
        Some("panic: no init")
    );
    let why = instance::why(&site.core, &site.admin, &site.default, &name("job"))
        .await
        .expect("why");
    assert_eq!(why.summary, "job is crashed on node: panic: no init");

    instance::start(&site.core, &site.admin, &site.default, &name("job"))
        .await
        .expect("starting");
    let again = site.hypervisor.claim(&site.core).await;
    let Task::Ensure { placement: newer } = &again[0].task else {
        panic!("an ensure")
    };
    assert_eq!(newer.generation, placement.generation + 1);
    // A report about the generation before is not believed any more.
    site.hypervisor
        .answer(&site.core, &again[0], &well_done(&again[0]))
        .await;
    session::observed(
        &site.core,
        site.hypervisor.id,
        placement.id,
        placement.generation,
        &crashed,
    )
    .await
    .expect("ignored");
    let shown = site.show("job").await.expect("it");
    assert_eq!(
        shown.status.observed.map(|o| o.state),
        Some(InstanceState::Running)
    );
}

#[tokio::test]
async fn the_first_ssh_host_keys_of_an_instance_stay_whatever_its_hypervisor_says_later() {
    let site = Site::new().await;
    site.image().await;
    site.instance("web", &[]).await.expect("an instance");
    let jobs = site.hypervisor.claim(&site.core).await;
    let Task::Ensure { placement } = &jobs[0].task else {
        panic!("an ensure")
    };
    site.hypervisor
        .answer(&site.core, &jobs[0], &well_done(&jobs[0]))
        .await;
    for keys in [
        vec![],
        vec!["ssh-ed25519 AAAAone"],
        vec!["ssh-ed25519 AAAAtwo"],
        vec![],
    ] {
        let mut seen = instance_observed(InstanceState::Running, "as asked");
        seen.ssh.host_keys = keys.into_iter().map(str::to_owned).collect();
        let (core, id) = (&site.core, site.hypervisor.id);
        let seen = Observed::Instance(seen);
        session::observed(core, id, placement.id, placement.generation, &seen)
            .await
            .expect("recorded");
    }
    instance::start(&site.core, &site.admin, &site.default, &name("web"))
        .await
        .expect("started");
    site.settle().await;
    let shown = site.show("web").await.expect("it").status.observed;
    assert_eq!(
        shown.expect("observed").ssh.host_keys,
        ["ssh-ed25519 AAAAone"]
    );
}

#[tokio::test]
async fn what_does_not_fit_is_refused_with_a_word_on_every_host() {
    let site = Site::new().await;
    site.image().await;
    let (core, admin, project) = (&site.core, &site.admin, &site.default);
    let big = InstanceSpec {
        memory: Size::mib(1000),
        ..spec(&[])
    };
    instance::create(core, admin, project, name("big"), big.clone())
        .await
        .expect("fits");
    let error = instance::create(core, admin, project, name("too"), big)
        .await
        .expect_err("full");
    assert_eq!(error.kind(), Kind::NoCapacity);
    assert_eq!(
        error.public(),
        "no host has room: node: 1000MiB of memory wanted, 24MiB free"
    );
    let elsewhere = InstanceSpec {
        host: Some(name("moon")),
        ..spec(&[])
    };
    let error = instance::create(core, admin, project, name("far"), elsewhere)
        .await
        .expect_err("no host");
    assert_eq!(
        (error.kind(), error.field()),
        (Kind::Invalid, Some("spec.host"))
    );
    let grown = InstanceSpec {
        memory: Size::mib(2000),
        ..site.show("big").await.expect("it").spec
    };
    let error = instance::update(core, admin, project, &name("big"), grown, None).await;
    assert_eq!(error.expect_err("too big").kind(), Kind::NoCapacity);
}

#[tokio::test]
async fn a_transient_failure_is_tried_again_later_and_a_removal_for_ever() {
    let site = Site::new().await;
    site.image().await;
    site.instance("job", &[]).await.expect("an instance");
    let jobs = site.hypervisor.claim(&site.core).await;
    site.hypervisor
        .fail(
            &site.core,
            &jobs[0],
            FailureKind::Transient,
            "libvirt is away",
        )
        .await;
    assert!(site.hypervisor.claim(&site.core).await.is_empty());
    let shown = site.show("job").await.expect("it");
    assert_eq!(shown.status.phase, Phase::Pending);
    assert_eq!(
        shown.status.conditions[0].message,
        "libvirt is away; it is tried again"
    );
    site.clock.advance(5_000);
    assert_eq!(site.hypervisor.work(&site.core).await, 1);

    instance::delete(&site.core, &site.admin, &site.default, &name("job"), None)
        .await
        .expect("deleting");
    for _ in 0..20 {
        let jobs = site.hypervisor.claim(&site.core).await;
        assert_eq!(jobs.len(), 1, "a removal is never given up");
        site.hypervisor
            .fail(
                &site.core,
                &jobs[0],
                FailureKind::Permanent,
                "the disk is stuck",
            )
            .await;
        site.clock.advance(90_000);
    }
    assert_eq!(site.hypervisor.work(&site.core).await, 1);
    assert_eq!(
        site.show("job").await.expect_err("gone").kind(),
        Kind::NotFound
    );
}

#[tokio::test]
async fn the_console_is_asked_of_the_hypervisor() {
    let site = Site::new().await;
    site.image().await;
    site.instance("job", &[]).await.expect("an instance");
    site.settle().await;
    let (core, admin, project) = (&site.core, &site.admin, &site.default);
    let job = name("job");
    let console = instance::console(core, admin, project, &job, 4096);
    let answer = async {
        loop {
            let jobs = site.hypervisor.claim(core).await;
            if let Some(job) = jobs.first() {
                let output = b"hello\n".to_vec();
                site.hypervisor
                    .answer(core, job, &Outcome::Acted { output })
                    .await;
                return;
            }
            tokio::task::yield_now().await;
        }
    };
    let (text, ()) = tokio::join!(console, answer);
    assert_eq!(text.expect("the console"), b"hello\n");
}

#[tokio::test]
async fn what_is_promised_on_a_host_is_the_sum_over_its_instances() {
    let site = Site::new().await;
    site.image().await;
    let (core, admin, project) = (&site.core, &site.admin, &site.default);
    let promised = async || {
        let mut conn = core.store.read().await.expect("a connection");
        let wrong = rhyzome_store::component::mispromised(&mut conn).await;
        assert_eq!(wrong.expect("a comparison"), []);
        let host = rhyzome_store::component::by_id(&mut conn, site.hypervisor.id).await;
        let used = host.expect("a look").expect("a host").used;
        (used.instances, used.cpus, used.memory.as_bytes() >> 20)
    };
    for which in ["one", "two"] {
        site.instance(which, &[]).await.expect("an instance");
    }
    assert_eq!(promised().await, (2, 2, 256));
    let changed = InstanceSpec {
        cpus: 2,
        memory: Size::mib(64),
        ..spec(&[])
    };
    instance::update(core, admin, project, &name("one"), changed, None)
        .await
        .expect("changed");
    assert_eq!(promised().await, (2, 3, 192));
    instance::delete(core, admin, project, &name("one"), None)
        .await
        .expect("on its way");
    assert_eq!(
        promised().await,
        (2, 3, 192),
        "it is there until it is gone"
    );
    site.settle().await;
    assert_eq!(promised().await, (1, 1, 128));
}
