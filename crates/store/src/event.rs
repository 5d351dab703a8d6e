//! Events, in the order in which they were committed.

use rhyzome_model::event::Event;
use rhyzome_model::{Name, ProjectId, Timestamp};
use uuid::Uuid;

use crate::column::Columns;
use crate::statement::query;
use crate::{Conn, Result, Tx};

/// What happened, to be written in the transaction in which it happens.
#[derive(Clone, Debug)]
pub struct NewEvent<'a> {
    pub project: Option<(ProjectId, &'a Name)>,
    pub resource_kind: &'a str,
    pub resource_id: Uuid,
    pub resource_name: &'a str,
    pub what: &'a str,
    pub message: &'a str,
}

fn read(c: &Columns<'_>) -> Result<Event> {
    Ok(Event {
        id: c.integer("id")?,
        time: c.time("time")?,
        project: c.maybe_text("project")?,
        resource_kind: c.string("resource_kind")?,
        resource_id: c.text("resource_id")?,
        resource_name: c.string("resource_name")?,
        what: c.string("what")?,
        message: c.string("message")?,
    })
}

pub async fn insert(tx: &mut Tx, event: &NewEvent<'_>, now: Timestamp) -> Result<()> {
    // They commit one after the other, so that counting is in the order of the commits.
    query!(
        "INSERT INTO events (id, time, project_id, project, resource_kind, resource_id, resource_name, what, message) \
         SELECT CAST(COALESCE(MAX(id), 0) + 1 AS BIGINT), CAST($1 AS BIGINT), $2, $3, $4, $5, $6, $7, $8 FROM events",
    )
    .bind(now.as_millis())
    .bind(event.project.map(|(id, _)| id.to_string()))
    .bind(event.project.map(|(_, name)| name.as_str()))
    .bind(event.resource_kind)
    .bind(event.resource_id.to_string())
    .bind(event.resource_name)
    .bind(event.what)
    .bind(event.message)
    .run(tx, "insert an event")
    .await
    .map(drop)
}

/// Tells of the site itself, leaving out so many numbers: readers who have read on behind the latest
/// event miss nothing of what comes.
pub(crate) async fn insert_behind(
    tx: &mut Tx,
    leap: i64,
    what: &str,
    now: Timestamp,
) -> Result<()> {
    let latest = latest(tx).await?;
    query!(
        "INSERT INTO events (id, time, resource_kind, resource_id, resource_name, what, message) \
         VALUES ($1, $2, 'site', $3, 'site', $4, '')",
    )
    .bind(latest + leap)
    .bind(now.as_millis())
    .bind(Uuid::nil().to_string())
    .bind(what)
    .run(tx, "insert an event")
    .await
    .map(drop)
}

/// At most so many events behind an id, of one project or of all.
pub async fn after(
    conn: &mut Conn,
    project: Option<ProjectId>,
    after: i64,
    limit: i64,
) -> Result<Vec<Event>> {
    match project {
        Some(project) => {
            query!("SELECT * FROM events WHERE project_id = $1 AND id > $2 ORDER BY id LIMIT $3")
                .bind(project.to_string())
                .bind(after)
                .bind(limit)
                .rows(conn, "read events", read)
                .await
        }
        None => {
            query!("SELECT * FROM events WHERE id > $1 ORDER BY id LIMIT $2")
                .bind(after)
                .bind(limit)
                .rows(conn, "read events", read)
                .await
        }
    }
}

/// The id of the latest event; 0 where there is none.
pub async fn latest(conn: &mut Conn) -> Result<i64> {
    query!("SELECT CAST(COALESCE(MAX(id), 0) AS BIGINT) AS n FROM events")
        .number(conn, "read the latest event")
        .await
}

/// Forgets events from before a time, but the latest of all: numbers go on counting from it.
pub async fn prune(tx: &mut Tx, before: Timestamp) -> Result<u64> {
    query!("DELETE FROM events WHERE time < $1 AND id < (SELECT MAX(id) FROM events)")
        .bind(before.as_millis())
        .run(tx, "prune events")
        .await
}
