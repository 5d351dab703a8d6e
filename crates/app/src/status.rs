//! From placements to what users see: a phase and conditions.

use rhyzome_model::Timestamp;
use rhyzome_model::placement::PlacementKind;
use rhyzome_model::status::{Condition, Phase};
use rhyzome_store::placement::{Row, State};

/// After this long without a word from its component, nobody knows how something is. Milliseconds.
pub const SILENCE: i64 = 15_000;

/// Whether the component of a placement has not been heard of for too long.
fn silent(row: &Row, now: Timestamp) -> bool {
    !row.connected
        && row
            .last_seen
            .is_none_or(|seen| seen.plus_millis(SILENCE) < now)
}

/// The phase of a resource from its own placements.
pub fn phase(deleting: bool, own: &[Row], now: Timestamp) -> Phase {
    let any = |test: &dyn Fn(&Row) -> bool| own.iter().any(test);
    if deleting {
        Phase::Deleting
    } else if any(&|row| row.state == State::Failed) {
        Phase::Failed
    } else if any(&|row| silent(row, now)) {
        Phase::Unknown
    } else if any(&|row| row.state == State::Pending) {
        Phase::Pending
    } else {
        Phase::Ready
    }
}

/// One condition a placement, in the order given.
pub fn conditions<'a>(rows: impl IntoIterator<Item = &'a Row>, now: Timestamp) -> Vec<Condition> {
    rows.into_iter().map(|row| condition(row, now)).collect()
}

fn condition(row: &Row, now: Timestamp) -> Condition {
    let kind = match row.kind {
        PlacementKind::Network => "Network",
        PlacementKind::Segment => "Segment",
        PlacementKind::Vtep => "Vtep",
        PlacementKind::Lease => "Lease",
        PlacementKind::Peer => "Peer",
        PlacementKind::Instance => "Instance",
    };
    let away = !row.connected;
    let (reason, message) = if silent(row, now) {
        (
            "Silent".to_owned(),
            format!("{} has not been heard of", row.component_name),
        )
    } else if away && row.state != State::Ready {
        (
            "Disconnected".to_owned(),
            format!("waits for {} to connect", row.component_name),
        )
    } else {
        (row.reason.clone(), row.message.clone())
    };
    Condition {
        kind: kind.to_owned(),
        holds: row.wanted && row.state == State::Ready && !silent(row, now),
        reason,
        message,
        component: Some(row.component),
        since: row.since,
    }
}

/// The generation up to which all of a resource's placements are as asked.
pub fn observed_generation(generation: u64, phase: Phase) -> u64 {
    match phase {
        Phase::Ready => generation,
        Phase::Pending | Phase::Failed | Phase::Unknown | Phase::Deleting => {
            generation.saturating_sub(1)
        }
    }
}
