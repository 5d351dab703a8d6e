//! Events, to be read in the order in which they were committed.

use rhyzome_model::Name;
use rhyzome_model::event::Event;
use rhyzome_store::event;

use crate::authorize::{Caller, Operation, authorize};
use crate::{Core, Result, resolve};

/// At most `limit` events behind an id, of one project or of the site.
pub async fn after(
    core: &Core,
    caller: &Caller,
    project: Option<&Name>,
    after: i64,
    limit: u32,
) -> Result<Vec<Event>> {
    let operation = project.map_or(Operation::SiteEventRead, |_| Operation::EventRead);
    authorize(caller, operation, project)?;
    let mut conn = core.store.read().await?;
    let project = match project {
        Some(name) => Some(resolve::project(&mut conn, name).await?),
        None => None,
    };
    Ok(event::after(&mut conn, project, after, i64::from(limit)).await?)
}

/// The id of the latest event: where somebody begins who wants to read only what comes.
pub async fn latest(core: &Core, caller: &Caller) -> Result<i64> {
    authorize(caller, Operation::SiteEventRead, None)?;
    let mut conn = core.store.read().await?;
    Ok(event::latest(&mut conn).await?)
}
