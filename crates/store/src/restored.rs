//! A database that was brought back from a copy: what the copy does not know of, and what must not go
//! backwards because of that.

use rhyzome_model::{ComponentId, PlacementId, Timestamp};
use serde::{Deserialize, Serialize};

use crate::column::{Columns, to_json};
use crate::statement::{gathered, query, sql};
use crate::{After, Conn, Result, Tx, event, site};

/// Under which name the site keeps it.
const KEY: &str = "restored";
/// More than anything is changed between a copy and its use: numbers go on behind it.
const LEAP: i64 = 1_000_000;
/// The same for events, of which there are more.
const LEAP_OF_EVENTS: i64 = 1_000_000_000;
/// The reason of a placement that is found on a host, not known, and not removed.
pub const HELD: &str = "Held";

/// When a site was restored, from a copy of when.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restored {
    pub copied_at: Timestamp,
    pub restored_at: Timestamp,
    pub confirmed_at: Option<Timestamp>,
}

/// Makes a database that was just filled from a copy fit for its components, which have gone on since:
///
/// - generations leap past what any component accepted, events past what any reader has read;
/// - what was being done is not done again: what has to be done follows from the inventories;
/// - one-time tokens and invitations that may have been used meanwhile are used up;
/// - no component's host counts as known until somebody confirms it.
pub async fn mark(tx: &mut Tx, copied_at: Timestamp, now: Timestamp) -> Result<()> {
    for text in [
        sql!("UPDATE projects SET generation = generation + $1"),
        sql!("UPDATE components SET generation = generation + $1"),
        sql!("UPDATE images SET generation = generation + $1"),
        sql!("UPDATE networks SET generation = generation + $1"),
        sql!("UPDATE peers SET generation = generation + $1"),
        sql!("UPDATE instances SET generation = generation + $1"),
        sql!("UPDATE ssh_keys SET generation = generation + $1"),
        sql!("UPDATE users SET generation = generation + $1"),
        sql!("UPDATE members SET generation = generation + $1"),
        sql!("UPDATE placements SET generation = generation + $1"),
    ] {
        gathered(text)
            .bind(LEAP)
            .run(tx, "raise the generations")
            .await?;
    }
    for text in [
        sql!(
            "UPDATE jobs SET state = 'superseded', finished_at = $1 \
         WHERE state IN ('queued', 'leased') AND action IS NULL"
        ),
        sql!(
            "UPDATE jobs SET state = 'failed', failure_kind = 'permanent', failure_message = \
         'the site was restored from a copy of before this was done', finished_at = $1 \
         WHERE state IN ('queued', 'leased') AND action IS NOT NULL"
        ),
        sql!("UPDATE join_tokens SET used_at = $1 WHERE used_at IS NULL"),
    ] {
        gathered(text)
            .bind(now.as_millis())
            .run(tx, "end what was being done")
            .await?;
    }
    query!("DELETE FROM invitations")
        .run(tx, "take back the invitations of before")
        .await?;
    query!("UPDATE components SET connected = 0, settled = 0")
        .run(tx, "end all sessions")
        .await?;
    query!("DELETE FROM site WHERE name = $1")
        .bind(KEY)
        .run(tx, "forget an earlier restore")
        .await?;
    let restored = Restored {
        copied_at,
        restored_at: now,
        confirmed_at: None,
    };
    site::insert(tx, KEY, &to_json(&restored)?).await?;
    event::insert_behind(tx, LEAP_OF_EVENTS, "restored", now).await
}

/// Whether and when the site was restored.
pub async fn get(conn: &mut Conn) -> Result<Option<Restored>> {
    query!("SELECT value FROM site WHERE name = $1")
        .bind(KEY)
        .row(conn, "read whether the site was restored", |c| {
            c.json("value")
        })
        .await
}

/// Whether what nobody knows on a component's host is to be left there.
pub async fn holds(conn: &mut Conn, component: ComponentId) -> Result<bool> {
    let n = query!("SELECT COUNT(*) AS n FROM components WHERE id = $1 AND settled = 0")
        .bind(component.to_string())
        .number(conn, "look whether a component is settled")
        .await?;
    Ok(n > 0)
}

/// What is on a component's host may be compared with this database from now on.
pub async fn settle(tx: &mut Tx, component: ComponentId) -> Result<()> {
    query!("UPDATE components SET settled = 1 WHERE id = $1 AND settled = 0")
        .bind(component.to_string())
        .run(tx, "settle a component")
        .await
        .map(drop)
}

/// A component that joins a site that was restored may have been here before, under another name.
pub async fn unsettle_if_restored(tx: &mut Tx, component: ComponentId) -> Result<()> {
    query!(
        "UPDATE components SET settled = 0 WHERE id = $1 \
         AND EXISTS (SELECT 1 FROM site WHERE name = $2)",
    )
    .bind(component.to_string())
    .bind(KEY)
    .run(tx, "unsettle a component")
    .await
    .map(drop)
}

/// Something that was found on a host and is left there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    pub id: PlacementId,
    pub component: ComponentId,
    pub component_name: String,
    pub kind: String,
    pub resource: String,
    pub since: Timestamp,
}

fn read(c: &Columns<'_>) -> Result<Held> {
    Ok(Held {
        id: c.text("id")?,
        component: c.text("component_id")?,
        component_name: c.string("component")?,
        kind: c.string("kind")?,
        resource: c.string("resource_id")?,
        since: c.time("since")?,
    })
}

/// What is held, in the order of the ids.
pub async fn list(conn: &mut Conn, after: &After) -> Result<Vec<Held>> {
    query!(
        "SELECT p.*, c.name AS component FROM placements p JOIN components c ON c.id = p.component_id \
         WHERE p.reason = 'Held' AND p.wanted = 0 AND p.id > $1 ORDER BY p.id LIMIT $2",
    )
    .bind(after.name.as_str())
    .bind(after.limit)
    .rows(conn, "list what is held", read)
    .await
}

pub async fn count(conn: &mut Conn) -> Result<i64> {
    query!("SELECT COUNT(*) AS n FROM placements WHERE reason = 'Held' AND wanted = 0")
        .number(conn, "count what is held")
        .await
}

/// Notes that somebody has confirmed it.
pub async fn confirm(tx: &mut Tx, restored: &Restored, now: Timestamp) -> Result<()> {
    let confirmed = Restored {
        confirmed_at: Some(restored.confirmed_at.unwrap_or(now)),
        ..*restored
    };
    query!("UPDATE site SET value = $1 WHERE name = $2")
        .bind(to_json(&confirmed)?)
        .bind(KEY)
        .run(tx, "confirm a restore")
        .await
        .map(drop)
}
