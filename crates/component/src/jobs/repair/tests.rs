use super::*;
use crate::samples::{instance, lease, network, peer, segment};
use rhyzome_model::Timestamp;
use rhyzome_model::placement::Placement;

fn entry(placement: &Placement, state: State) -> Entry {
    Entry {
        target: placement.reference(),
        generation: placement.generation,
        changed: Timestamp::from_millis(0),
        state,
    }
}

fn ensured(placement: &Placement, observed: Observed) -> Entry {
    entry(
        placement,
        State::Ensured {
            placement: placement.clone(),
            observed,
        },
    )
}

fn found(placement: &Placement, generation: u64, observed: Option<Observed>) -> Found {
    Found {
        placement: placement.reference(),
        generation,
        observed,
        differs: String::new(),
    }
}

#[test]
fn what_is_as_the_ledger_says_needs_nothing() {
    let entries = [
        ensured(&segment(1), Observed::Segment),
        ensured(&segment(2), Observed::Segment),
    ];
    let found = [
        found(&segment(1), 1, Some(Observed::Segment)),
        // A mark that does not say the generation.
        found(&segment(2), 0, Some(Observed::Segment)),
        // The core's to decide about.
        found(&segment(3), 1, None),
    ];
    assert_eq!(differences(&entries, &found), Differences::default());
}

#[test]
fn what_others_need_comes_up_first() {
    let accepted = |placement: Placement| {
        entry(
            &placement,
            State::Accepted {
                placement: placement.clone(),
            },
        )
    };
    let entries = [
        accepted(instance(1)),
        ensured(&lease(1), Observed::Lease),
        accepted(peer(1)),
        ensured(&network(1), Observed::Lease),
        accepted(segment(1)),
    ];
    let expect = [
        vec![network(1).id, segment(1).id],
        vec![lease(1).id, peer(1).id],
        vec![instance(1).id],
    ];
    assert_eq!(differences(&entries, &[]).repair, expect);
}

#[test]
fn what_is_older_gone_half_removed_or_back_is_repaired() {
    let entries = [
        ensured(&segment(1), Observed::Segment),
        ensured(&segment(2), Observed::Segment),
        entry(&segment(3), State::Removing),
        entry(&segment(4), State::Removed { recorded: true }),
        entry(&segment(5), State::Removed { recorded: false }),
    ];
    let older = Placement {
        generation: 7,
        ..segment(1)
    };
    let found = [
        found(&older, 6, Some(Observed::Segment)),
        found(&segment(2), 1, None),
        found(&segment(4), 1, None),
    ];
    let expect = [segment(1).id, segment(2).id, segment(3).id, segment(4).id];
    let differences = differences(&entries, &found);
    assert_eq!(differences.repair[0], expect);
    assert_eq!(differences.changed, []);
}

#[test]
fn what_is_as_it_should_be_in_another_way_is_a_change() {
    let entries = [ensured(&segment(1), Observed::Lease)];
    let found = [found(&segment(1), 1, Some(Observed::Segment))];
    let differences = differences(&entries, &found);
    assert_eq!(differences.changed, [(segment(1).id, 1, Observed::Segment)]);
    assert_eq!(differences.repair, <[Vec<PlacementId>; 3]>::default());
}

#[test]
fn pauses_grow_up_to_five_minutes_and_are_forgotten() {
    let mut pauses = Pauses::default();
    let id = segment(1).id;
    let mut now = Instant::now();
    assert_eq!(pauses.next(id, now), now);
    for seconds in [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300] {
        pauses.tried(id, now);
        let next = pauses.next(id, now);
        assert_eq!(next - now, Duration::from_secs(seconds));
        now = next;
    }
    now += FORGOTTEN_AFTER;
    pauses.tried(id, now);
    assert_eq!(pauses.next(id, now) - now, FIRST_PAUSE);
    pauses.forget(id);
    assert_eq!(pauses.next(id, now), now);
}

#[test]
fn what_differs_is_known_of_what_was_there_and_of_no_other_generation() {
    let made = |number| ensured(&segment(number), Observed::Segment);
    let entries = [made(1), made(2), made(3)];
    let differs = |number, generation, what: &str| Found {
        differs: what.to_owned(),
        ..found(&segment(number), generation, None)
    };
    let found = [
        differs(1, 1, "its MTU"),
        differs(2, 9, "of another"),
        differs(3, 1, ""),
    ];
    let known = differences(&entries, &found).known;
    assert_eq!(known, [(segment(1).id, "its MTU".to_owned())]);
}
