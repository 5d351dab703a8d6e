//! Jobs go there, outcomes come back, whatever happens in between.

use std::sync::Arc;
use std::time::Duration;

use rhyzome_component::fake::{FakeDriver, Fault, Options};
use rhyzome_component::{Component, StartError};
use rhyzome_model::component::ComponentKind;
use rhyzome_model::job::{FailureKind, Outcome, Task};
use rhyzome_model::placement::Observed;

use super::site::{Running, Site, ensure, network, segment, setup, wait_for};

fn linux() -> Arc<FakeDriver> {
    FakeDriver::linux(Options::default()).expect("a fake")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_component_joins_does_its_jobs_and_reports_their_outcomes() {
    let site = Site::start().await;
    let driver = linux();
    let component = site.component(ComponentKind::Linux, driver.clone()).await;
    let placement = network(1);
    let job = site.gateway.put(component.id, ensure(&placement));
    let (outcome, _) = wait_for("the outcome", || site.gateway.outcome_of(job)).await;
    assert!(
        matches!(
            outcome,
            Outcome::Ensured {
                observed: Observed::Network(_)
            }
        ),
        "{outcome:?}"
    );
    assert_eq!(driver.generation(placement.id), Some(1));

    let wrong = site.gateway.put(component.id, ensure(&segment(2)));
    let (outcome, _) = wait_for("the outcome", || site.gateway.outcome_of(wrong)).await;
    let unsupported = Outcome::Failed {
        kind: FailureKind::Unsupported,
        message: "a segment cannot be made here".to_owned(),
    };
    assert_eq!(outcome, unsupported);

    driver.faults().next(Fault::Panic);
    let remove = Task::Remove {
        target: placement.reference(),
        generation: 2,
    };
    let panics = site.gateway.put(component.id, remove.clone());
    let (outcome, _) = wait_for("the outcome", || site.gateway.outcome_of(panics)).await;
    let transient = Outcome::Failed {
        kind: FailureKind::Transient,
        message: "the driver panicked: a fault was asked for".to_owned(),
    };
    assert_eq!(outcome, transient);

    let again = site.gateway.put(component.id, remove);
    let (outcome, _) = wait_for("the outcome", || site.gateway.outcome_of(again)).await;
    assert_eq!(outcome, Outcome::Removed);
    assert_eq!(driver.count(), 0);

    let late = site.gateway.put(component.id, ensure(&placement));
    let (outcome, _) = wait_for("the outcome", || site.gateway.outcome_of(late)).await;
    assert!(
        matches!(
            outcome,
            Outcome::Failed {
                kind: FailureKind::Permanent,
                ..
            }
        ),
        "an older generation was made again: {outcome:?}"
    );
    assert_eq!(driver.count(), 0);
    component.stop().await;
    wait_for("the end of the session", || {
        let state = site.gateway.state();
        (state.disconnected == state.sessions).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outcome_that_the_core_lost_is_said_again() {
    let site = Site::start().await;
    let driver = linux();
    site.gateway.state().lose_outcomes = 2;
    let component = site.component(ComponentKind::Linux, driver.clone()).await;
    let job = site.gateway.put(component.id, ensure(&network(1)));
    wait_for("the outcome", || site.gateway.outcome_of(job)).await;
    assert_eq!(
        driver.faults().calls(),
        1,
        "the job was done more than once"
    );
    assert_eq!(site.gateway.state().sessions.len(), 3);
    component.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_goes_on_while_the_core_is_away_and_is_answered_after() {
    let site = Site::start().await;
    let driver = linux();
    driver.faults().hold();
    let component = site.component(ComponentKind::Linux, driver.clone()).await;
    let job = site.gateway.put(component.id, ensure(&network(1)));
    wait_for("the job", || (driver.faults().calls() == 1).then_some(())).await;
    let (gateway, address) = site.stop().await;
    driver.faults().let_through(1);
    wait_for("the network", || (driver.count() == 1).then_some(())).await;
    assert_eq!(gateway.outcome_of(job), None);
    let site = Site::start_with(gateway, address).await;
    wait_for("the outcome", || site.gateway.outcome_of(job)).await;
    assert_eq!(
        driver.faults().calls(),
        1,
        "the job was done more than once"
    );
    component.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_accepted_comes_up_without_the_core_and_the_job_is_answered_after() {
    let site = Site::start().await;
    let driver = linux();
    driver.faults().hold();
    let component = site.component(ComponentKind::Linux, driver.clone()).await;
    let id = component.id;
    let job = site.gateway.put(id, ensure(&network(1)));
    wait_for("the job", || (driver.faults().calls() == 1).then_some(())).await;
    // Killed in the middle of the job, and so is the core.
    let folder = component.kill().await;
    let (gateway, address) = site.stop().await;
    let driver = linux();
    let component = Running::start(id, folder, driver.clone());
    wait_for("the network", || (driver.count() == 1).then_some(())).await;
    let site = Site::start_with(gateway, address).await;
    wait_for("the outcome", || site.gateway.outcome_of(job)).await;
    component.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_vanishes_is_brought_back_and_the_change_is_reported() {
    let site = Site::start().await;
    let driver = linux();
    let component = site.component(ComponentKind::Linux, driver.clone()).await;
    let placement = network(1);
    let job = site.gateway.put(component.id, ensure(&placement));
    wait_for("the outcome", || site.gateway.outcome_of(job)).await;
    driver.vanish(placement.id);
    let (changed, took) = wait_for("the change", || {
        site.gateway.state().changed.first().cloned()
    })
    .await;
    assert_eq!((changed.placement, changed.generation), (placement.id, 1));
    assert_eq!(driver.count(), 1);
    assert!(took < Duration::from_secs(5), "it took {took:?}");
    component.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_session_begins_with_an_inventory_and_goes_on_with_heartbeats() {
    let site = Site::start().await;
    let driver = linux();
    let component = site.component(ComponentKind::Linux, driver.clone()).await;
    let jobs: Vec<_> = (1..=700)
        .map(|number| site.gateway.put(component.id, ensure(&network(number))))
        .collect();
    for job in jobs {
        wait_for("the outcome", || site.gateway.outcome_of(job)).await;
    }
    let id = component.id;
    let folder = component.stop().await;
    let component = Running::start(id, folder, driver);
    let (found, _) = wait_for("the second inventory", || {
        site.gateway.state().inventories.get(1).cloned()
    })
    .await;
    assert_eq!(found.len(), 700);
    assert!(
        found
            .iter()
            .all(|found| found.generation == 1 && found.observed.is_some())
    );
    let before = site.gateway.state().heartbeats;
    wait_for("heartbeats", || {
        (site.gateway.state().heartbeats > before + 1).then_some(())
    })
    .await;
    component.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn progress_and_changes_that_mean_nothing_to_the_core_do_not_end_the_session() {
    let site = Site::start().await;
    site.gateway.state().know_nothing = true;
    let driver = linux();
    driver.faults().hold();
    let component = site.component(ComponentKind::Linux, driver.clone()).await;
    let placement = network(1);
    let job = site.gateway.put(component.id, ensure(&placement));
    let (progress, _) = wait_for("progress", || {
        site.gateway.state().progress.first().cloned()
    })
    .await;
    assert_eq!((progress.job, progress.step.as_str()), (job, "preparing"));
    driver.faults().let_through(2);
    wait_for("the outcome", || site.gateway.outcome_of(job)).await;
    driver.vanish(placement.id);
    wait_for("the change", || {
        site.gateway.state().changed.first().cloned()
    })
    .await;
    let next = site.gateway.put(component.id, ensure(&network(2)));
    driver.faults().let_through(1);
    wait_for("the outcome", || site.gateway.outcome_of(next)).await;
    assert_eq!(site.gateway.state().sessions.len(), 1);
    component.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_component_that_is_told_to_stop_ends_what_it_does_and_says_so() {
    let site = Site::start().await;
    let driver = linux();
    driver.faults().hold();
    let component = site.component(ComponentKind::Linux, driver.clone()).await;
    let job = site.gateway.put(component.id, ensure(&network(1)));
    wait_for("the job", || (driver.faults().calls() == 1).then_some(())).await;
    component.tell_to_stop();
    driver.faults().let_through(1);
    component.stop().await;
    assert!(matches!(
        site.gateway.outcome_of(job),
        Some(Outcome::Ensured { .. })
    ));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_state_is_one_components_and_none_before_it_has_joined() {
    let site = Site::start().await;
    let folder = tempfile::tempdir().expect("a folder");
    let error = Component::open(setup(folder.path())).expect_err("it has not joined");
    assert!(error.not_joined(), "{error}");
    site.join(folder.path(), ComponentKind::Linux).await;
    let first = Component::open(setup(folder.path())).expect("opened");
    let error = Component::open(setup(folder.path())).expect_err("it runs");
    assert!(matches!(error, StartError::Running(_)), "{error}");
    drop(first);
    Component::open(setup(folder.path())).expect("opened again");
}
