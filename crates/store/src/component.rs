//! Components, their certificates and sessions.

use std::net::IpAddr;

use rhyzome_model::component::{ComponentKind, ComponentSpec, HostFacts};
use rhyzome_model::resource::{Component, ComponentSummary, Differing, Used};
use rhyzome_model::{ComponentId, Name, Size, Timestamp};

use crate::column::{Columns, to_json};
use crate::project::meta;
use crate::statement::query;
use crate::{After, Aside, Conn, Result, Tx};

/// A component's row with what is promised on it, which is noted with each instance that comes, grows or
/// goes.
macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT c.*, \
             (SELECT MAX(not_after) FROM certificates x WHERE x.component_id = c.id) AS expires, \
             (SELECT COUNT(*) FROM networks n WHERE n.router_id = c.id) AS used_networks \
             FROM components c ",
            $rest
        )
    };
}

fn read(c: &Columns<'_>) -> Result<Component> {
    Ok(Component {
        meta: meta(c, None)?,
        kind: c.text("kind")?,
        spec: c.json("spec")?,
        connected: c.flag("connected")?,
        revoked: c.maybe_time("revoked_at")?.is_some(),
        last_seen: c.maybe_time("last_seen")?,
        gone_since: None,
        certificate_expires: c.maybe_time("expires")?,
        version: c.maybe_string("version")?,
        seen_from: c.maybe_text("seen_from")?,
        program: c.maybe_json("program")?,
        upgrade: c.maybe_json("upgrade")?,
        facts: c.json("facts")?,
        warnings: Vec::new(),
        differing: Differing::default(),
        used: Used {
            cpus: c.integer("promised_cpus")?,
            memory: Size::bytes(c.integer("promised_memory")?),
            instances: c.integer("promised_instances")?,
            networks: c.integer("used_networks")?,
        },
    })
}

fn summary(c: &Columns<'_>) -> Result<ComponentSummary> {
    let spec: ComponentSpec = c.json("spec")?;
    Ok(ComponentSummary {
        meta: meta(c, None)?,
        kind: c.text("kind")?,
        connected: c.flag("connected")?,
        revoked: c.maybe_time("revoked_at")?.is_some(),
        last_seen: c.maybe_time("last_seen")?,
        gone_since: None,
        cordoned: spec.cordon.is_some(),
    })
}

pub async fn insert(
    tx: &mut Tx,
    id: ComponentId,
    name: &Name,
    kind: ComponentKind,
    now: Timestamp,
) -> Result<()> {
    query!(
        "INSERT INTO components (id, name, kind, generation, spec, facts, cpus, memory, session, connected, \
         created_at, updated_at) VALUES ($1, $2, $3, 1, $4, $5, 0, 0, 0, 0, $6, $6)",
    )
    .bind(id.to_string())
    .bind(name.as_str())
    .bind(kind.as_str())
    .bind(to_json(&ComponentSpec::default())?)
    .bind(to_json(&HostFacts::assumed(kind))?)
    .bind(now.as_millis())
    .run(tx, "insert a component")
    .await
    .map(drop)
}

pub async fn get(conn: &mut Conn, name: &Name) -> Result<Option<Component>> {
    query!(select!("WHERE c.name = $1"))
        .bind(name.as_str())
        .row(conn, "read a component", read)
        .await
}

pub async fn by_id(conn: &mut Conn, id: ComponentId) -> Result<Option<Component>> {
    query!(select!("WHERE c.id = $1"))
        .bind(id.to_string())
        .row(conn, "read a component", read)
        .await
}

pub async fn list(conn: &mut Conn, after: &After) -> Result<Vec<ComponentSummary>> {
    query!("SELECT * FROM components WHERE name > $1 ORDER BY name LIMIT $2")
        .bind(after.name.as_str())
        .bind(after.limit)
        .rows(conn, "list components", summary)
        .await
}

/// Components of a kind that may get something new, with what is promised on each.
pub async fn of_kind(conn: &mut Conn, kind: ComponentKind) -> Result<Vec<Component>> {
    query!(select!(
        "WHERE c.kind = $1 AND c.revoked_at IS NULL ORDER BY c.name"
    ))
    .bind(kind.as_str())
    .rows(conn, "read the components of a kind", read)
    .await
}

/// At most so many components of a kind that may get something new: those that are connected first, and
/// among them those with the largest share of their memory free, by name among equals: by an index over
/// this very expression.
pub async fn roomiest(
    conn: &mut Conn,
    kind: ComponentKind,
    limit: usize,
) -> Result<Vec<Component>> {
    query!(select!(
        "WHERE c.kind = $1 AND c.revoked_at IS NULL ORDER BY c.connected DESC, \
         CAST(c.memory - c.promised_memory AS DOUBLE PRECISION) \
         / CASE WHEN c.memory > 0 THEN c.memory ELSE 1 END DESC, c.name LIMIT $2"
    ))
    .bind(kind.as_str())
    .bind(i64::try_from(limit).unwrap_or(i64::MAX))
    .rows(conn, "read the components with most room", read)
    .await
}

/// The components of which it is noted that another sum is promised than that of their instances; there
/// should be none.
pub async fn mispromised(conn: &mut Conn) -> Result<Vec<Name>> {
    query!(
        "SELECT c.name FROM components c LEFT JOIN (SELECT component_id, COUNT(*) AS instances, \
         CAST(SUM(cpus) AS BIGINT) AS cpus, CAST(SUM(memory) AS BIGINT) AS memory \
         FROM instances GROUP BY component_id) u ON u.component_id = c.id \
         WHERE c.promised_instances <> COALESCE(u.instances, 0) \
         OR c.promised_cpus <> COALESCE(u.cpus, 0) OR c.promised_memory <> COALESCE(u.memory, 0) \
         ORDER BY c.name",
    )
    .rows(conn, "compare what is promised", |c| c.text("name"))
    .await
}

pub async fn update(
    tx: &mut Tx,
    id: ComponentId,
    spec: &ComponentSpec,
    now: Timestamp,
) -> Result<()> {
    query!("UPDATE components SET spec = $1, generation = generation + 1, updated_at = $2 WHERE id = $3")
        .bind(to_json(spec)?)
        .bind(now.as_millis())
        .bind(id.to_string())
        .run(tx, "update a component")
        .await
        .map(drop)
}

/// Ends what a component may do, for ever.
pub async fn revoke(tx: &mut Tx, id: ComponentId, now: Timestamp) -> Result<()> {
    query!("UPDATE components SET revoked_at = $1, updated_at = $1 WHERE id = $2 AND revoked_at IS NULL")
        .bind(now.as_millis())
        .bind(id.to_string())
        .run(tx, "revoke a component")
        .await
        .map(drop)
}

/// Whether a component was revoked: it will never do anything any more.
pub async fn is_revoked(conn: &mut Conn, id: ComponentId) -> Result<bool> {
    let n = query!("SELECT COUNT(*) AS n FROM components WHERE id = $1 AND revoked_at IS NOT NULL")
        .bind(id.to_string())
        .number(conn, "look whether a component was revoked")
        .await?;
    Ok(n > 0)
}

/// Deletes a component that has nothing placed on it.
pub async fn delete(tx: &mut Tx, id: ComponentId) -> Result<()> {
    query!("DELETE FROM components WHERE id = $1")
        .bind(id.to_string())
        .run(tx, "delete a component")
        .await
        .map(drop)
}

/// Whether a component ever had a session.
pub async fn has_connected(conn: &mut Conn, id: ComponentId) -> Result<bool> {
    let n = query!("SELECT COUNT(*) AS n FROM components WHERE id = $1 AND session > 0")
        .bind(id.to_string())
        .number(conn, "look whether a component ever connected")
        .await?;
    Ok(n > 0)
}

/// Begins a session: its number is higher than any before of this component.
pub async fn connect(
    tx: &mut Tx,
    id: ComponentId,
    (facts, version): (&HostFacts, &str),
    from: Option<IpAddr>,
    now: Timestamp,
) -> Result<i64> {
    query!(
        "UPDATE components SET facts = $1, version = $2, cpus = $3, memory = $4, session = session + 1, \
         connected = 1, last_seen = $5, seen_from = $6 WHERE id = $7",
    )
    .bind(to_json(facts)?)
    .bind(version)
    .bind(i64::from(facts.cpus))
    .bind(i64::try_from(facts.memory.as_bytes()).unwrap_or(i64::MAX))
    .bind(now.as_millis())
    .bind(from.map(|address| address.to_string()))
    .bind(id.to_string())
    .run(tx, "begin a session")
    .await?;
    query!("SELECT session AS n FROM components WHERE id = $1")
        .bind(id.to_string())
        .number(tx, "read a session's number")
        .await
}

/// Ends a session, if it is still the component's.
pub async fn disconnect(
    tx: &mut Tx,
    id: ComponentId,
    session: i64,
    now: Timestamp,
) -> Result<bool> {
    let changed = query!(
        "UPDATE components SET connected = 0, last_seen = $1 WHERE id = $2 AND session = $3 AND connected = 1",
    )
    .bind(now.as_millis())
    .bind(id.to_string())
    .bind(session)
    .run(tx, "end a session")
    .await?;
    Ok(changed > 0)
}

/// After a start of the core nobody is connected yet.
pub async fn disconnect_all(tx: &mut Tx) -> Result<()> {
    query!("UPDATE components SET connected = 0")
        .run(tx, "end all sessions")
        .await
        .map(drop)
}

/// Notes that a component was heard of; false where the session is not its own any more.
pub async fn seen(tx: &mut Aside, id: ComponentId, session: i64, now: Timestamp) -> Result<bool> {
    let changed = query!("UPDATE components SET last_seen = $1 WHERE id = $2 AND session = $3")
        .bind(now.as_millis())
        .bind(id.to_string())
        .bind(session)
        .run(tx, "note a heartbeat")
        .await?;
    Ok(changed > 0)
}

/// Components that were last heard of before a moment, and of which that was not noticed yet.
pub async fn silent(conn: &mut Conn, before: Timestamp) -> Result<Vec<ComponentId>> {
    query!(
        "SELECT id FROM components \
         WHERE gone_at IS NULL AND revoked_at IS NULL AND last_seen < $1 ORDER BY id",
    )
    .bind(before.as_millis())
    .rows(conn, "look for silent components", |c| c.text("id"))
    .await
}

/// Notes that a component is gone; false where it was noted, or heard of, in the meantime.
pub async fn set_gone(
    tx: &mut Tx,
    id: ComponentId,
    before: Timestamp,
    now: Timestamp,
) -> Result<bool> {
    let changed = query!(
        "UPDATE components SET gone_at = $1 WHERE id = $2 AND gone_at IS NULL AND last_seen < $3",
    )
    .bind(now.as_millis())
    .bind(id.to_string())
    .bind(before.as_millis())
    .run(tx, "note that a component is gone")
    .await?;
    Ok(changed > 0)
}

/// Whether it was noted that a component is gone.
pub async fn is_gone(conn: &mut Conn, id: ComponentId) -> Result<bool> {
    let n = query!("SELECT COUNT(*) AS n FROM components WHERE id = $1 AND gone_at IS NOT NULL")
        .bind(id.to_string())
        .number(conn, "look whether a component was gone")
        .await?;
    Ok(n > 0)
}

/// Notes that a component was heard of; true where it had been gone.
pub async fn set_back(tx: &mut Tx, id: ComponentId) -> Result<bool> {
    let changed =
        query!("UPDATE components SET gone_at = NULL WHERE id = $1 AND gone_at IS NOT NULL")
            .bind(id.to_string())
            .run(tx, "note that a component is back")
            .await?;
    Ok(changed > 0)
}

pub async fn insert_certificate(
    tx: &mut Tx,
    id: ComponentId,
    serial: &str,
    not_after: Timestamp,
    now: Timestamp,
) -> Result<()> {
    query!("INSERT INTO certificates (serial, component_id, not_after, created_at) VALUES ($1, $2, $3, $4)")
        .bind(serial)
        .bind(id.to_string())
        .bind(not_after.as_millis())
        .bind(now.as_millis())
        .run(tx, "insert a certificate")
        .await
        .map(drop)
}

/// What is known of the certificate that somebody shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// No such certificate, or another component's.
    Unknown,
    Revoked,
    Good {
        not_after: Timestamp,
    },
}

pub async fn standing(conn: &mut Conn, id: ComponentId, serial: &str) -> Result<Standing> {
    let row = query!(
        "SELECT x.not_after, c.revoked_at FROM certificates x JOIN components c ON c.id = x.component_id \
         WHERE x.serial = $1 AND c.id = $2",
    )
    .bind(serial)
    .bind(id.to_string())
    .row(conn, "look a certificate up", |c| {
        Ok((c.time("not_after")?, c.maybe_time("revoked_at")?.is_some()))
    })
    .await?;
    Ok(match row {
        None => Standing::Unknown,
        Some((_, true)) => Standing::Revoked,
        Some((not_after, false)) => Standing::Good { not_after },
    })
}

/// What is placed on a component, as kind and name, if anything is.
pub async fn content(conn: &mut Conn, id: ComponentId) -> Result<Option<(String, String)>> {
    query!(
        "SELECT kind, resource_name FROM placements WHERE component_id = $1 \
         UNION ALL SELECT 'instance', name FROM instances WHERE component_id = $1 \
         UNION ALL SELECT 'network', name FROM networks WHERE router_id = $1 LIMIT 1",
    )
    .bind(id.to_string())
    .row(conn, "look what is on a component", |c| {
        Ok((c.string("kind")?, c.string("resource_name")?))
    })
    .await
}

/// How many components have a session now.
pub async fn connected(conn: &mut Conn) -> Result<i64> {
    query!("SELECT COUNT(*) AS n FROM components WHERE connected = 1")
        .number(conn, "count the connected components")
        .await
}

#[cfg(test)]
mod tests;
