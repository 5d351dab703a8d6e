//! From placements to what users see: a phase and conditions.

use rhyzome_model::Timestamp;
use rhyzome_model::placement::{Observed, PlacementKind};
use rhyzome_model::status::{Condition, Phase};
use rhyzome_store::placement::{Row, State};

/// Whether the component of a placement has not been heard of for too long, which is since before a
/// moment.
fn is_gone(row: &Row, before: Timestamp) -> bool {
    row.last_seen.is_none_or(|seen| seen < before)
}

/// The phase of a resource from its own placements.
pub fn phase(deleting: bool, own: &[Row], before: Timestamp) -> Phase {
    let any = |test: &dyn Fn(&Row) -> bool| own.iter().any(test);
    if deleting {
        Phase::Deleting
    } else if any(&|row| row.state == State::Failed) {
        Phase::Failed
    } else if any(&|row| is_gone(row, before)) {
        Phase::Unknown
    } else if any(&|row| row.state == State::Pending) {
        Phase::Pending
    } else {
        Phase::Ready
    }
}

/// One condition a placement, in the order given.
pub fn conditions<'a>(
    rows: impl IntoIterator<Item = &'a Row>,
    before: Timestamp,
) -> Vec<Condition> {
    rows.into_iter().map(|row| condition(row, before)).collect()
}

/// What there is to say of one.
pub fn condition(row: &Row, before: Timestamp) -> Condition {
    let kind = match row.kind {
        PlacementKind::Network => "Network",
        PlacementKind::Segment => "Segment",
        PlacementKind::Vtep => "Vtep",
        PlacementKind::Lease => "Lease",
        PlacementKind::Peer => "Peer",
        PlacementKind::Instance => "Instance",
    };
    let away = !row.connected;
    let gone = is_gone(row, before);
    let (reason, message) = if gone {
        ("Gone".to_owned(), last_word(row))
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
        holds: row.wanted && row.state == State::Ready && !gone,
        reason,
        message,
        component: Some(row.component),
        since: row.last_seen.filter(|_| gone).unwrap_or(row.since),
    }
}

/// When a component that is gone was last heard of, and how something was then.
pub fn last_word(row: &Row) -> String {
    let name = &row.component_name;
    let Some(seen) = row.last_seen else {
        return format!("{name} has never been heard of");
    };
    let then = match (&row.observed, row.state) {
        (Some(Observed::Instance(observed)), _) => observed.state.as_str(),
        (_, State::Ready) => "ready",
        (_, State::Pending | State::Failed) => "not ready",
    };
    format!("{name} has not been heard of since {seen}; it was {then} then")
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
