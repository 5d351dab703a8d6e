//! What is wanted of placements: to be kept like this, or gone, and what they need for it.

use rhyzome_model::placement::{PlacementRef, PlacementSpec};
use rhyzome_model::{ComponentId, NetworkId, PlacementId, ProjectId, Timestamp};

use super::State;
use crate::column::{from_json, to_json};
use crate::statement::query;
use crate::{Conn, Result, Tx};

/// What is to be kept on a component.
pub struct Wanted<'a> {
    /// For a new placement.
    pub id: PlacementId,
    pub project: ProjectId,
    pub component: ComponentId,
    pub resource_name: &'a str,
    pub spec: &'a PlacementSpec,
}

/// Whether there is something to do about a placement that was set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Set {
    /// It was wanted just like that already.
    Same(PlacementId),
    /// It is new or changed: a job has to be enqueued.
    Changed { id: PlacementId, generation: u64 },
}

impl Set {
    pub fn id(self) -> PlacementId {
        match self {
            Self::Same(id) | Self::Changed { id, .. } => id,
        }
    }
}

/// Wants something on a component. Raises the generation if that is a change.
pub async fn set(tx: &mut Tx, wanted: &Wanted<'_>, now: Timestamp) -> Result<Set> {
    let found = find(tx, wanted.component, wanted.spec).await?;
    let spec = to_json(wanted.spec)?;
    let Some(found) = found else {
        insert(tx, wanted, &spec, now).await?;
        return Ok(Set::Changed {
            id: wanted.id,
            generation: 1,
        });
    };
    if found.wanted && found.state != State::Failed && found.is_as(wanted.spec, &spec)? {
        return Ok(Set::Same(found.id));
    }
    query!(
        "UPDATE placements SET wanted = 1, generation = generation + 1, spec = $1, state = $2, reason = 'Asked', \
         message = 'waits for its component', since = $3, asked_at = $3 WHERE id = $4",
    )
    .bind(spec)
    .bind(State::Pending.as_str())
    .bind(now.as_millis())
    .bind(found.id.to_string())
    .run(tx, "change a placement")
    .await?;
    Ok(Set::Changed {
        id: found.id,
        generation: found.generation + 1,
    })
}

/// Wants a placement once more just as it is: a new generation of the same.
pub async fn again(tx: &mut Tx, id: PlacementId, now: Timestamp) -> Result<()> {
    query!(
        "UPDATE placements SET generation = generation + 1, state = 'pending', reason = 'Asked', \
         message = 'waits for its component', since = $1, asked_at = $1 WHERE id = $2 AND wanted = 1",
    )
    .bind(now.as_millis())
    .bind(id.to_string())
    .run(tx, "want a placement again")
    .await
    .map(drop)
}

async fn insert(tx: &mut Tx, wanted: &Wanted<'_>, spec: &str, now: Timestamp) -> Result<()> {
    query!(
        "INSERT INTO placements (id, project_id, component_id, kind, resource_id, resource_name, network_id, \
         wanted, generation, spec, observed_generation, state, reason, message, since, asked_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, 1, 1, $8, 0, $9, 'Asked', 'waits for its component', $10, $10)",
    )
    .bind(wanted.id.to_string())
    .bind(wanted.project.to_string())
    .bind(wanted.component.to_string())
    .bind(wanted.spec.kind().as_str())
    .bind(wanted.spec.resource().to_string())
    .bind(wanted.resource_name)
    .bind(network_column(wanted.spec.network()))
    .bind(spec)
    .bind(State::Pending.as_str())
    .bind(now.as_millis())
    .run(tx, "insert a placement")
    .await
    .map(drop)
}

fn network_column(network: Option<NetworkId>) -> String {
    network.map(|id| id.to_string()).unwrap_or_default()
}

/// What is known of a placement that may be wanted already.
struct Known {
    id: PlacementId,
    wanted: bool,
    generation: u64,
    state: State,
    spec: Option<String>,
}

impl Known {
    /// Whether it is of this spec, which is written so. What an older program wrote may look different.
    fn is_as(&self, wanted: &PlacementSpec, written: &str) -> Result<bool> {
        match &self.spec {
            Some(spec) if spec == written => Ok(true),
            Some(spec) => Ok(from_json::<PlacementSpec>("spec", spec)? == *wanted),
            None => Ok(false),
        }
    }
}

async fn find(tx: &mut Tx, component: ComponentId, spec: &PlacementSpec) -> Result<Option<Known>> {
    query!(
        "SELECT id, wanted, generation, state, spec FROM placements \
         WHERE component_id = $1 AND kind = $2 AND resource_id = $3 AND network_id = $4"
    )
    .bind(component.to_string())
    .bind(spec.kind().as_str())
    .bind(spec.resource().to_string())
    .bind(network_column(spec.network()))
    .row(tx, "look for a placement", |c| {
        Ok(Known {
            id: c.text("id")?,
            wanted: c.flag("wanted")?,
            generation: c.integer("generation")?,
            state: c.word("state")?,
            spec: c.maybe_string("spec")?,
        })
    })
    .await
}

/// Wants a placement gone. Returns the generation of its removal.
pub async fn unwant(tx: &mut Tx, id: PlacementId, now: Timestamp) -> Result<u64> {
    query!(
        "UPDATE placements SET wanted = 0, generation = generation + 1, state = $1, reason = 'Removing', \
         message = 'waits for its removal', since = $2, asked_at = $2 WHERE id = $3",
    )
    .bind(State::Pending.as_str())
    .bind(now.as_millis())
    .bind(id.to_string())
    .run(tx, "want a placement gone")
    .await?;
    let generation = query!("SELECT generation AS n FROM placements WHERE id = $1")
        .bind(id.to_string())
        .number(tx, "read a placement's generation")
        .await?;
    Ok(u64::try_from(generation).unwrap_or(0))
}

/// Notes something found on a host that nobody knows, to be removed. False where it is known: then it is
/// another component's.
pub async fn insert_orphan(
    tx: &mut Tx,
    component: ComponentId,
    found: &PlacementRef,
    now: Timestamp,
) -> Result<bool> {
    query!(
        "INSERT INTO placements (id, component_id, kind, resource_id, resource_name, network_id, wanted, \
         generation, observed_generation, state, reason, message, since, asked_at) \
         VALUES ($1, $2, $3, $4, 'orphan', $5, 0, $6, 0, $7, 'Orphan', 'found on the host, wanted by nobody', \
         $8, $8) ON CONFLICT DO NOTHING",
    )
    .bind(found.id.to_string())
    .bind(component.to_string())
    .bind(found.kind.as_str())
    .bind(found.resource.to_string())
    .bind(network_column(found.network))
    // Newer than any generation that its component may have accepted.
    .bind(i64::from(i32::MAX))
    .bind(State::Pending.as_str())
    .bind(now.as_millis())
    .run(tx, "insert an orphan")
    .await
    .map(|inserted| inserted > 0)
}

/// How many things are written down as a component's that nobody knows.
pub async fn count_unknown(conn: &mut Conn, component: ComponentId) -> Result<i64> {
    query!("SELECT COUNT(*) AS n FROM placements WHERE component_id = $1 AND project_id IS NULL",)
        .bind(component.to_string())
        .number(conn, "count what nobody knows")
        .await
}

/// Makes one placement wait for another.
pub async fn need(tx: &mut Tx, placement: PlacementId, needs: PlacementId) -> Result<()> {
    query!(
        "INSERT INTO placement_needs (placement_id, needs_id) VALUES ($1, $2) ON CONFLICT DO NOTHING",
    )
    .bind(placement.to_string())
    .bind(needs.to_string())
    .run(tx, "make a placement need another")
    .await
    .map(drop)
}
