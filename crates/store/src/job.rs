//! Jobs: enqueued in the transaction of the change that needs them, leased with a fencing number,
//! delivered at least once.

use rhyzome_model::job::{Action, FailureKind, JobState};
use rhyzome_model::placement::{PlacementKind, PlacementRef};
use rhyzome_model::{ComponentId, JobId, Name, NetworkId, PlacementId, ProjectId, Timestamp};
use uuid::Uuid;

use crate::column::{Columns, to_json};
use crate::statement::{locking, query, sql};
use crate::{Aside, Conn, Result, Tx};

/// What a job does with its placement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verb {
    Ensure,
    Remove,
    Act(Action),
}

impl Verb {
    /// As users see it.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Ensure => "ensure",
            Self::Remove => "remove",
            Self::Act(Action::Reboot) => "reboot",
            Self::Act(Action::ConsoleLog { .. }) => "console_log",
        }
    }
}

#[derive(Clone, Debug)]
pub struct Row {
    pub id: JobId,
    pub project: Option<ProjectId>,
    pub project_name: Option<Name>,
    pub component: ComponentId,
    pub component_name: Option<Name>,
    pub target: PlacementRef,
    pub resource_name: String,
    pub verb: Verb,
    pub generation: u64,
    pub state: JobState,
    pub fence: u64,
    pub attempts: u32,
    pub not_before: Timestamp,
    pub step: Option<String>,
    pub amount: Option<(u64, u64)>,
    pub failure: Option<(FailureKind, String)>,
    /// Base64 of what an action answered with.
    pub output: Option<String>,
    /// The entry in the audit log of the change that led to it.
    pub cause: Option<Uuid>,
    pub created_at: Timestamp,
    pub finished_at: Option<Timestamp>,
}

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT j.*, c.name AS component, p.name AS project FROM jobs j \
             LEFT JOIN components c ON c.id = j.component_id \
             LEFT JOIN projects p ON p.id = j.project_id ",
            $rest
        )
    };
}

fn read(c: &Columns<'_>) -> Result<Row> {
    let network = c.string("network_id")?;
    let target = PlacementRef {
        id: c.text("placement_id")?,
        kind: c.word::<PlacementKind>("kind")?,
        resource: c.text::<Uuid>("resource_id")?,
        network: if network.is_empty() {
            None
        } else {
            Some(c.text::<NetworkId>("network_id")?)
        },
    };
    let verb = match (
        c.maybe_json::<Action>("action")?,
        c.string("verb")?.as_str(),
    ) {
        (Some(action), _) => Verb::Act(action),
        (None, "remove") => Verb::Remove,
        (None, _) => Verb::Ensure,
    };
    let failure = match c.maybe_string("failure_message")? {
        Some(message) => Some((c.word("failure_kind")?, message)),
        None => None,
    };
    Ok(Row {
        id: c.text("id")?,
        project: c.maybe_text("project_id")?,
        project_name: c.maybe_text("project")?,
        component: c.text("component_id")?,
        component_name: c.maybe_text("component")?,
        target,
        resource_name: c.string("resource_name")?,
        verb,
        generation: c.integer("generation")?,
        state: c.word("state")?,
        fence: c.integer("fence")?,
        attempts: c.integer("attempts")?,
        not_before: c.time("not_before")?,
        step: c.maybe_string("step")?,
        amount: c.maybe_integer("done")?.zip(c.maybe_integer("whole")?),
        failure,
        output: c.maybe_string("output")?,
        cause: c.maybe_text("cause")?,
        created_at: c.time("created_at")?,
        finished_at: c.maybe_time("finished_at")?,
    })
}

/// Enqueues a job for a placement as it is now. Ensuring and removing supersede what was enqueued for
/// the placement before; an action supersedes nothing.
pub async fn enqueue(
    tx: &mut Tx,
    id: JobId,
    (placement, verb): (PlacementId, &Verb),
    cause: Option<Uuid>,
    now: Timestamp,
) -> Result<()> {
    let action = match verb {
        Verb::Act(action) => Some(to_json(action)?),
        Verb::Ensure | Verb::Remove => {
            query!(
                "UPDATE jobs SET state = 'superseded', finished_at = $1 WHERE placement_id = $2 \
                 AND state IN ('queued', 'leased') AND action IS NULL",
            )
            .bind(now.as_millis())
            .bind(placement.to_string())
            .run(tx, "supersede a job")
            .await?;
            None
        }
    };
    query!(
        "INSERT INTO jobs (id, project_id, component_id, placement_id, kind, resource_id, resource_name, \
         network_id, verb, action, generation, state, fence, attempts, session, lease_until, not_before, \
         created_at, cause) SELECT $1, project_id, component_id, id, kind, resource_id, resource_name, network_id, \
         $2, $3, generation, 'queued', 0, 0, 0, 0, $4, $4, $5 FROM placements WHERE id = $6",
    )
    .bind(id.to_string())
    .bind(verb.as_str())
    .bind(action)
    .bind(now.as_millis())
    .bind(cause.map(|cause| cause.to_string()))
    .bind(placement.to_string())
    .run(tx, "enqueue a job")
    .await
    .map(drop)
}

/// The jobs of a component that it can do now: their time has come, what an ensure needs is there, and
/// nothing needs what a removal removes. That they are queued or leased is said twice: by the first an
/// index leads past all that ended before.
macro_rules! possible {
    ($columns:literal, $rest:literal) => {
        concat!(
            "SELECT ",
            $columns,
            " FROM jobs j WHERE j.component_id = $1 AND j.state IN ('queued', 'leased') \
             AND (j.not_before <= $2 OR j.not_before > $4) \
             AND (j.state = 'queued' OR (j.state = 'leased' AND (j.lease_until < $2 OR j.session <> $3))) \
             AND NOT (j.verb = 'ensure' AND EXISTS (SELECT 1 FROM placement_needs n \
               JOIN placements p ON p.id = n.needs_id \
               WHERE n.placement_id = j.placement_id AND (p.state <> 'ready' OR p.wanted = 0))) \
             AND NOT (j.verb = 'remove' AND EXISTS (SELECT 1 FROM placement_needs n \
               WHERE n.needs_id = j.placement_id)) ",
            $rest
        )
    };
}

/// Whether there is a job that [`claim`] would lease.
pub async fn is_possible(
    conn: &mut Conn,
    component: ComponentId,
    session: i64,
    (now, longest): (Timestamp, Timestamp),
) -> Result<bool> {
    let found = query!(possible!("j.id", "LIMIT 1"))
        .bind(component.to_string())
        .bind(now.as_millis())
        .bind(session)
        .bind(longest.as_millis())
        .row(conn, "look whether there are jobs", |c| c.string("id"))
        .await?;
    Ok(found.is_some())
}

/// Leases at most so many jobs that a component can do now. A pause beyond `longest` is none: the clock was
/// ahead when it began. Without the names of project and component.
pub async fn claim(
    tx: &mut Aside,
    component: ComponentId,
    session: i64,
    limit: i64,
    (now, until, longest): (Timestamp, Timestamp, Timestamp),
) -> Result<Vec<Row>> {
    let mut claimed: Vec<Row> = locking(
        tx.dialect,
        sql!(locking "j": possible!(
            "j.*, CAST(NULL AS TEXT) AS component, CAST(NULL AS TEXT) AS project",
            "ORDER BY j.created_at, j.id LIMIT $5"
        )),
    )
    .bind(component.to_string())
    .bind(now.as_millis())
    .bind(session)
    .bind(longest.as_millis())
    .bind(limit)
    .rows(tx, "look for jobs", read)
    .await?;
    for row in &mut claimed {
        query!(
            "UPDATE jobs SET state = 'leased', fence = fence + 1, attempts = attempts + 1, session = $1, \
             lease_until = $2, step = NULL, done = NULL, whole = NULL WHERE id = $3",
        )
        .bind(session)
        .bind(until.as_millis())
        .bind(row.id.to_string())
        .run(tx, "lease a job")
        .await?;
        row.state = JobState::Leased;
        row.fence += 1;
        row.attempts += 1;
        (row.step, row.amount) = (None, None);
    }
    Ok(claimed)
}

/// Prolongs the leases of a session. A job that is being changed just now is passed over: leases
/// outlast several of these.
pub async fn renew(
    tx: &mut Aside,
    component: ComponentId,
    session: i64,
    until: Timestamp,
) -> Result<()> {
    let ids: Vec<JobId> = locking(tx.dialect, sql!(locking "j":
        "SELECT j.id FROM jobs j WHERE j.component_id = $1 AND j.session = $2 AND j.state = 'leased'",
))
    .bind(component.to_string())
    .bind(session)
    .rows(tx, "look for leases", |c| c.text("id"))
    .await?;
    for id in ids {
        query!("UPDATE jobs SET lease_until = $1 WHERE id = $2")
            .bind(until.as_millis())
            .bind(id.to_string())
            .run(tx, "renew a lease")
            .await?;
    }
    Ok(())
}

/// Gives the jobs of a session that ended back to the queue.
pub async fn release(tx: &mut Tx, component: ComponentId, session: i64) -> Result<()> {
    query!(
        "UPDATE jobs SET state = 'queued' WHERE component_id = $1 AND session = $2 AND state = 'leased'",
    )
    .bind(component.to_string())
    .bind(session)
    .run(tx, "release leases")
    .await
    .map(drop)
}

/// Notes how far a component's job is; false where it is not its job, or not any more.
pub async fn set_step(
    tx: &mut Aside,
    component: ComponentId,
    (id, fence): (JobId, u64),
    step: &str,
    amount: Option<(u64, u64)>,
) -> Result<bool> {
    let integer = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
    let changed = query!(
        "UPDATE jobs SET step = $1, done = $2, whole = $3 WHERE id = $4 AND fence = $5 AND state = 'leased' \
         AND component_id = $6",
    )
    .bind(step)
    .bind(amount.map(|(done, _)| integer(done)))
    .bind(amount.map(|(_, whole)| integer(whole)))
    .bind(id.to_string())
    .bind(integer(fence))
    .bind(component.to_string())
    .run(tx, "note a job's step")
    .await?;
    Ok(changed > 0)
}

/// Ends a job: done, failed or superseded.
pub async fn finish(
    tx: &mut Tx,
    id: JobId,
    state: JobState,
    (failure, output): (Option<(FailureKind, &str)>, Option<&str>),
    now: Timestamp,
) -> Result<()> {
    query!(
        "UPDATE jobs SET state = $1, failure_kind = $2, failure_message = $3, output = $4, finished_at = $5 \
         WHERE id = $6",
    )
    .bind(state.as_str())
    .bind(failure.map(|(kind, _)| kind.as_str()))
    .bind(failure.map(|(_, message)| message))
    .bind(output)
    .bind(now.as_millis())
    .bind(id.to_string())
    .run(tx, "finish a job")
    .await
    .map(drop)
}

/// Tries a job again, later.
pub async fn retry(
    tx: &mut Tx,
    id: JobId,
    (kind, message): (FailureKind, &str),
    not_before: Timestamp,
) -> Result<()> {
    query!(
        "UPDATE jobs SET state = 'queued', failure_kind = $1, failure_message = $2, not_before = $3 \
         WHERE id = $4",
    )
    .bind(kind.as_str())
    .bind(message)
    .bind(not_before.as_millis())
    .bind(id.to_string())
    .run(tx, "retry a job")
    .await
    .map(drop)
}

pub async fn by_id(conn: &mut Conn, id: JobId) -> Result<Option<Row>> {
    query!(select!("WHERE j.id = $1"))
        .bind(id.to_string())
        .row(conn, "read a job", read)
        .await
}

/// The job about a placement that has not ended, if there is one; actions do not count.
pub async fn open(conn: &mut Conn, placement: PlacementId) -> Result<Option<Row>> {
    query!(select!(
        "WHERE j.placement_id = $1 AND j.state IN ('queued', 'leased') AND j.action IS NULL LIMIT 1"
    ))
    .bind(placement.to_string())
    .row(conn, "read a placement's job", read)
    .await
}

/// The latest jobs about a resource, the latest first.
pub async fn of_resource(conn: &mut Conn, resource: Uuid, limit: i64) -> Result<Vec<Row>> {
    query!(select!(
        "WHERE j.resource_id = $1 ORDER BY j.id DESC LIMIT $2"
    ))
    .bind(resource.to_string())
    .bind(limit)
    .rows(conn, "read a resource's jobs", read)
    .await
}

/// Jobs before an id (or all, for an empty one), the latest first, of one project or of the site; about
/// one resource, or about all.
pub async fn list(
    conn: &mut Conn,
    project: Option<ProjectId>,
    resource: Option<Uuid>,
    (before, limit): (&str, i64),
) -> Result<Vec<Row>> {
    let project = project.map(|id| id.to_string()).unwrap_or_default();
    let statement = match resource {
        None => query!(select!(
            "WHERE ($1 = '' OR j.project_id = $1) AND ($2 = '' OR j.id < $2) ORDER BY j.id DESC LIMIT $3"
        )),
        Some(_) => query!(select!(
            "WHERE ($1 = '' OR j.project_id = $1) AND ($2 = '' OR j.id < $2) AND j.resource_id = $4 \
             ORDER BY j.id DESC LIMIT $3"
        )),
    };
    let statement = statement.bind(project).bind(before).bind(limit);
    match resource {
        None => statement,
        Some(resource) => statement.bind(resource.to_string()),
    }
    .rows(conn, "list jobs", read)
    .await
}

/// How many jobs wait or run, for the metrics.
pub async fn count(conn: &mut Conn, state: JobState) -> Result<i64> {
    query!("SELECT COUNT(*) AS n FROM jobs WHERE state = $1")
        .bind(state.as_str())
        .number(conn, "count jobs")
        .await
}

/// Forgets jobs that ended before a time.
pub async fn prune(tx: &mut Tx, before: Timestamp) -> Result<u64> {
    query!("DELETE FROM jobs WHERE finished_at < $1")
        .bind(before.as_millis())
        .run(tx, "prune jobs")
        .await
}
