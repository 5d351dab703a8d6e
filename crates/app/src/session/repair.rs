//! What a component says is on its host, against what should be.

use std::collections::BTreeMap;

use rhyzome_model::placement::{Found, Observed, PlacementRef};
use rhyzome_model::{ComponentId, PlacementId};
use rhyzome_plan::repair::{Desired, Repair, plan};
use rhyzome_store::job::{self, Verb};
use rhyzome_store::placement::{self, Row, State};
use rhyzome_store::restored;

use super::outcome::{block_if_in_vain, tell_observed};
use super::{known_before, told};
use crate::work::Work;
use crate::{Core, Result};

/// Takes a component's inventory: drift gets a job, what is wanted by nobody gets removed.
pub async fn inventory(core: &Core, component: ComponentId, found: &[Found]) -> Result<()> {
    let mut work = core.begin().await?;
    let holds = restored::holds(&mut work, component).await?;
    let mut held = false;
    let rows = placement::of_component(&mut work, component).await?;
    let desired: Vec<Desired> = rows
        .iter()
        .map(|row| Desired {
            id: row.id,
            generation: row.generation,
            ensure: row.wanted,
        })
        .collect();
    let rows: BTreeMap<PlacementId, Row> = rows.into_iter().map(|row| (row.id, row)).collect();
    let seen: BTreeMap<PlacementId, &Observed> = found
        .iter()
        .filter_map(|f| Some((f.placement.id, f.observed.as_ref()?)))
        .collect();
    for repair in plan(&desired, found) {
        match repair {
            Repair::Confirm(id) => confirm(&mut work, rows.get(&id), seen.get(&id)).await?,
            Repair::Ensure(id) => again(&mut work, rows.get(&id), &Verb::Ensure).await?,
            Repair::Remove(id) if is_held(&rows, id) => {
                if !found.iter().any(|found| found.placement.id == id) {
                    placement::delete(&mut work, id).await?;
                } else {
                    held = true;
                }
            }
            Repair::Remove(id) => again(&mut work, rows.get(&id), &Verb::Remove).await?,
            Repair::RemoveOrphan(orphan) if holds => {
                held |= hold(&mut work, component, &orphan).await?;
            }
            Repair::RemoveOrphan(orphan) => {
                remove_orphan(&mut work, component, &orphan).await?;
            }
        }
    }
    if holds && !held {
        restored::settle(&mut work, component).await?;
    }
    work.commit().await
}

/// Whether something was found on a host after a restore, and nobody has confirmed that it may go.
fn is_held(rows: &BTreeMap<PlacementId, Row>, id: PlacementId) -> bool {
    rows.get(&id)
        .is_some_and(|row| row.reason == restored::HELD)
}

/// Notes what nobody knows, to be left alone until the operator says what becomes of it.
async fn hold(work: &mut Work, component: ComponentId, orphan: &PlacementRef) -> Result<bool> {
    let held = work.hold(component, orphan).await?;
    if held {
        tracing::warn!(%component, ?orphan, "found on a host, not in the backup: left alone");
    } else {
        others(component, orphan);
    }
    Ok(held)
}

async fn remove_orphan(
    work: &mut Work,
    component: ComponentId,
    orphan: &PlacementRef,
) -> Result<()> {
    let now = work.now;
    if !placement::insert_orphan(work, component, orphan, now).await? {
        others(component, orphan);
        return Ok(());
    }
    tracing::warn!(%component, ?orphan, "found on a host, wanted by nobody: removing it");
    work.enqueue(orphan.id, component, &Verb::Remove).await?;
    Ok(())
}

/// A host that was copied, or lies. A job about what it says it has would go to whose that is.
fn others(component: ComponentId, orphan: &PlacementRef) {
    tracing::warn!(
        %component, ?orphan,
        "a component says that it has what is on another one: left alone; was its host or its state copied?"
    );
}

/// It is there as wanted. If nobody had said so yet, this says it.
async fn confirm(work: &mut Work, row: Option<&Row>, observed: Option<&&Observed>) -> Result<()> {
    let (Some(row), Some(observed)) = (row, observed) else {
        return Ok(());
    };
    let Some(observed) = told::observed(row.kind, observed) else {
        return Ok(());
    };
    // A job that is open will say so itself.
    if row.state != State::Ready || row.observed.as_ref() == Some(&observed) {
        return Ok(());
    }
    let now = work.now;
    let observed = &known_before(row.observed.as_ref(), &observed);
    if placement::set_ready(work, row.id, row.generation, observed, now).await? {
        tell_observed(work, row, observed).await?;
    }
    Ok(())
}

/// Sees to it that there is a job; one that is open already will do. What was refused stays refused.
async fn again(work: &mut Work, row: Option<&Row>, verb: &Verb) -> Result<()> {
    let Some(row) = row else {
        return Ok(());
    };
    if row.state == State::Failed && row.reason != "Blocked" && *verb == Verb::Ensure {
        return Ok(());
    }
    if job::open(work, row.id).await?.is_some() {
        return Ok(());
    }
    if *verb == Verb::Ensure && row.state == State::Ready {
        let now = work.now;
        let drift = ("Drifted", "is not there as it should be; being repaired");
        placement::set_state(work, row.id, State::Pending, drift, now).await?;
    }
    work.enqueue(row.id, row.component, verb).await?;
    if *verb == Verb::Ensure {
        block_if_in_vain(work, row.id).await?;
    }
    Ok(())
}
