use rhyzome_model::Timestamp;
use rhyzome_model::instance::{InstanceObserved, InstanceState, SshIdentity};
use uuid::Uuid;

use super::*;

fn outcome(job: JobId, fence: u64, outcome: Outcome) -> JobOutcome {
    JobOutcome {
        job,
        fence,
        outcome,
    }
}

#[test]
fn an_outcome_is_said_again_on_each_session_until_it_is_recorded() {
    let reports = Reports::default();
    let (job, placement) = (JobId(Uuid::from_u128(1)), PlacementId(Uuid::from_u128(2)));
    reports.outcome(placement, outcome(job, 3, Outcome::Removed));
    assert_eq!(reports.take().len(), 1);
    assert_eq!(reports.take().len(), 0);
    reports.begin_session();
    assert_eq!(reports.take().len(), 1);
    assert_eq!(
        reports.recorded(job, 2),
        None,
        "an older fence was recorded"
    );
    assert_eq!(reports.recorded(job, 3), Some(placement));
    reports.begin_session();
    assert_eq!(reports.take().len(), 0);
}

#[test]
fn a_job_that_comes_again_is_answered_under_its_new_fence_unless_it_failed() {
    let reports = Reports::default();
    let (job, placement) = (JobId(Uuid::from_u128(1)), PlacementId(Uuid::from_u128(2)));
    reports.outcome(placement, outcome(job, 1, Outcome::Removed));
    assert!(reports.answer_again(job, 2));
    assert_eq!(
        reports.take(),
        [FromComponent::Outcome(outcome(job, 2, Outcome::Removed))]
    );
    let kind = rhyzome_model::job::FailureKind::Transient;
    let failed = Outcome::Failed {
        kind,
        message: String::new(),
    };
    reports.outcome(placement, outcome(job, 2, failed));
    assert!(!reports.answer_again(job, 3));
}

fn observed(state: InstanceState) -> Observed {
    Observed::Instance(InstanceObserved {
        state,
        reason: String::new(),
        since: Timestamp::from_millis(0),
        restarts: 0,
        needs_restart: false,
        accelerator: "kvm".to_owned(),
        ssh: SshIdentity::default(),
    })
}

#[test]
fn a_change_behind_an_outcome_that_is_still_held_is_what_the_core_hears_last() {
    let reports = Reports::default();
    let (job, placement) = (JobId(Uuid::from_u128(1)), PlacementId(Uuid::from_u128(2)));
    let (runs, crashed) = (InstanceState::Running, InstanceState::Crashed);
    let ensured = |state| Outcome::Ensured {
        observed: observed(state),
    };
    reports.outcome(placement, outcome(job, 1, ensured(runs)));
    assert_eq!(reports.take().len(), 1);
    reports.changed(placement, 4, observed(crashed));
    // The core has lost the outcome, and gives the job out again.
    assert!(reports.answer_again(job, 2));
    let changed = FromComponent::Changed(Changed {
        placement,
        generation: 4,
        observed: observed(crashed),
        mended: String::new(),
    });
    let told = FromComponent::Outcome(outcome(job, 2, ensured(crashed)));
    assert_eq!(reports.take(), [changed, told]);
    reports.changed(placement, 4, observed(crashed));
    reports.outcome(
        placement,
        outcome(JobId(Uuid::from_u128(3)), 1, ensured(runs)),
    );
    let told = FromComponent::Outcome(outcome(JobId(Uuid::from_u128(3)), 1, ensured(runs)));
    assert_eq!(reports.take(), [told]);
}

#[test]
fn what_was_mended_is_told_with_the_next_session_and_behind_an_outcome_and_is_bounded() {
    let reports = Reports::default();
    let (job, placement) = (JobId(Uuid::from_u128(1)), PlacementId(Uuid::from_u128(2)));
    reports.differs(placement, "é".repeat(LONGEST_DIFFERENCE));
    reports.good(placement, 4, &Observed::Peer);
    let ensured = Outcome::Ensured {
        observed: Observed::Peer,
    };
    reports.outcome(placement, outcome(job, 1, ensured));
    reports.begin_session();
    let told = reports.take();
    let [FromComponent::Changed(change), FromComponent::Outcome(_)] = &told[..] else {
        panic!("{told:?}")
    };
    assert_eq!((change.placement, change.generation), (placement, 4));
    let most = LONGEST_DIFFERENCE + '…'.len_utf8();
    assert!(change.mended.starts_with("éé") && change.mended.len() <= most);

    // Once; and not of what is gone.
    reports.good(placement, 4, &Observed::Peer);
    reports.differs(placement, String::new());
    reports.good(placement, 4, &Observed::Peer);
    reports.differs(placement, "that".to_owned());
    reports.outcome(placement, outcome(job, 1, Outcome::Removed));
    reports.good(placement, 4, &Observed::Peer);
    assert_eq!(
        reports.take(),
        [FromComponent::Outcome(outcome(job, 1, Outcome::Removed))]
    );
}

#[test]
fn nothing_is_said_while_an_inventory_is_taken_and_all_of_it_afterwards() {
    let reports = Arc::new(Reports::default());
    let held_back = reports.hold_back();
    let placement = PlacementId(Uuid::from_u128(2));
    reports.changed(placement, 1, Observed::Segment);
    assert_eq!(reports.take(), []);
    drop(held_back);
    assert_eq!(reports.take().len(), 1);
}

#[test]
fn the_oldest_outcome_is_forgotten_when_there_are_too_many() {
    let reports = Reports::default();
    let placement = PlacementId(Uuid::nil());
    for number in 0..=MOST_OUTCOMES {
        let job = JobId(Uuid::from_u128(u128::MAX - number as u128));
        reports.outcome(placement, outcome(job, 1, Outcome::Removed));
    }
    assert_eq!(reports.take().len(), MOST_OUTCOMES);
    assert_eq!(reports.recorded(JobId(Uuid::from_u128(u128::MAX)), 1), None);
}
