use std::path::Path;
use std::time::Duration;

use rhyzome_model::job::{Action, FailureKind, Outcome, Task};
use rhyzome_model::placement::{Observed, Placement};
use rhyzome_proto::session::{Changed, FromComponent};

use super::*;
use crate::fake::{FakeDriver, Fault, Options};
use crate::samples::{ensure, generation, instance, job, lease, network, remove, segment};

const PATIENCE: Duration = Duration::from_secs(10);

struct Host {
    driver: Arc<FakeDriver>,
    ledger: Arc<Ledger>,
    reports: Arc<Reports>,
    jobs: Jobs,
}

impl Host {
    /// A component whose host has lost everything, as after a reboot; its ledger is in the folder.
    fn start(folder: &Path, driver: Arc<FakeDriver>) -> Self {
        let (ledger, _) = Ledger::open(folder).expect("a ledger");
        let (ledger, reports) = (Arc::new(ledger), Arc::new(Reports::default()));
        let config = JobsConfig {
            at_once: 4,
            round: Duration::from_secs(3600),
        };
        let jobs = Jobs::start(
            driver.clone(),
            Arc::clone(&ledger),
            Arc::clone(&reports),
            config,
        );
        Self {
            driver,
            ledger,
            reports,
            jobs,
        }
    }

    async fn outcome(&self, number: u128) -> Outcome {
        let id = JobId(uuid::Uuid::from_u128(number));
        let mut seen = None;
        wait_for("an outcome", || {
            self.reports.begin_session();
            let outcomes = self.reports.take().into_iter();
            seen = outcomes.into_iter().find_map(|message| match message {
                FromComponent::Outcome(outcome) if outcome.job == id => Some(outcome.outcome),
                _ => None,
            });
            seen.is_some()
        })
        .await;
        seen.expect("it was waited for")
    }

    async fn made(&self, placements: &[Placement]) {
        for (number, placement) in (1_000..).zip(placements) {
            self.jobs.put(job(number, ensure(placement)));
            let outcome = self.outcome(number).await;
            assert!(matches!(outcome, Outcome::Ensured { .. }), "{outcome:?}");
            self.jobs.recorded(JobId(uuid::Uuid::from_u128(number)), 1);
        }
    }
}

async fn wait_for(what: &str, mut there: impl FnMut() -> bool) {
    let began = Instant::now();
    while !there() {
        assert!(began.elapsed() < PATIENCE, "{what} did not come");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn linux() -> Arc<FakeDriver> {
    FakeDriver::linux(Options::default()).expect("a fake")
}

fn libvirt() -> Arc<FakeDriver> {
    FakeDriver::libvirt(Options::default()).expect("a fake")
}

#[tokio::test]
async fn everything_comes_up_in_order_after_a_reboot_without_a_core() {
    let folder = tempfile::tempdir().expect("a folder");
    let host = Host::start(folder.path(), libvirt());
    let placements = [segment(1), segment(2), instance(1), instance(2)];
    host.made(&placements).await;
    host.jobs.stop(PATIENCE).await;

    // An instance before its segment would fail, and come a second later.
    let host = Host::start(folder.path(), libvirt());
    let found = host.jobs.inventory().await.expect("an inventory");
    assert_eq!(
        found.found.len(),
        placements.len(),
        "the inventory waits for everything to be up"
    );
    assert_eq!(
        host.driver.faults().calls(),
        placements.len(),
        "a repair failed"
    );

    let again = Host::start(folder.path(), host.driver.clone());
    again.jobs.inventory().await.expect("an inventory");
    assert_eq!(
        again.driver.faults().calls(),
        placements.len(),
        "what is up was made again"
    );
}

#[tokio::test]
async fn a_removal_that_was_interrupted_is_finished_after_a_restart() {
    let folder = tempfile::tempdir().expect("a folder");
    let host = Host::start(folder.path(), linux());
    host.made(&[network(1)]).await;
    host.driver.faults().hold();
    host.jobs.put(job(1, remove(&network(1), 2)));
    wait_for("the removal", || host.ledger.counts().removing == 1).await;
    host.jobs.stop(Duration::ZERO).await;
    assert_eq!(host.driver.count(), 1);

    let options = Options::default();
    let driver = FakeDriver::linux(options).expect("a fake");
    let progress = crate::driver::Progress::new().0;
    driver.ensure(&network(1), &progress).await.expect("made");
    let host = Host::start(folder.path(), driver);
    wait_for("the end of the removal", || {
        host.ledger.counts().removing == 0
    })
    .await;
    assert_eq!(host.driver.count(), 0);
}

#[tokio::test]
async fn a_repair_that_fails_is_tried_again_after_a_pause() {
    let folder = tempfile::tempdir().expect("a folder");
    let host = Host::start(folder.path(), linux());
    host.made(&[network(1)]).await;
    let before = host.driver.faults().calls();
    host.driver
        .faults()
        .next(Fault::Fail(FailureKind::Transient, "not now".to_owned()));
    host.driver.faults().next(Fault::Panic);
    let began = Instant::now();
    host.driver.vanish(network(1).id);
    wait_for("the repair", || host.driver.count() == 1).await;
    assert_eq!(host.driver.faults().calls(), before + 3);
    let wanted = tokio::time::timeout(PATIENCE, host.reports.inventory_wanted());
    wanted
        .await
        .expect("the core sees that something is broken");
    // A pause of one second and one of two.
    assert!(
        began.elapsed() >= Duration::from_secs(3),
        "{:?}",
        began.elapsed()
    );
}

#[tokio::test]
async fn after_a_disturbance_all_that_is_missing_is_brought_back_before_the_next_round() {
    let folder = tempfile::tempdir().expect("a folder");
    let host = Host::start(folder.path(), linux());
    host.made(&[network(1), lease(1), network(2)]).await;
    for _ in 0..2 {
        host.driver.flush();
        wait_for("all of it", || host.driver.count() == 3).await;
    }
}

#[tokio::test]
async fn a_crash_is_undone_as_the_restart_policy_says_and_reported() {
    let folder = tempfile::tempdir().expect("a folder");
    let host = Host::start(folder.path(), libvirt());
    host.made(&[segment(1), instance(1)]).await;
    host.driver.crash(instance(1).id);
    let mut restarts = None;
    wait_for("the change", || {
        for message in host.reports.take() {
            if let FromComponent::Changed(Changed {
                observed: Observed::Instance(now),
                ..
            }) = message
            {
                restarts = Some(now.restarts);
            }
        }
        restarts.is_some()
    })
    .await;
    assert_eq!(restarts, Some(1));
}

#[tokio::test]
async fn what_an_action_changed_is_told_with_its_outcome() {
    let folder = tempfile::tempdir().expect("a folder");
    let host = Host::start(folder.path(), libvirt());
    host.made(&[segment(1), instance(1)]).await;
    let target = instance(1).reference();
    let action = Action::Reboot;
    host.jobs.put(job(1, Task::Act { target, action }));
    let mut told = Vec::new();
    wait_for("the outcome", || {
        told.extend(host.reports.take());
        told.iter()
            .any(|message| matches!(message, FromComponent::Outcome(_)))
    })
    .await;
    let reason = told.iter().find_map(|message| match message {
        FromComponent::Changed(Changed {
            observed: Observed::Instance(now),
            ..
        }) => Some(now.reason.as_str()),
        _ => None,
    });
    assert_eq!(reason, Some("rebooted"));
}

#[tokio::test]
async fn an_action_is_done_once_whatever_comes_twice() {
    let folder = tempfile::tempdir().expect("a folder");
    let host = Host::start(folder.path(), libvirt());
    host.made(&[segment(1), instance(1)]).await;
    let target = instance(1).reference();
    let reboot = job(
        1,
        Task::Act {
            target,
            action: Action::Reboot,
        },
    );
    let before = host.driver.faults().calls();
    host.jobs.put(reboot.clone());
    assert_eq!(host.outcome(1).await, Outcome::Acted { output: Vec::new() });
    host.jobs.put(Job {
        fence: 2,
        ..reboot.clone()
    });
    host.jobs.stop(PATIENCE).await;
    assert_eq!(host.driver.faults().calls(), before + 1);

    // The outcome was not recorded, and the next process does not have it.
    let again = Host::start(folder.path(), host.driver.clone());
    again.jobs.put(Job { fence: 3, ..reboot });
    let outcome = again.outcome(1).await;
    let Outcome::Failed {
        kind: FailureKind::Permanent,
        message,
    } = outcome
    else {
        panic!("{outcome:?}")
    };
    assert!(
        message.contains("whether it was done is not known"),
        "{message}"
    );
    assert_eq!(again.driver.faults().calls(), before + 1);
}

#[tokio::test]
async fn a_replaced_job_is_answered_and_the_newest_generation_is_what_stays() {
    let folder = tempfile::tempdir().expect("a folder");
    let host = Host::start(folder.path(), linux());
    host.made(&[network(1)]).await;
    let before = host.driver.faults().calls();
    host.driver.faults().hold();
    host.jobs.put(job(1, ensure(&generation(2, network(1)))));
    wait_for("the first", || host.driver.faults().calls() == before + 1).await;
    host.jobs.put(job(2, ensure(&generation(3, network(1)))));
    host.jobs.put(job(3, ensure(&generation(4, network(1)))));
    host.driver.faults().let_through(2);
    let outcome = host.outcome(2).await;
    assert!(matches!(outcome, Outcome::Failed { .. }), "{outcome:?}");
    assert!(matches!(host.outcome(3).await, Outcome::Ensured { .. }));
    assert_eq!(host.driver.generation(network(1).id), Some(4));
    assert_eq!(host.driver.faults().calls(), before + 2);
}

#[tokio::test]
async fn what_needs_another_fails_for_now() {
    let folder = tempfile::tempdir().expect("a folder");
    let host = Host::start(folder.path(), linux());
    host.jobs.put(job(1, ensure(&lease(1))));
    let outcome = host.outcome(1).await;
    let transient = FailureKind::Transient;
    assert!(
        matches!(outcome, Outcome::Failed { kind, .. } if kind == transient),
        "{outcome:?}"
    );
}
