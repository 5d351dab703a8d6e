//! What every [`Driver`] has to keep, as functions: run on the simulated hosts here, and on real ones
//! by the crates that drive them. Each panics, saying what was broken.
//!
//! A [`Subject`] brings the placements: what others need stands first (a network before its leases, a
//! segment before its instances). Each function leaves the host as it found it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rhyzome_model::placement::{Found, Observed, Placement, PlacementRef};

use crate::driver::{Driver, DriverError, Progress};

/// How long a change may take to be told.
const PATIENCE: Duration = Duration::from_secs(30);

/// A driver on a host that nothing else uses.
pub struct Subject<'a> {
    pub driver: Arc<dyn Driver>,
    /// Of each kind that it can make at least one.
    pub placements: Vec<Placement>,
    /// One of a kind that it cannot make.
    pub unsupported: Placement,
    /// Makes another driver for the same host, as the component's next start would. The one before is
    /// not used any more.
    pub restart: &'a (dyn Fn() -> Arc<dyn Driver> + Sync),
    /// Breaks a placement on the host behind the driver's back, so that it notices.
    pub break_one: &'a (dyn Fn(&Placement) + Sync),
}

/// All of the contract.
pub async fn all(subject: &mut Subject<'_>) {
    ensuring_again_changes_nothing(subject).await;
    removing_is_fine_when_there_is_nothing(subject).await;
    what_is_not_in_the_ledger_is_found_and_not_as_it_should_be(subject).await;
    another_spec_is_found_and_repaired(subject).await;
    a_restart_finds_everything_as_it_was(subject).await;
    what_ensure_was_interrupted_in_can_be_ensured_and_removed(subject).await;
    what_breaks_is_told_found_and_repaired(subject).await;
    another_kind_is_unsupported(subject).await;
    placements_are_made_and_removed_at_once(subject).await;
}

pub async fn ensuring_again_changes_nothing(subject: &Subject<'_>) {
    let first = make(subject).await;
    let second = make(subject).await;
    assert_eq!(first, second, "ensuring again changed what is observed");
    for (placement, observed) in subject.placements.iter().zip(first) {
        let found = found(subject, &subject.placements, placement)
            .await
            .expect("it is found");
        assert_eq!(
            found.placement,
            placement.reference(),
            "it is found under another reference"
        );
        assert!(
            [0, placement.generation].contains(&found.generation),
            "it is found in generation {} and not {}",
            found.generation,
            placement.generation
        );
        assert_eq!(
            found.observed,
            Some(observed.clone()),
            "inventory and ensure do not agree"
        );
        let seen = subject.driver.look(placement).await.expect("looked at");
        assert_eq!(seen, Ok(observed), "look and ensure do not agree");
    }
    clear(subject).await;
}

pub async fn removing_is_fine_when_there_is_nothing(subject: &Subject<'_>) {
    clear(subject).await;
    make(subject).await;
    clear(subject).await;
    clear(subject).await;
}

pub async fn what_is_not_in_the_ledger_is_found_and_not_as_it_should_be(subject: &Subject<'_>) {
    make(subject).await;
    for placement in &subject.placements {
        let found = found(subject, &[], placement)
            .await
            .expect("it carries our mark");
        assert_eq!(
            found.placement,
            placement.reference(),
            "it is found under another reference"
        );
        assert_eq!(
            found.observed, None,
            "nobody asked for it, and it is as it should be"
        );
    }
    clear(subject).await;
}

pub async fn another_spec_is_found_and_repaired(subject: &Subject<'_>) {
    make(subject).await;
    for placement in &subject.placements {
        let newer = Placement {
            generation: placement.generation + 1,
            ..placement.clone()
        };
        let found = found(subject, std::slice::from_ref(&newer), placement).await;
        let found = found.expect("the older one is there");
        assert!(
            found.observed.is_none() || found.generation == placement.generation,
            "an older generation is said to be the newer one"
        );
        ensure(subject, &newer).await.expect("the newer generation");
        let found = self::found(subject, std::slice::from_ref(&newer), placement).await;
        let found = found.expect("it is found");
        assert!(
            found.observed.is_some(),
            "the newer generation is not as it should be"
        );
        assert!(
            [0, newer.generation].contains(&found.generation),
            "it is found in an older one"
        );
    }
    clear(subject).await;
}

pub async fn a_restart_finds_everything_as_it_was(subject: &mut Subject<'_>) {
    let before = make(subject).await;
    subject.driver = (subject.restart)();
    for (placement, observed) in subject.placements.iter().zip(&before) {
        let found = found(subject, &subject.placements, placement).await;
        let found = found.unwrap_or_else(|| panic!("{:?} is gone", placement.reference()));
        assert_eq!(
            found.observed.as_ref(),
            Some(observed),
            "the restart changed it"
        );
    }
    assert_eq!(
        make(subject).await,
        before,
        "ensuring after a restart changed it"
    );
    clear(subject).await;
}

/// Drops each `ensure` at its beginning, after a moment, and after a longer one.
pub async fn what_ensure_was_interrupted_in_can_be_ensured_and_removed(subject: &mut Subject<'_>) {
    for milliseconds in [0, 3, 30] {
        let within = Duration::from_millis(milliseconds);
        for index in 0..subject.placements.len() {
            let placement = subject.placements[index].clone();
            // Whether it was done or not is the same to what follows.
            let _ = tokio::time::timeout(within, ensure(subject, &placement)).await;
            subject.driver = (subject.restart)();
            ensure(subject, &placement)
                .await
                .expect("ensured after an interruption");
        }
        for index in (0..subject.placements.len()).rev() {
            let target = subject.placements[index].reference();
            let _ = tokio::time::timeout(within, remove(subject, &target)).await;
            subject.driver = (subject.restart)();
            remove(subject, &target)
                .await
                .expect("removed after an interruption");
        }
        nothing_is_left(subject).await;
    }
}

pub async fn what_breaks_is_told_found_and_repaired(subject: &Subject<'_>) {
    make(subject).await;
    // The last one: nothing else needs it.
    let placement = subject.placements.last().expect("a subject has placements");
    (subject.break_one)(placement);
    let began = Instant::now();
    loop {
        let changed = tokio::time::timeout(PATIENCE, subject.driver.changed());
        let target = changed.await.expect("the change is told");
        if target.id == placement.id {
            break;
        }
        assert!(
            began.elapsed() < PATIENCE,
            "other changes are told, and this one is not"
        );
    }
    let seen = subject.driver.look(placement).await.expect("looked at");
    assert!(seen.is_err(), "it is broken and said to be as it should be");
    ensure(subject, placement).await.expect("repaired");
    let seen = subject.driver.look(placement).await.expect("looked at");
    assert!(seen.is_ok(), "it was repaired and is not as it should be");
    clear(subject).await;
}

pub async fn another_kind_is_unsupported(subject: &Subject<'_>) {
    let kind = subject.unsupported.spec.kind();
    assert!(
        !subject.driver.kinds().contains(&kind),
        "the driver says it can make a {kind}"
    );
    let error = ensure(subject, &subject.unsupported)
        .await
        .expect_err("it cannot be made");
    let unsupported = rhyzome_model::job::FailureKind::Unsupported;
    assert_eq!(error.kind, unsupported, "{}", error.chain());
    remove(subject, &subject.unsupported.reference())
        .await
        .expect("there is nothing to remove");
}

/// All of a kind at once, kind after kind.
pub async fn placements_are_made_and_removed_at_once(subject: &Subject<'_>) {
    for phase in phases(&subject.placements) {
        let made = phase.iter().map(|placement| ensure(subject, placement));
        for result in futures::future::join_all(made).await {
            result.expect("ensured with others at once");
        }
    }
    for phase in phases(&subject.placements).into_iter().rev() {
        let targets: Vec<_> = phase.iter().map(Placement::reference).collect();
        let removed = targets.iter().map(|target| remove(subject, target));
        for result in futures::future::join_all(removed).await {
            result.expect("removed with others at once");
        }
    }
    nothing_is_left(subject).await;
}

fn phases(placements: &[Placement]) -> Vec<&[Placement]> {
    placements
        .chunk_by(|a, b| a.spec.kind() == b.spec.kind())
        .collect()
}

async fn ensure(subject: &Subject<'_>, placement: &Placement) -> Result<Observed, DriverError> {
    let (progress, _steps) = Progress::new();
    subject.driver.ensure(placement, &progress).await
}

async fn remove(subject: &Subject<'_>, target: &PlacementRef) -> Result<(), DriverError> {
    let (progress, _steps) = Progress::new();
    subject.driver.remove(target, &progress).await
}

async fn make(subject: &Subject<'_>) -> Vec<Observed> {
    let mut all = Vec::new();
    for placement in &subject.placements {
        let made = ensure(subject, placement).await;
        all.push(made.unwrap_or_else(|error| panic!("{:?}: {}", placement, error.chain())));
    }
    all
}

async fn clear(subject: &Subject<'_>) {
    for placement in subject.placements.iter().rev() {
        let removed = remove(subject, &placement.reference()).await;
        removed.unwrap_or_else(|error| panic!("{:?}: {}", placement, error.chain()));
    }
    nothing_is_left(subject).await;
}

async fn nothing_is_left(subject: &Subject<'_>) {
    let left = subject.driver.inventory(&[]).await.expect("an inventory");
    assert_eq!(left, [], "something is left on the host");
}

async fn found(
    subject: &Subject<'_>,
    accepted: &[Placement],
    placement: &Placement,
) -> Option<Found> {
    let found = subject
        .driver
        .inventory(accepted)
        .await
        .expect("an inventory");
    let mut own = found
        .into_iter()
        .filter(|found| found.placement.id == placement.id);
    let first = own.next();
    assert_eq!(own.next(), None, "it is found twice");
    first
}
