//! Putting what was committed into its chain: one at a time for each chain, whoever does it, with a lock
//! that nobody else takes.
//!
//! Entries are sealed in the order of their ids, which is that of their beginnings; one that is committed
//! behind others that were sealed meanwhile comes behind them.

use std::time::Duration;

use rhyzome_model::audit::{AuditResource, ENDED, Mark, seal};
use rhyzome_store::audit;
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
    let any = !chains.is_empty();
    for chain in chains {
        while batch(core, &chain).await? {}
    }
    if any {
        core.audit
            .sealed
            .send_modify(|count| *count = count.wrapping_add(1));
    }
    Ok(())
}

/// Seals some of a chain; says whether there may be more.
async fn batch(core: &Core, chain: &str) -> Result<bool> {
    let mut tx = core.store.aside().await?;
    let Some(found) = audit::take(&mut tx, chain).await? else {
        return Ok(false);
    };
    let limit = i64::try_from(BATCH).unwrap_or(i64::MAX);
    let entries = audit::unsealed(&mut tx, chain, Uuid::nil(), limit).await?;
    if entries.is_empty() {
        return Ok(false);
    }
    let mut head = found.head;
    for entry in &entries {
        let number = head.number + 1;
        head = Mark {
            number,
            hash: seal(&head.hash, number, entry),
        };
        audit::seal(&mut tx, entry.id, &head).await?;
    }
    audit::advance(&mut tx, chain, &head).await?;
    tx.commit().await?;
    Ok(entries.len() == BATCH)
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
