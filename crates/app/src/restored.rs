//! A site that was restored from a copy, and what on its hosts the copy does not know of.
//!
//! ```text
//!   restored ──inventory──► unknown things are held, listed, and left alone
//!      └──── confirmed by the operator ────► they are removed; new things may be made
//! ```
//!
//! Until it is confirmed nothing gets an address: what is held may have it.

use std::collections::BTreeMap;

use rhyzome_model::placement::PlacementRef;
use rhyzome_model::{ComponentId, Timestamp};
use rhyzome_store::component::{self, Standing};
use rhyzome_store::job::Verb;
use rhyzome_store::placement;
use rhyzome_store::restored::{self, Held, Restored};

use crate::authorize::{Caller, Operation, authorize, may};
use crate::session::MOST_UNKNOWN;
use crate::work::Work;
use crate::{Core, Error, Kind, Listed, PageRequest, Result, resolve};

/// How many held things are confirmed with one look.
const CHUNK: i64 = 500;

/// What is to be known of a restored site.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct State {
    pub copied_at: Timestamp,
    pub restored_at: Timestamp,
    pub confirmed_at: Option<Timestamp>,
    /// How many things on hosts are held.
    pub held: u64,
}

/// None where the site was never restored, and for who may not know of all of it.
pub async fn state(core: &Core, caller: &Caller) -> Result<Option<State>> {
    authorize(caller, Operation::SiteRead, None)?;
    if !may(caller, Operation::SiteInspect, None) {
        return Ok(None);
    }
    let mut conn = core.store.read().await?;
    let Some(restored) = restored::get(&mut conn).await? else {
        return Ok(None);
    };
    let held = restored::count(&mut conn).await?;
    Ok(Some(State {
        copied_at: restored.copied_at,
        restored_at: restored.restored_at,
        confirmed_at: restored.confirmed_at,
        held: u64::try_from(held).unwrap_or(0),
    }))
}

/// What is found on hosts, not known and left alone.
pub async fn held(core: &Core, caller: &Caller, page: &PageRequest) -> Result<Listed<Held>> {
    authorize(caller, Operation::SiteInspect, None)?;
    let mut conn = core.store.read().await?;
    let rows = restored::list(&mut conn, &resolve::after(page)).await?;
    Ok(resolve::listed(rows, page, |row| row.id.to_string()))
}

/// Lets what is held be removed, and new things be made. What hosts have that were away until now is
/// held when they come, and can be confirmed again.
pub async fn confirm(core: &Core, caller: &Caller) -> Result<()> {
    authorize(caller, Operation::SiteConfirm, None)?;
    let mut work = core.begin().await?;
    let now = work.now;
    let Some(found) = restored::get(&mut work).await? else {
        let why = "this site was not restored from a copy: there is nothing to confirm";
        return Err(Error::new(Kind::WrongState, why));
    };
    let mut counts: BTreeMap<ComponentId, usize> = BTreeMap::new();
    let mut after = rhyzome_store::After {
        limit: CHUNK,
        name: String::new(),
    };
    loop {
        let rows = restored::list(&mut work, &after).await?;
        let Some(last) = rows.last() else {
            break;
        };
        after.name = last.id.to_string();
        for row in rows {
            placement::set_state(
                &mut work,
                row.id,
                placement::State::Pending,
                ("Orphan", "found on the host, wanted by nobody"),
                now,
            )
            .await?;
            work.enqueue(row.id, row.component, &Verb::Remove).await?;
            *counts.entry(row.component).or_default() += 1;
        }
    }
    for (component, count) in counts {
        // One that may have more than it was let say: that is held too, for somebody to see before it goes.
        if count < MOST_UNKNOWN {
            restored::settle(&mut work, component).await?;
        }
    }
    restored::confirm(&mut work, &found, now).await?;
    work.audit.concerns(None, "site", None, "site");
    work.commit().await
}

impl Work {
    /// Refuses to give out addresses that something may have which nobody knows of.
    pub(crate) async fn refuse_unconfirmed(&mut self) -> Result<()> {
        match restored::get(self).await? {
            Some(Restored {
                confirmed_at: None, ..
            }) => {
                let why = "the site was restored from a backup, and what its hosts have beyond that may \
                           have the address: look at `rhyzome site held`, then `rhyzome site confirm`";
                Err(Error::new(Kind::WrongState, why))
            }
            _ => Ok(()),
        }
    }

    /// Takes a certificate for known that this site's authority signed after the copy was made that it
    /// was restored from: until then every one that was signed is written down.
    pub(crate) async fn adopt_certificate(&mut self, id: ComponentId, serial: &str) -> Result<()> {
        if component::standing(self, id, serial).await? != Standing::Unknown
            || restored::get(self).await?.is_none()
            || component::by_id(self, id).await?.is_none()
            || component::is_revoked(self, id).await?
        {
            return Ok(());
        }
        let now = self.now;
        // Its own time is seen to where it is shown.
        let whole = i64::try_from(self.core().certificate_validity.as_millis());
        let not_after = now.plus_millis(whole.unwrap_or(i64::MAX));
        component::insert_certificate(self, id, serial, not_after, now).await?;
        tracing::info!(component = %id, serial, "a certificate from after the backup is known now");
        Ok(())
    }

    /// Notes something unknown on a host, which stays there.
    pub(crate) async fn hold(
        &mut self,
        component: ComponentId,
        found: &PlacementRef,
    ) -> Result<bool> {
        let now = self.now;
        if !placement::insert_orphan(self, component, found, now).await? {
            return Ok(false);
        }
        let held = (
            restored::HELD,
            "found on the host and not in the backup that the site was restored from; left alone until \
             `rhyzome site confirm`",
        );
        placement::set_state(self, found.id, placement::State::Pending, held, now).await?;
        Ok(true)
    }
}
