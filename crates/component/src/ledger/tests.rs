use super::*;
use crate::samples::{generation, instance, segment};
use tempfile::TempDir;

const NOW: Timestamp = Timestamp::from_millis(1_000_000);

fn ledger() -> (TempDir, Ledger) {
    let folder = tempfile::tempdir().expect("a folder");
    let (ledger, corrupt) = Ledger::open(folder.path()).expect("opened");
    assert_eq!(corrupt, []);
    (folder, ledger)
}

#[test]
fn what_was_accepted_ensured_and_removed_is_there_after_a_restart() {
    let (folder, ledger) = ledger();
    let (one, two, three) = (segment(1), segment(2), instance(3));
    for placement in [&one, &two, &three] {
        ledger.accept(placement, NOW).expect("accepted");
    }
    ledger
        .ensured(one.id, 1, &Observed::Segment, NOW)
        .expect("ensured");
    ledger.removing(&two.reference(), 2, NOW).expect("removing");
    ledger.removed(two.id, NOW).expect("removed");
    let before = ledger.entries();
    let (again, corrupt) = Ledger::open(folder.path()).expect("opened");
    assert_eq!(corrupt, []);
    assert_eq!(again.entries(), before);
    assert_eq!(again.placements(), [one, three]);
    assert_eq!(
        again.counts(),
        LedgerCounts {
            accepted: 1,
            ensured: 1,
            removing: 0
        }
    );
}

#[test]
fn an_older_generation_is_refused_also_after_the_removal() {
    let (_folder, ledger) = ledger();
    let old = segment(1);
    let new = generation(3, segment(1));
    ledger.accept(&new, NOW).expect("accepted");
    let refused = ledger.accept(&old, NOW).expect_err("older");
    assert!(
        matches!(
            refused,
            LedgerError::Older {
                offered: 1,
                accepted: 3
            }
        ),
        "{refused}"
    );
    let refused = ledger
        .removing(&old.reference(), 2, NOW)
        .expect_err("older");
    assert!(
        matches!(
            refused,
            LedgerError::Older {
                offered: 2,
                accepted: 3
            }
        ),
        "{refused}"
    );
    ledger.removing(&old.reference(), 4, NOW).expect("newer");
    ledger
        .accept(&generation(4, segment(1)), NOW)
        .expect_err("that was to be removed");
    ledger.removed(old.id, NOW).expect("removed");
    ledger
        .accept(&generation(4, segment(1)), NOW)
        .expect_err("that was removed");
    ledger
        .accept(&generation(5, segment(1)), NOW)
        .expect("newer");
}

#[test]
fn an_outcome_of_another_generation_is_not_believed() {
    let (_folder, ledger) = ledger();
    let placement = generation(2, segment(1));
    ledger.accept(&placement, NOW).expect("accepted");
    ledger
        .ensured(placement.id, 1, &Observed::Segment, NOW)
        .expect_err("another generation");
    ledger
        .removed(placement.id, NOW)
        .expect_err("nobody asked for it");
    ledger
        .ensured(placement.id, 2, &Observed::Segment, NOW)
        .expect("ensured");
}

#[test]
fn a_file_that_cannot_be_read_is_set_aside_and_half_written_ones_go() {
    let (folder, ledger) = ledger();
    ledger.accept(&segment(1), NOW).expect("accepted");
    ledger.accept(&segment(2), NOW).expect("accepted");
    let spoiled = ledger.path(segment(1).id);
    fs::write(&spoiled, "{\"target\":").expect("spoiled");
    let swapped = folder.path().join("placements").join("0.json");
    fs::copy(ledger.path(segment(2).id), &swapped).expect("copied");
    let half = folder.path().join("placements").join("1.json.new-7");
    fs::write(&half, "{").expect("written");
    let (again, mut corrupt) = Ledger::open(folder.path()).expect("opened");
    assert_eq!(again.placements(), [segment(2)]);
    corrupt.sort_by(|a, b| a.path.cmp(&b.path));
    let paths: Vec<_> = corrupt.iter().map(|one| one.path.clone()).collect();
    let mut expect = vec![spoiled, swapped];
    expect.sort();
    assert_eq!(paths, expect);
    assert!(
        corrupt
            .iter()
            .all(|one| one.moved_to.exists() && !one.path.exists())
    );
    assert!(!half.exists());
    let (_, corrupt) = Ledger::open(folder.path()).expect("opened");
    assert_eq!(corrupt, [], "it is reported once");
}

#[test]
fn a_tombstone_goes_when_the_core_knows_and_it_is_old() {
    let (_folder, ledger) = ledger();
    let target = segment(1).reference();
    ledger.removing(&target, 2, NOW).expect("removing");
    ledger.removed(target.id, NOW).expect("removed");
    let hour = NOW.plus_millis(TOMBSTONE_RECORDED);
    ledger.prune(hour).expect("pruned");
    assert!(ledger.get(target.id).is_some(), "the core does not know");
    ledger.recorded(target.id).expect("recorded");
    ledger.prune(hour.plus_millis(-1)).expect("pruned");
    assert!(ledger.get(target.id).is_some(), "it is not old");
    ledger.prune(hour).expect("pruned");
    assert!(ledger.get(target.id).is_none());
    assert!(!ledger.path(target.id).exists());
}

#[test]
fn an_action_begins_once_also_over_a_restart() {
    let (folder, ledger) = ledger();
    let job = JobId(uuid::Uuid::from_u128(1));
    assert_eq!(ledger.begin_action(job).expect("begun"), Begun::Now);
    let (again, _) = Ledger::open(folder.path()).expect("opened");
    assert_eq!(again.begin_action(job).expect("begun"), Begun::Before);
    again.end_action(job).expect("ended");
    again.end_action(job).expect("ended before");
    assert_eq!(again.begin_action(job).expect("begun"), Begun::Now);
}
