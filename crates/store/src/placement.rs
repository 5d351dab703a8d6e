//! Placements: the parts of resources on components, what they need, and what is known of them.
//!
//! ```text
//!   set ──► pending ──outcome──► ready        remove ──► (removing) ──outcome──► row deleted
//!              ▲  └──permanent failure──► failed
//!              └── set with another spec, drift ──┘
//! ```

use rhyzome_model::placement::{Observed, Placement, PlacementKind, PlacementRef, PlacementSpec};
use rhyzome_model::{ComponentId, Name, NetworkId, PlacementId, ProjectId, Timestamp};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::column::{Columns, to_json};
use crate::statement::{gathered, query, sql};
use crate::{After, Conn, Result, Tx};

/// Whether what is wanted is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    Pending,
    Ready,
    Failed,
}

impl State {
    fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Ready => "ready",
            Self::Failed => "failed",
        }
    }
}

#[derive(Clone, Debug)]
pub struct Row {
    pub id: PlacementId,
    /// None for an orphan: something found on a host that nobody knows.
    pub project: Option<ProjectId>,
    pub component: ComponentId,
    pub component_name: Name,
    /// Whether the component has a session, and when it was last heard of.
    pub connected: bool,
    pub last_seen: Option<Timestamp>,
    pub kind: PlacementKind,
    pub resource: Uuid,
    pub resource_name: String,
    pub network: Option<NetworkId>,
    /// False where it is to be removed.
    pub wanted: bool,
    pub generation: u64,
    pub spec: Option<PlacementSpec>,
    pub observed_generation: u64,
    pub observed: Option<Observed>,
    pub state: State,
    pub reason: String,
    pub message: String,
    pub since: Timestamp,
    pub asked_at: Timestamp,
    pub applied_at: Option<Timestamp>,
}

impl Row {
    pub fn reference(&self) -> PlacementRef {
        PlacementRef {
            id: self.id,
            kind: self.kind,
            resource: self.resource,
            network: self.network,
        }
    }

    /// What its component is told to ensure; none for what is only to be removed.
    pub fn placement(&self) -> Option<Placement> {
        let spec = self.spec.clone()?;
        Some(Placement {
            id: self.id,
            generation: self.generation,
            spec,
        })
    }
}

macro_rules! select {
    ($rest:literal) => {
        select!("p.*", "", $rest)
    };
    ($columns:literal, $more:literal, $rest:literal) => {
        concat!(
            "SELECT ",
            $columns,
            ", c.name AS component, c.connected AS connected, c.last_seen AS last_seen",
            $more,
            " FROM placements p JOIN components c ON c.id = p.component_id ",
            $rest
        )
    };
}

/// For lists: without specs, which may be long.
macro_rules! select_unspecified {
    ($rest:literal) => {
        select_unspecified!("", $rest)
    };
    ($more:literal, $rest:literal) => {
        select!(
            "p.id, p.project_id, p.component_id, p.kind, p.resource_id, p.resource_name, p.network_id, \
             p.wanted, p.generation, CAST(NULL AS TEXT) AS spec, p.observed_generation, p.observed, p.state, \
             p.reason, p.message, p.since, p.asked_at, p.applied_at",
            $more,
            $rest
        )
    };
}

mod differing;
mod wish;

pub use differing::{Differs, count_differing, differing};
pub use wish::{Set, Wanted, again, count_unknown, insert_orphan, need, set, unwant};

fn read(c: &Columns<'_>) -> Result<Row> {
    let network = c.string("network_id")?;
    Ok(Row {
        id: c.text("id")?,
        project: c.maybe_text("project_id")?,
        component: c.text("component_id")?,
        component_name: c.text("component")?,
        connected: c.flag("connected")?,
        last_seen: c.maybe_time("last_seen")?,
        kind: c.word("kind")?,
        resource: c.text("resource_id")?,
        resource_name: c.string("resource_name")?,
        network: if network.is_empty() {
            None
        } else {
            Some(c.text("network_id")?)
        },
        wanted: c.flag("wanted")?,
        generation: c.integer("generation")?,
        spec: c.maybe_json("spec")?,
        observed_generation: c.integer("observed_generation")?,
        observed: c.maybe_json("observed")?,
        state: c.word("state")?,
        reason: c.string("reason")?,
        message: c.string("message")?,
        since: c.time("since")?,
        asked_at: c.time("asked_at")?,
        applied_at: c.maybe_time("applied_at")?,
    })
}

pub async fn by_id(conn: &mut Conn, id: PlacementId) -> Result<Option<Row>> {
    query!(select!("WHERE p.id = $1"))
        .bind(id.to_string())
        .row(conn, "read a placement", read)
        .await
}

/// The placements of a resource: of a network its router's and its segments, of a peer one a network.
pub async fn of_resource(conn: &mut Conn, resource: Uuid) -> Result<Vec<Row>> {
    query!(select!(
        "WHERE p.resource_id = $1 ORDER BY p.kind, p.network_id, p.id"
    ))
    .bind(resource.to_string())
    .rows(conn, "read a resource's placements", read)
    .await
}

/// Resources that are listed with what is known of their placements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listed {
    Instances,
    Networks,
    Peers,
}

/// What hypervisors and routers do not keep of a network between them, because it was refused or waits for
/// what was: segments and VTEPs.
pub async fn failed_between(conn: &mut Conn, network: NetworkId) -> Result<Vec<Row>> {
    query!(select!(
        "WHERE p.network_id = $1 AND p.kind IN ('segment', 'vtep') AND p.state = 'failed' AND p.wanted = 1 \
         ORDER BY p.kind, p.id"
    ))
    .bind(network.to_string())
    .rows(conn, "read what failed of a network", read)
    .await
}

/// The own placements of a page of resources, in one statement; without networks' segments, and without
/// their specs.
pub async fn of_page(
    conn: &mut Conn,
    listed: Listed,
    project: ProjectId,
    after: &After,
) -> Result<Vec<Row>> {
    let text = match listed {
        Listed::Instances => sql!(select_unspecified!(
            "WHERE p.kind = 'instance' AND p.resource_id IN (SELECT id FROM instances \
             WHERE project_id = $1 AND name > $2 ORDER BY name LIMIT $3)"
        )),
        Listed::Networks => sql!(select_unspecified!(
            "WHERE p.kind = 'network' AND p.resource_id IN (SELECT id FROM networks \
             WHERE project_id = $1 AND name > $2 ORDER BY name LIMIT $3)"
        )),
        Listed::Peers => sql!(select_unspecified!(
            "WHERE p.kind = 'peer' AND p.resource_id IN (SELECT id FROM peers \
             WHERE project_id = $1 AND name > $2 ORDER BY name LIMIT $3)"
        )),
    };
    gathered(text)
        .bind(project.to_string())
        .bind(after.name.as_str())
        .bind(after.limit)
        .rows(conn, "read the placements of a page", read)
        .await
}

/// The placements that one waits for.
pub async fn needed_by(conn: &mut Conn, id: PlacementId) -> Result<Vec<Row>> {
    query!(select!(
        "JOIN placement_needs n ON n.needs_id = p.id WHERE n.placement_id = $1 ORDER BY p.kind, p.id"
    ))
    .bind(id.to_string())
    .rows(conn, "read what a placement needs", read)
    .await
}

/// The placements that one waits for in vain.
pub async fn failed_needs(conn: &mut Conn, id: PlacementId) -> Result<Vec<Row>> {
    query!(select!(
        "JOIN placement_needs n ON n.needs_id = p.id WHERE n.placement_id = $1 AND p.state = 'failed' \
         ORDER BY p.kind, p.id"
    ))
    .bind(id.to_string())
    .rows(conn, "read what a placement waits for in vain", read)
    .await
}

/// The instances and networks on a component that users know of.
pub async fn resources_on(conn: &mut Conn, component: ComponentId) -> Result<Vec<Row>> {
    query!(select!(
        "WHERE p.component_id = $1 AND p.kind IN ('instance', 'network') AND p.wanted = 1 ORDER BY p.id"
    ))
    .bind(component.to_string())
    .rows(conn, "read what is on a component", read)
    .await
}

/// What a component is to keep and to remove.
pub async fn of_component(conn: &mut Conn, component: ComponentId) -> Result<Vec<Row>> {
    query!(select!("WHERE p.component_id = $1 ORDER BY p.id"))
        .bind(component.to_string())
        .rows(conn, "read a component's placements", read)
        .await
}

/// The components whose jobs may go on after a change of a placement: those that need it or that it
/// needs.
pub async fn neighbours(conn: &mut Conn, id: PlacementId) -> Result<Vec<ComponentId>> {
    query!(
        "SELECT DISTINCT p.component_id FROM placements p WHERE p.id IN ( \
         SELECT placement_id FROM placement_needs WHERE needs_id = $1 \
         UNION SELECT needs_id FROM placement_needs WHERE placement_id = $1)",
    )
    .bind(id.to_string())
    .rows(conn, "read a placement's neighbours", |c| {
        c.text("component_id")
    })
    .await
}

/// Notes at all placements that wait for one, or for one that waits for it, why they wait in vain; they
/// go on once it is there. Returns what they are of.
pub async fn block(
    tx: &mut Tx,
    needs: PlacementId,
    message: &str,
    now: Timestamp,
) -> Result<Vec<Uuid>> {
    query!(
        "UPDATE placements SET state = 'failed', reason = 'Blocked', message = $1, since = $2 \
         WHERE state = 'pending' AND wanted = 1 AND id IN (WITH RECURSIVE waiting(id) AS ( \
         SELECT placement_id FROM placement_needs WHERE needs_id = $3 \
         UNION SELECT n.placement_id FROM placement_needs n JOIN waiting w ON n.needs_id = w.id \
         JOIN placements p ON p.id = w.id WHERE p.state <> 'ready') SELECT id FROM waiting) RETURNING resource_id",
    )
    .bind(message)
    .bind(now.as_millis())
    .bind(needs.to_string())
    .rows(tx, "block placements", |c| c.text("resource_id"))
    .await
}

/// Lets the placements that waited in vain for one, or for one that waited for it, wait in hope again;
/// what else they need and is not to be had is returned.
pub async fn unblock(tx: &mut Tx, needs: PlacementId, now: Timestamp) -> Result<Vec<Row>> {
    let unblocked = query!(
        "UPDATE placements SET state = 'pending', reason = 'Asked', message = 'waits for its component', \
         since = $1 WHERE state = 'failed' AND reason = 'Blocked' AND id IN (WITH RECURSIVE waiting(id) AS ( \
         SELECT placement_id FROM placement_needs WHERE needs_id = $2 \
         UNION SELECT n.placement_id FROM placement_needs n JOIN waiting w ON n.needs_id = w.id \
         JOIN placements p ON p.id = w.id WHERE p.state <> 'ready') SELECT id FROM waiting)",
    )
    .bind(now.as_millis())
    .bind(needs.to_string())
    .run(tx, "unblock placements")
    .await?;
    if unblocked == 0 {
        return Ok(Vec::new());
    }
    query!(select!(
        "WHERE p.state = 'failed' AND p.id IN (WITH RECURSIVE waiting(id) AS ( \
         SELECT placement_id FROM placement_needs WHERE needs_id = $1 \
         UNION SELECT n.placement_id FROM placement_needs n JOIN waiting w ON n.needs_id = w.id) \
         SELECT m.needs_id FROM placement_needs m JOIN waiting w ON m.placement_id = w.id) ORDER BY p.id"
    ))
    .bind(needs.to_string())
    .rows(tx, "read what else is not to be had", read)
    .await
}

/// Notes that a placement is there, as reported at its present generation.
pub async fn set_ready(
    tx: &mut Tx,
    id: PlacementId,
    generation: u64,
    observed: &Observed,
    now: Timestamp,
) -> Result<bool> {
    let changed = query!(
        "UPDATE placements SET state = 'ready', reason = 'Ready', message = '', observed = $1, \
         since = CASE WHEN state = 'ready' THEN since ELSE $2 END, \
         applied_at = CASE WHEN observed_generation = generation AND applied_at IS NOT NULL \
         THEN applied_at ELSE $2 END, \
         observed_generation = generation WHERE id = $3 AND generation = $4 AND wanted = 1",
    )
    .bind(to_json(observed)?)
    .bind(now.as_millis())
    .bind(id.to_string())
    .bind(i64::try_from(generation).unwrap_or(i64::MAX))
    .run(tx, "note that a placement is ready")
    .await?;
    Ok(changed > 0)
}

/// Notes what a component reports of a placement without having been asked.
pub async fn set_observed(
    tx: &mut Tx,
    id: PlacementId,
    generation: u64,
    observed: &Observed,
) -> Result<bool> {
    let changed = query!(
        "UPDATE placements SET observed = $1 WHERE id = $2 AND observed_generation = $3 AND wanted = 1",
    )
    .bind(to_json(observed)?)
    .bind(id.to_string())
    .bind(i64::try_from(generation).unwrap_or(i64::MAX))
    .run(tx, "note what was observed of a placement")
    .await?;
    Ok(changed > 0)
}

/// Notes why a placement is not there (yet).
pub async fn set_state(
    tx: &mut Tx,
    id: PlacementId,
    state: State,
    (reason, message): (&str, &str),
    now: Timestamp,
) -> Result<()> {
    query!("UPDATE placements SET state = $1, reason = $2, message = $3, since = $4 WHERE id = $5")
        .bind(state.as_str())
        .bind(reason)
        .bind(message)
        .bind(now.as_millis())
        .bind(id.to_string())
        .run(tx, "note the state of a placement")
        .await
        .map(drop)
}

/// Forgets a placement that was removed.
pub async fn delete(tx: &mut Tx, id: PlacementId) -> Result<()> {
    query!("DELETE FROM placement_needs WHERE placement_id = $1 OR needs_id = $1")
        .bind(id.to_string())
        .run(tx, "forget what a placement needs")
        .await?;
    query!("DELETE FROM placements WHERE id = $1")
        .bind(id.to_string())
        .run(tx, "forget a placement")
        .await
        .map(drop)
}
