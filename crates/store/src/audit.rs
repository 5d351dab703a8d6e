//! The audit log: entries, which are appended, and chains, which are made of them by whoever seals.

use rhyzome_model::audit::{AuditChain, AuditEntry, Mark, SITE, beginning};
use rhyzome_model::{Name, ProjectId, Timestamp};
use uuid::Uuid;

use crate::column::{Columns, to_json};
use crate::statement::{locking, query, sql};
use crate::{After, Aside, Conn, Result, Tx};

/// What the chain of a project, or of the site, is called.
pub fn chain_of(project: Option<ProjectId>) -> String {
    project.map_or_else(|| SITE.to_owned(), |id| id.to_string())
}

/// Appends an entry, which has no place in its chain yet.
pub async fn append(tx: &mut Tx, chain: &str, entry: &AuditEntry) -> Result<()> {
    query!("INSERT INTO audit_entries (id, chain, time, entry) VALUES ($1, $2, $3, $4)")
        .bind(entry.id.to_string())
        .bind(chain)
        .bind(entry.time.as_millis())
        .bind(to_json(entry)?)
        .run(tx, "append to the audit log")
        .await
        .map(drop)
}

fn read(c: &Columns<'_>) -> Result<AuditEntry> {
    let seal = match c.maybe_integer("number")? {
        Some(number) => Some(Mark {
            number,
            hash: c.text("hash")?,
        }),
        None => None,
    };
    Ok(AuditEntry {
        seal,
        ..c.json("entry")?
    })
}

/// At most so many entries of a chain that are sealed, behind a number.
pub async fn sealed(
    conn: &mut Conn,
    chain: &str,
    after: u64,
    limit: i64,
) -> Result<Vec<AuditEntry>> {
    query!(
        "SELECT entry, number, hash FROM audit_entries WHERE chain = $1 AND number > $2 \
         ORDER BY number LIMIT $3",
    )
    .bind(chain)
    .bind(i64::try_from(after).unwrap_or(i64::MAX))
    .bind(limit)
    .rows(conn, "read the audit log", read)
    .await
}

/// At most so many entries of a chain that are not sealed yet, behind an id.
pub async fn unsealed(
    conn: &mut Conn,
    chain: &str,
    after: Uuid,
    limit: i64,
) -> Result<Vec<AuditEntry>> {
    query!(
        "SELECT entry, number, hash FROM audit_entries WHERE chain = $1 AND number IS NULL \
         AND id > $2 ORDER BY id LIMIT $3",
    )
    .bind(chain)
    .bind(after.to_string())
    .bind(limit)
    .rows(conn, "read what is not sealed", read)
    .await
}

/// The chains that have something to seal, in the order of their names.
pub async fn unsealed_chains(conn: &mut Conn) -> Result<Vec<String>> {
    query!("SELECT DISTINCT chain FROM audit_entries WHERE number IS NULL ORDER BY chain")
        .rows(conn, "look what is not sealed", |c| c.string("chain"))
        .await
}

fn chain(c: &Columns<'_>) -> Result<AuditChain> {
    Ok(AuditChain {
        chain: c.string("id")?,
        project: c.maybe_text("project")?,
        ended: c.flag("ended")?,
        checkpoint: Mark {
            number: c.integer("dropped")?,
            hash: c.text("dropped_hash")?,
        },
        head: Mark {
            number: c.integer("number")?,
            hash: c.text("hash")?,
        },
        unsealed: 0,
    })
}

/// A chain in which nothing is sealed.
fn new_chain(id: &str, project: Option<Name>) -> AuditChain {
    let beginning = Mark {
        number: 0,
        hash: beginning(id),
    };
    AuditChain {
        chain: id.to_owned(),
        project,
        ended: false,
        checkpoint: beginning,
        head: beginning,
        unsealed: 0,
    }
}

/// A chain, with how much of it is not sealed; one that has nothing in it is new.
pub async fn get(conn: &mut Conn, id: &str, project: Option<&Name>) -> Result<AuditChain> {
    let found = query!("SELECT * FROM audit_chains WHERE id = $1")
        .bind(id)
        .row(conn, "read a chain of the audit log", chain)
        .await?;
    let unsealed =
        query!("SELECT COUNT(*) AS n FROM audit_entries WHERE chain = $1 AND number IS NULL")
            .bind(id)
            .number(conn, "count what is not sealed")
            .await?;
    Ok(AuditChain {
        unsealed: u64::try_from(unsealed).unwrap_or(0),
        ..found.unwrap_or_else(|| new_chain(id, project.cloned()))
    })
}

/// The chains in the order of their ids, without how much of them is not sealed.
pub async fn chains(conn: &mut Conn, after: &After) -> Result<Vec<AuditChain>> {
    query!("SELECT * FROM audit_chains WHERE id > $1 ORDER BY id LIMIT $2")
        .bind(after.name.as_str())
        .bind(after.limit)
        .rows(conn, "list the chains of the audit log", chain)
        .await
}

/// A chain of which this transaction alone may seal; none while another one does.
pub async fn take(tx: &mut Aside, id: &str) -> Result<Option<AuditChain>> {
    let new = new_chain(id, None);
    query!(
        "INSERT INTO audit_chains (id, project, number, hash, dropped, dropped_hash) \
         VALUES ($1, (SELECT name FROM projects WHERE id = $1), 0, $2, 0, $2) \
         ON CONFLICT (id) DO NOTHING",
    )
    .bind(id)
    .bind(new.head.hash.to_string())
    .run(tx, "begin a chain of the audit log")
    .await?;
    locking(
        tx.dialect,
        sql!(locking "c": "SELECT c.* FROM audit_chains c WHERE c.id = $1"),
    )
    .bind(id)
    .row(tx, "take a chain of the audit log", chain)
    .await
}

/// Gives an entry its place.
pub async fn seal(tx: &mut Aside, entry: Uuid, mark: &Mark) -> Result<()> {
    query!("UPDATE audit_entries SET number = $1, hash = $2 WHERE id = $3 AND number IS NULL")
        .bind(number(mark))
        .bind(mark.hash.to_string())
        .bind(entry.to_string())
        .run(tx, "seal an entry of the audit log")
        .await
        .map(drop)
}

/// Says with which entry a chain ends now.
pub async fn advance(tx: &mut Aside, id: &str, head: &Mark) -> Result<()> {
    query!("UPDATE audit_chains SET number = $1, hash = $2 WHERE id = $3")
        .bind(number(head))
        .bind(head.hash.to_string())
        .bind(id)
        .run(tx, "go on with a chain of the audit log")
        .await
        .map(drop)
}

fn number(mark: &Mark) -> i64 {
    i64::try_from(mark.number).unwrap_or(i64::MAX)
}

/// The chains of projects that are gone, in which nothing is left to be sealed.
pub async fn to_end(tx: &mut Tx) -> Result<Vec<AuditChain>> {
    query!(
        "SELECT * FROM audit_chains WHERE ended = 0 AND id <> 'site' \
         AND NOT EXISTS (SELECT 1 FROM projects WHERE projects.id = audit_chains.id) \
         AND NOT EXISTS (SELECT 1 FROM audit_entries e WHERE e.chain = audit_chains.id AND e.number IS NULL)",
    )
    .rows(tx, "look for chains of projects that are gone", chain)
    .await
}

pub async fn end(tx: &mut Tx, id: &str) -> Result<()> {
    query!("UPDATE audit_chains SET ended = 1 WHERE id = $1")
        .bind(id)
        .run(tx, "end a chain of the audit log")
        .await
        .map(drop)
}

/// The first entry of a chain, behind those that were dropped, that is from since a time.
pub async fn first_since(
    conn: &mut Conn,
    chain: &AuditChain,
    time: Timestamp,
) -> Result<Option<u64>> {
    // Walked in order, up to the first that is young enough.
    query!(
        "SELECT number FROM audit_entries WHERE chain = $1 AND number > $2 AND time >= $3 \
         ORDER BY number LIMIT 1",
    )
    .bind(chain.chain.as_str())
    .bind(number(&chain.checkpoint))
    .bind(time.as_millis())
    .row(conn, "look for old entries of the audit log", |c| {
        c.integer("number")
    })
    .await
}

/// Drops the sealed entries of a chain up to one, behind which the chain goes on; returns where that is.
pub async fn drop_to(tx: &mut Tx, chain: &AuditChain, last: u64) -> Result<Option<Mark>> {
    let last = i64::try_from(last).unwrap_or(i64::MAX);
    let found =
        query!("SELECT entry, number, hash FROM audit_entries WHERE chain = $1 AND number = $2")
            .bind(chain.chain.as_str())
            .bind(last)
            .row(tx, "read the last entry to be dropped", read)
            .await?;
    let Some(mark) = found.and_then(|entry| entry.seal) else {
        return Ok(None);
    };
    query!("DELETE FROM audit_entries WHERE chain = $1 AND number <= $2")
        .bind(chain.chain.as_str())
        .bind(last)
        .run(tx, "drop old entries of the audit log")
        .await?;
    query!("UPDATE audit_chains SET dropped = $1, dropped_hash = $2 WHERE id = $3")
        .bind(last)
        .bind(mark.hash.to_string())
        .bind(chain.chain.as_str())
        .run(tx, "note which entries were dropped")
        .await?;
    Ok(Some(mark))
}

/// Forgets a chain that has ended and of which nothing is left.
pub async fn forget(tx: &mut Tx, id: &str) -> Result<()> {
    query!("DELETE FROM audit_chains WHERE id = $1 AND ended = 1 AND dropped = number")
        .bind(id)
        .run(tx, "forget a chain of the audit log")
        .await
        .map(drop)
}

#[cfg(test)]
mod tests;
