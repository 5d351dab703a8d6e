//! Putting what was committed into its chain: one at a time for each chain, whoever does it, with a lock
//! that nobody else takes.
//!
//! Entries are sealed in the order of their ids, which is that of their beginnings; one that is committed
//! behind others that were sealed meanwhile comes behind them.

use std::time::Duration;

use rhyzome_model::audit::{AuditResource, ENDED, Mark, seal};
use rhyzome_store::{Aside, audit};
use uuid::Uuid;

use super::{entry, itself, refusals};
use crate::{Core, Result};

/// How often it is looked, besides when there is something.
const LOOK: Duration = Duration::from_secs(1);
/// What comes in so short a time is sealed together.
const GATHER: Duration = Duration::from_millis(100);
/// How many entries are sealed in one transaction: others want to write too.
const BATCH: usize = 500;

/// Runs until it is dropped.
pub async fn run(core: Core) {
    let unsealed = core.audit.unsealed.clone();
    loop {
        let _or_not = tokio::time::timeout(LOOK, unsealed.notified()).await;
        tokio::time::sleep(GATHER).await;
        if let Err(error) = once(&core).await {
            let source = std::error::Error::source(&error).map(ToString::to_string);
            tracing::warn!(%error, source, "sealing the audit log failed and is tried again");
        }
    }
}

/// Writes the refusals whose time it is, and seals all that is not sealed.
pub async fn once(core: &Core) -> Result<()> {
    let written = refusals::write(core, false).await;
    all(core).await?;
    written
}

/// Writes all refusals that were counted: nobody counts any more.
pub async fn last(core: &Core) -> Result<()> {
    refusals::write(core, true).await?;
    all(core).await
}

/// Seals all that is not sealed, except of chains that another one is sealing.
pub async fn all(core: &Core) -> Result<()> {
    let chains = {
        let mut conn = core.store.read().await?;
        audit::unsealed_chains(&mut conn).await?
    };
    if chains.is_empty() {
        return Ok(());
    }
    let mut left = chains.as_slice();
    while !left.is_empty() {
        left = batch(core, left).await?;
    }
    core.audit
        .sealed
        .send_modify(|count| *count = count.wrapping_add(1));
    Ok(())
}

/// Seals so much of chains as fits one transaction; returns those of which something may be left. In the
/// order of their names, in which everybody takes them: nobody waits for somebody who waits for them.
async fn batch<'a>(core: &Core, mut chains: &'a [String]) -> Result<&'a [String]> {
    let mut tx = core.store.aside().await?;
    let mut room = BATCH;
    while let (Some((chain, rest)), true) = (chains.split_first(), room > 0) {
        let sealed = some(&mut tx, chain, room).await?;
        if sealed < room {
            chains = rest;
        }
        room -= sealed;
    }
    tx.commit().await?;
    Ok(chains)
}

/// Seals at most so many entries of a chain, none while another one seals it; returns how many.
async fn some(tx: &mut Aside, chain: &str, limit: usize) -> Result<usize> {
    let Some(found) = audit::take(tx, chain).await? else {
        return Ok(0);
    };
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let entries = audit::unsealed(tx, chain, Uuid::nil(), limit).await?;
    let mut head = found.head;
    for entry in &entries {
        let number = head.number + 1;
        head = Mark {
            number,
            hash: seal(&head.hash, number, entry),
        };
        audit::seal(tx, entry.id, &head).await?;
    }
    if !entries.is_empty() {
        audit::advance(tx, chain, &head).await?;
    }
    Ok(entries.len())
}

/// Says in the site's chain with what the chains of projects ended that are gone.
pub(super) async fn end(core: &Core) -> Result<()> {
    let mut tx = core.store.write().await?;
    for chain in audit::to_end(&mut tx).await? {
        let mut entry = entry(core.uuid(), core.now(), itself(), ENDED);
        entry.project.clone_from(&chain.project);
        entry.resource = Some(AuditResource {
            kind: "project".to_owned(),
            id: chain.chain.parse().ok(),
            name: chain
                .project
                .as_ref()
                .map(ToString::to_string)
                .unwrap_or_default(),
        });
        entry.reason = Some(chain.head.to_string());
        audit::append(&mut tx, &audit::chain_of(None), &entry).await?;
        audit::end(&mut tx, &chain.chain).await?;
    }
    tx.commit().await?;
    core.audit.wake();
    Ok(())
}
