//! What has to be done after a component said what is on its host: drift is repaired, what carries our
//! mark and is wanted by nobody is removed.

use std::collections::BTreeMap;

use rhyzome_model::PlacementId;
use rhyzome_model::placement::{Found, PlacementRef};

/// A placement as the database has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Desired {
    pub id: PlacementId,
    pub generation: u64,
    /// False where it is to be removed.
    pub ensure: bool,
}

/// One thing to do about a component's placements.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Repair {
    /// It is there as wanted; note that it is.
    Confirm(PlacementId),
    /// It is missing, old or not as it should be.
    Ensure(PlacementId),
    /// It was to be removed: whether something is there or not, removing it ends its placement.
    Remove(PlacementId),
    /// It carries our mark and nobody knows it.
    RemoveOrphan(PlacementRef),
}

/// Compares what is desired of a component with what was found on its host.
pub fn plan(desired: &[Desired], found: &[Found]) -> Vec<Repair> {
    let there: BTreeMap<PlacementId, &Found> = found
        .iter()
        .map(|found| (found.placement.id, found))
        .collect();
    let known: BTreeMap<PlacementId, &Desired> = desired
        .iter()
        .map(|desired| (desired.id, desired))
        .collect();
    let wanted = desired.iter().map(|wanted| match there.get(&wanted.id) {
        _ if !wanted.ensure => Repair::Remove(wanted.id),
        Some(found) if found.generation == wanted.generation && found.observed.is_some() => {
            Repair::Confirm(wanted.id)
        }
        _ => Repair::Ensure(wanted.id),
    });
    let orphans = found
        .iter()
        .filter(|found| !known.contains_key(&found.placement.id))
        .map(|found| Repair::RemoveOrphan(found.placement.clone()));
    wanted.chain(orphans).collect()
}

#[cfg(test)]
mod tests {
    use rhyzome_model::placement::{Observed, PlacementKind};
    use uuid::Uuid;

    use super::*;

    fn id(n: u128) -> PlacementId {
        PlacementId(Uuid::from_u128(n))
    }

    fn desired(n: u128, generation: u64, ensure: bool) -> Desired {
        Desired {
            id: id(n),
            generation,
            ensure,
        }
    }

    fn found(n: u128, generation: u64, healthy: bool) -> Found {
        let placement = PlacementRef {
            id: id(n),
            kind: PlacementKind::Segment,
            resource: Uuid::nil(),
            network: None,
        };
        Found {
            placement,
            generation,
            observed: healthy.then_some(Observed::Segment),
            differs: String::new(),
        }
    }

    #[test]
    fn only_what_differs_is_repaired() {
        let desired = [
            desired(1, 3, true),
            desired(2, 3, true),
            desired(3, 3, true),
            desired(4, 3, true),
            desired(5, 3, false),
        ];
        let found = [
            found(1, 3, true),
            found(2, 2, true),
            found(3, 3, false),
            found(5, 2, true),
            found(9, 1, true),
        ];
        assert_eq!(
            plan(&desired, &found),
            [
                Repair::Confirm(id(1)),
                Repair::Ensure(id(2)),
                Repair::Ensure(id(3)),
                Repair::Ensure(id(4)),
                Repair::Remove(id(5)),
                Repair::RemoveOrphan(found[4].placement.clone()),
            ]
        );
    }
}
