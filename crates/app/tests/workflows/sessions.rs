//! Sessions, leases of jobs, repair.

use rhyzome_app::session;
use rhyzome_app::{Kind, component, instance};
use rhyzome_model::component::{ComponentKind, HostFacts};
use rhyzome_model::instance::InstanceState;
use rhyzome_model::job::{FailureKind, JobState, Task};
use rhyzome_model::placement::{Found, Observed, PlacementKind, PlacementRef};
use rhyzome_model::status::Phase;
use rhyzome_model::{NetworkId, PlacementId};
use uuid::Uuid;

use super::site::{Component, Site, instance_observed, kinds, name, observed, well_done};

#[tokio::test]
async fn a_job_whose_component_vanished_is_given_out_again_and_the_old_answer_is_not_believed() {
    let site = Site::new().await;
    site.network("lab").await;
    let old = site.router.claim(&site.core).await;
    let facts = HostFacts::default();
    let session = session::connected(&site.core, site.router.id, &facts, "1", None)
        .await
        .expect("a session");
    assert!(
        !session::heartbeat(&site.core, site.router.id, site.router.session)
            .await
            .expect("an answer")
    );
    let again = session::claim(&site.core, site.router.id, session, 10)
        .await
        .expect("jobs");
    assert_eq!(again[0].id, old[0].id);
    assert!(again[0].fence > old[0].fence);
    site.router
        .answer(&site.core, &old[0], &well_done(&old[0]))
        .await;
    assert_eq!(site.phase("lab").await, Phase::Pending);
    site.router
        .answer(&site.core, &again[0], &well_done(&again[0]))
        .await;
    assert_eq!(site.phase("lab").await, Phase::Ready);
    // The same answer once more changes nothing.
    site.router
        .answer(&site.core, &again[0], &well_done(&again[0]))
        .await;
}

#[tokio::test]
async fn a_lease_that_is_not_renewed_runs_out() {
    let site = Site::new().await;
    site.network("lab").await;
    assert_eq!(site.router.claim(&site.core).await.len(), 1);
    site.clock.advance(50_000);
    assert!(
        session::heartbeat(&site.core, site.router.id, site.router.session)
            .await
            .expect("an answer")
    );
    site.clock.advance(50_000);
    assert!(site.router.claim(&site.core).await.is_empty());
    site.clock.advance(11_000);
    assert_eq!(site.router.claim(&site.core).await.len(), 1);
}

#[tokio::test]
async fn a_component_says_nothing_about_anothers_job() {
    let site = Site::new().await;
    site.network("lab").await;
    let core = &site.core;
    let job = site.router.claim(core).await.remove(0);
    let step = |of: rhyzome_model::ComponentId| {
        session::progress(core, of, (job.id, job.fence), "x", None)
    };
    step(site.hypervisor.id).await.expect("ignored");
    site.hypervisor.answer(core, &job, &well_done(&job)).await;
    let shown = rhyzome_app::job::get(core, &site.admin, None, job.id)
        .await
        .expect("the job");
    assert_eq!((shown.state, shown.step), (JobState::Leased, None));
    step(site.router.id).await.expect("noted");
    let shown = rhyzome_app::job::get(core, &site.admin, None, job.id)
        .await
        .expect("the job");
    assert_eq!(shown.step.as_deref(), Some("x"));
}

#[tokio::test]
async fn drift_is_repaired_and_what_nobody_wants_is_removed() {
    let site = Site::new().await;
    site.network("lab").await;
    let jobs = site.router.claim(&site.core).await;
    let Task::Ensure { placement } = &jobs[0].task else {
        panic!("an ensure")
    };
    site.router
        .answer(&site.core, &jobs[0], &well_done(&jobs[0]))
        .await;
    let there = Found {
        placement: placement.reference(),
        generation: placement.generation,
        observed: Some(observed(placement)),
        differs: String::new(),
    };
    session::inventory(&site.core, site.router.id, std::slice::from_ref(&there))
        .await
        .expect("taken");
    assert!(
        site.router.claim(&site.core).await.is_empty(),
        "nothing differs"
    );

    let orphan = PlacementRef {
        id: PlacementId(Uuid::now_v7()),
        kind: PlacementKind::Network,
        resource: Uuid::now_v7(),
        network: Some(NetworkId(Uuid::now_v7())),
    };
    let stray = Found {
        placement: orphan.clone(),
        generation: 4,
        observed: Some(Observed::Lease),
        differs: String::new(),
    };
    let broken = Found {
        observed: None,
        ..there
    };
    session::inventory(&site.core, site.router.id, &[broken, stray])
        .await
        .expect("taken");
    let jobs = site.router.claim(&site.core).await;
    assert_eq!(jobs.len(), 2);
    assert!(
        jobs.iter()
            .any(|job| matches!(&job.task, Task::Ensure { placement: p } if p.id == placement.id))
    );
    assert!(
        jobs.iter()
            .any(|job| matches!(&job.task, Task::Remove { target, .. } if *target == orphan))
    );
    for job in &jobs {
        site.router.answer(&site.core, job, &well_done(job)).await;
    }
    assert_eq!(site.phase("lab").await, Phase::Ready);
    let mut conn = site.core.store.read().await.expect("a connection");
    let left = rhyzome_store::placement::of_component(&mut conn, site.router.id)
        .await
        .expect("rows");
    assert_eq!(left.len(), 1, "the orphan is forgotten");
}

/// A core whose clock said 2040 for a while, and then what it should.
#[tokio::test]
async fn what_was_put_off_by_a_clock_that_was_ahead_is_done_when_it_is_right() {
    let site = Site::new().await;
    site.network("lab").await;
    let ahead = 14 * 365 * 86_400_000;
    site.clock.advance(ahead);
    let job = site.router.claim(&site.core).await.remove(0);
    site.router
        .fail(&site.core, &job, FailureKind::Transient, "not now")
        .await;
    assert_eq!(site.router.claim(&site.core).await, [], "it pauses");
    site.clock.advance(-ahead);
    assert_eq!(site.router.work(&site.core).await, 1);
    assert_eq!(site.phase("lab").await, Phase::Ready);

    // One that said 1970 puts off nothing.
    let behind = -56 * 365 * 86_400_000;
    site.clock.advance(behind);
    site.network("other").await;
    site.clock.advance(-behind);
    assert_eq!(site.router.work(&site.core).await, 1);
    assert_eq!(site.phase("other").await, Phase::Ready);
}

fn copy(row: &rhyzome_store::placement::Row) -> Found {
    Found {
        placement: row.reference(),
        generation: row.generation,
        observed: row.observed.clone(),
        differs: String::new(),
    }
}

/// No word of a component is longer than makes sense, or of characters that a database does not take.
#[tokio::test]
async fn a_failure_that_is_no_sentence_is_kept_as_far_as_it_makes_one() {
    let site = Site::new().await;
    site.network("lab").await;
    let job = site.router.claim(&site.core).await.remove(0);
    let message = format!("no\0where {}", "x".repeat(1 << 20));
    let step = session::progress(
        &site.core,
        site.router.id,
        (job.id, job.fence),
        &message,
        None,
    );
    step.await.expect("noted");
    site.router
        .fail(&site.core, &job, FailureKind::Permanent, &message)
        .await;
    let shown = rhyzome_app::job::get(&site.core, &site.admin, None, job.id).await;
    let told = shown.expect("the job").failure.expect("a failure").message;
    assert!(told.starts_with("no\u{fffd}where xxx"), "{}", &told[..40]);
    assert!(told.len() < 20_000 && told.ends_with('…'), "{}", told.len());
    assert_eq!(site.phase("lab").await, Phase::Failed);
}

/// A host that was copied with its state says that it has what the original has; so may one that lies.
#[tokio::test]
async fn what_a_component_says_it_has_of_anothers_is_left_alone() {
    let site = Site::new().await;
    site.image().await;
    site.instance("job", &[]).await.expect("an instance");
    site.settle().await;
    let mut conn = site.core.store.read().await.expect("a connection");
    let has = rhyzome_store::placement::of_component(&mut conn, site.hypervisor.id).await;
    drop(conn);
    let copied: Vec<Found> = has.expect("rows").iter().map(copy).collect();
    let facts = HostFacts::default();
    let other = Component::join(&site.core, ComponentKind::Libvirt, "copy", &facts).await;
    session::inventory(&site.core, other.id, &copied)
        .await
        .expect("taken");
    for component in [&site.hypervisor, &other] {
        assert_eq!(
            component.claim(&site.core).await,
            [],
            "nothing is to be done"
        );
    }
    let shown = site.show("job").await.expect("it");
    assert_eq!(shown.status.phase, Phase::Ready);

    // What it says of them by itself is not believed either, nor what they cannot be.
    let lie = Observed::Instance(instance_observed(InstanceState::Crashed, "a lie"));
    for (of, observed) in [(other.id, lie), (site.hypervisor.id, Observed::Lease)] {
        let placement = copied[0].placement.id;
        let generation = copied[0].generation;
        session::observed(&site.core, of, placement, generation, &observed)
            .await
            .expect("passed over");
        let shown = site.show("job").await.expect("it");
        assert_eq!(shown.status.phase, Phase::Ready);
    }
}

#[tokio::test]
async fn what_is_on_a_silent_component_is_unknown_and_never_called_running() {
    let site = Site::new().await;
    site.image().await;
    site.instance("job", &[]).await.expect("an instance");
    site.settle().await;
    session::disconnected(&site.core, site.hypervisor.id, site.hypervisor.session)
        .await
        .expect("ended");
    assert_eq!(
        site.show("job").await.expect("it").status.phase,
        Phase::Ready,
        "a moment is no silence"
    );
    site.clock.advance(31_000);
    let shown = site.show("job").await.expect("it");
    assert_eq!(shown.status.phase, Phase::Unknown);
    assert!(!shown.status.conditions[0].holds);
    let story = site.story().await;
    assert!(
        story.contains(&"instance job running".to_owned()),
        "{story:?}"
    );
}

#[tokio::test]
async fn a_component_gets_only_the_bytes_that_it_boots() {
    let site = Site::new().await;
    let digest = site.image().await;
    let refused = session::blob(&site.core, site.hypervisor.id, digest)
        .await
        .expect_err("not needed");
    assert_eq!(refused.kind(), Kind::NotFound);
    site.instance("job", &[]).await.expect("an instance");
    session::blob(&site.core, site.hypervisor.id, digest)
        .await
        .expect("needed now");
    let refused = session::blob(&site.core, site.router.id, digest)
        .await
        .expect_err("not the router's");
    assert_eq!(refused.kind(), Kind::NotFound);
    assert_eq!(kinds(&site.router.claim(&site.core).await), []);
}

#[tokio::test]
async fn nothing_waits_for_a_host_that_was_given_up() {
    let site = Site::new().await;
    site.image().await;
    site.network("lab").await;
    site.instance("early", &["lab"]).await.expect("an instance");
    site.instance("late", &["lab"]).await.expect("an instance");
    site.settle().await;
    let (core, admin, default) = (&site.core, &site.admin, &site.default);
    let delete = |called: &'static str| async move {
        instance::delete(core, admin, default, &name(called), None)
            .await
            .expect("deleting")
    };
    assert!(delete("early").await.is_some(), "its host has to remove it");
    component::revoke(core, admin, &name("node"))
        .await
        .expect("revoked");
    let busy = component::delete(core, admin, &name("node"), None)
        .await
        .expect_err("late is on it");
    assert_eq!(busy.kind(), Kind::InUse);
    delete("late").await;
    // The router still removes the leases.
    while site.router.work(core).await > 0 {}
    for gone in ["early", "late"] {
        assert_eq!(
            site.show(gone).await.expect_err("gone").kind(),
            Kind::NotFound
        );
    }
    component::delete(core, admin, &name("node"), None)
        .await
        .expect("nothing is on it");
    assert_eq!(site.phase("lab").await, Phase::Ready);
}
