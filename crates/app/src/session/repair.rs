//! What a component says is on its host, against what should be.

use std::collections::BTreeMap;

use rhyzome_model::placement::{Found, Observed, PlacementRef};
use rhyzome_model::{ComponentId, PlacementId};
use rhyzome_plan::repair::{Desired, Repair, plan};
use rhyzome_store::component;
use rhyzome_store::job::{self, Verb};
use rhyzome_store::placement::{self, Row, State};
use rhyzome_store::restored;

use super::outcome::{self, block_if_in_vain, tell_observed};
use super::{known_before, told};
use crate::work::Work;
use crate::{Core, Result};

/// So many things that nobody knows are written down at once, of one component: what its host cannot have
/// made by itself, in a database that all share. The rest is left until those are gone.
pub const MOST_UNKNOWN: usize = 1_000;
/// So many are looked up in one inventory; some may turn out to be another component's.
const MOST_LOOKED_UP: usize = 2 * MOST_UNKNOWN;
/// So many are told of one by one.
const MOST_TOLD: usize = 10;

/// Takes a component's inventory: drift gets a job, what is wanted by nobody gets removed. Says whether
/// there was more of the latter than is taken in at once, to be heard of again when there is room: see [`has_room`].
pub async fn inventory(core: &Core, component: ComponentId, found: &[Found]) -> Result<bool> {
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
    let differs: BTreeMap<PlacementId, &str> = found
        .iter()
        .map(|f| (f.placement.id, f.differs.as_str()))
        .collect();
    let mut unknown = Unknown::new(component, holds, &rows);
    for repair in plan(&desired, found) {
        match repair {
            Repair::Confirm(id) => confirm(&mut work, rows.get(&id), seen.get(&id)).await?,
            Repair::Ensure(id) => {
                let differs = differs.get(&id).copied().unwrap_or_default();
                again(&mut work, rows.get(&id), &Verb::Ensure, differs).await?;
            }
            Repair::Remove(id) if is_held(&rows, id) => {
                if !found.iter().any(|found| found.placement.id == id) {
                    placement::delete(&mut work, id).await?;
                } else {
                    held = true;
                }
            }
            Repair::Remove(id) => again(&mut work, rows.get(&id), &Verb::Remove, "").await?,
            Repair::RemoveOrphan(orphan) => unknown.take(&mut work, &orphan).await?,
        }
    }
    if holds && !held && unknown.is_nothing() {
        restored::settle(&mut work, component).await?;
    }
    let again = unknown.tell(&mut work).await?;
    work.commit().await?;
    Ok(again)
}

/// Whether so many of a component's unknown things are gone that it is worth hearing of more.
pub async fn has_room(core: &Core, component: ComponentId) -> Result<bool> {
    let mut conn = core.store.read().await?;
    let unknown = placement::count_unknown(&mut conn, component).await?;
    Ok(usize::try_from(unknown).is_ok_and(|unknown| unknown <= MOST_UNKNOWN / 2))
}

/// What is on a component's host and nobody knows, as far as it is taken in.
struct Unknown {
    component: ComponentId,
    /// It is left alone until the operator says what becomes of it.
    holds: bool,
    /// How many more may be written down, and looked up.
    room: usize,
    lookups: usize,
    taken: usize,
    /// What is on another component.
    others: usize,
    left: usize,
}

impl Unknown {
    fn new(component: ComponentId, holds: bool, rows: &BTreeMap<PlacementId, Row>) -> Self {
        let before = rows.values().filter(|row| row.project.is_none()).count();
        Self {
            component,
            holds,
            room: MOST_UNKNOWN.saturating_sub(before),
            lookups: MOST_LOOKED_UP,
            taken: 0,
            others: 0,
            left: 0,
        }
    }

    fn is_nothing(&self) -> bool {
        self.taken == 0 && self.left == 0
    }

    async fn take(&mut self, work: &mut Work, orphan: &PlacementRef) -> Result<()> {
        if self.room == 0 || self.lookups == 0 {
            self.left += 1;
            return Ok(());
        }
        self.lookups -= 1;
        let taken = match self.holds {
            true => work.hold(self.component, orphan).await?,
            false => remove_orphan(work, self.component, orphan).await?,
        };
        if !taken {
            self.others += 1;
            if self.others <= MOST_TOLD {
                others(self.component, orphan);
            }
            return Ok(());
        }
        self.room -= 1;
        self.taken += 1;
        if self.taken <= MOST_TOLD {
            let component = self.component;
            match self.holds {
                true => tracing::warn!(
                    %component, ?orphan, "found on a host, not in the backup: left alone"
                ),
                false => tracing::warn!(
                    %component, ?orphan, "found on a host, wanted by nobody: removing it"
                ),
            }
        }
        Ok(())
    }

    /// Tells of what is more than is told one by one, and than is taken. Says whether the next inventory
    /// will find less.
    async fn tell(&self, work: &mut Work) -> Result<bool> {
        let &Self {
            component,
            taken,
            others,
            left,
            ..
        } = self;
        if taken > MOST_TOLD || others > MOST_TOLD {
            tracing::warn!(%component, unknown = taken, others, "found on a host, some told above");
        }
        if left == 0 {
            return Ok(false);
        }
        let fate = match self.holds {
            true => "are held until `rhyzome site confirm`",
            false => "are removed",
        };
        let message = format!(
            "its host has {left} things more that nobody knows: at most {MOST_UNKNOWN} at a time {fate}, \
             the rest is left alone until those are gone"
        );
        tracing::warn!(%component, left, "{message}");
        // Once for what is new, and not for each inventory while nothing goes.
        if taken > 0
            && let Some(found) = component::by_id(work, component).await?
        {
            crate::component::tell_more(work, &found, "crowded", &message).await?;
        }
        // What is all another component's would be so again.
        Ok(taken > 0 || self.room == 0)
    }
}

/// Whether something was found on a host after a restore, and nobody has confirmed that it may go.
fn is_held(rows: &BTreeMap<PlacementId, Row>, id: PlacementId) -> bool {
    rows.get(&id)
        .is_some_and(|row| row.reason == restored::HELD)
}

/// False where it is another component's.
async fn remove_orphan(
    work: &mut Work,
    component: ComponentId,
    orphan: &PlacementRef,
) -> Result<bool> {
    let now = work.now;
    if !placement::insert_orphan(work, component, orphan, now).await? {
        return Ok(false);
    }
    work.enqueue(orphan.id, component, &Verb::Remove).await?;
    Ok(true)
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

/// Sees to it that there is a job; one that is open already will do. What was refused stays refused. What
/// differs is told, where its component knows.
async fn again(work: &mut Work, row: Option<&Row>, verb: &Verb, differs: &str) -> Result<()> {
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
        let differs = told::text(differs, told::DIFFERENCE);
        let message = match differs.is_empty() {
            true => "is not there as it should be; being repaired".to_owned(),
            false => format!("is not as it should be; being repaired: {differs}"),
        };
        let drift = ("Drifted", message.as_str());
        placement::set_state(work, row.id, State::Pending, drift, now).await?;
        outcome::tell(work, row, "drifted", &differs).await?;
    }
    work.enqueue(row.id, row.component, verb).await?;
    if *verb == Verb::Ensure {
        block_if_in_vain(work, row.id).await?;
    }
    Ok(())
}
