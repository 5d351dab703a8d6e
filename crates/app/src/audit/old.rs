//! Dropping entries that are older than the operator wants them kept, without breaking their chain: it goes on
//! behind the last one that was dropped, and an entry in it says so.

use rhyzome_model::audit::{AuditChain, DROPPED};
use rhyzome_store::{After, audit};

use super::{entry, itself, sealing};
use crate::{Core, Result};

const DAY: i64 = 24 * 3_600_000;
/// Chains in memory at a time.
const PAGE: i64 = 100;

/// Ends the chains of projects that are gone, and drops what is old. At most once a day for each chain, as
/// whole days are dropped.
pub async fn drop_old(core: &Core) -> Result<()> {
    sealing::end(core).await?;
    if core.site.audit_days == 0 {
        return Ok(());
    }
    let now = core.now().as_millis();
    let today = now - now.rem_euclid(DAY);
    let since = today.saturating_sub(i64::from(core.site.audit_days).saturating_mul(DAY));
    let since = rhyzome_model::Timestamp::from_millis(since);
    let mut after = String::new();
    loop {
        let page = After {
            limit: PAGE,
            name: after,
        };
        let chains = {
            let mut conn = core.store.read().await?;
            audit::chains(&mut conn, &page).await?
        };
        let Some(last) = chains.last() else {
            return Ok(());
        };
        after = last.chain.clone();
        for chain in chains {
            drop_from(core, &chain, since).await?;
        }
    }
}

async fn drop_from(core: &Core, chain: &AuditChain, since: rhyzome_model::Timestamp) -> Result<()> {
    let kept = {
        let mut conn = core.store.read().await?;
        audit::first_since(&mut conn, chain, since).await?
    };
    let last = match kept {
        Some(first) => first - 1,
        None if chain.ended => chain.head.number,
        // The last one stays: by it one sees that the chain is still there.
        None => chain.head.number.saturating_sub(1),
    };
    if last <= chain.checkpoint.number {
        return Ok(());
    }
    let mut tx = core.store.write().await?;
    let Some(mark) = audit::drop_to(&mut tx, chain, last).await? else {
        return Ok(());
    };
    if chain.ended {
        audit::forget(&mut tx, &chain.chain).await?;
    } else {
        let mut entry = entry(core.uuid(), core.now(), itself(), DROPPED);
        entry.project.clone_from(&chain.project);
        entry.reason = Some(mark.to_string());
        audit::append(&mut tx, &chain.chain, &entry).await?;
    }
    tx.commit().await?;
    core.audit.wake();
    Ok(())
}
