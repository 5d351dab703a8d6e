//! Components that nobody has heard of for too long, and those that come back.
//!
//! What users see of a component and of what is on it follows from its last sign of life alone. This
//! tells of it when it happens, once.

use std::time::Duration;

use rhyzome_model::{ComponentId, Timestamp};
use rhyzome_store::{component, placement};

use crate::session::tell_placement;
use crate::work::Work;
use crate::{Core, Result};

/// How often it is looked.
const LOOK: Duration = Duration::from_secs(1);

impl Core {
    /// Who was last heard of before this moment is gone.
    pub fn silent_before(&self) -> Timestamp {
        let patience = i64::try_from(self.site.gone_after.as_millis()).unwrap_or(i64::MAX);
        self.now().plus_millis(patience.saturating_neg())
    }
}

/// Runs until it is dropped. While a core was away, components could not say that they live: they get
/// their time first.
pub async fn run(core: Core) {
    tokio::time::sleep(core.site.gone_after).await;
    let mut tick = tokio::time::interval(LOOK);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        if let Err(error) = once(&core).await {
            let source = std::error::Error::source(&error).map(ToString::to_string);
            tracing::warn!(%error, source, "looking for silent components failed and is tried again");
        }
    }
}

/// Tells of the components that are gone now, and of what is on them.
pub async fn once(core: &Core) -> Result<()> {
    let before = core.silent_before();
    let silent = {
        let mut conn = core.store.read().await?;
        component::silent(&mut conn, before).await?
    };
    for id in silent {
        let mut work = core.begin().await?;
        let now = work.now;
        if !component::set_gone(&mut work, id, before, now).await? {
            continue;
        }
        if let Some(found) = component::by_id(&mut work, id).await? {
            let name = &found.meta.name;
            tracing::warn!(%name, "a component is gone: it has not been heard of for too long");
            crate::component::tell(&mut work, &found, "gone").await?;
            let message = format!("{name} has not been heard of for too long");
            tell_all(&mut work, id, "unknown", &message).await?;
        }
        work.commit().await?;
    }
    Ok(())
}

/// Tells that a component was heard of, if it had been gone.
pub(crate) async fn heard(work: &mut Work, id: ComponentId) -> Result<()> {
    if !component::set_back(work, id).await? {
        return Ok(());
    }
    let Some(found) = component::by_id(work, id).await? else {
        return Ok(());
    };
    tracing::info!(name = %found.meta.name, "a component is back");
    crate::component::tell(work, &found, "back").await?;
    let message = format!("{} is heard of again", found.meta.name);
    tell_all(work, id, "known", &message).await
}

async fn tell_all(work: &mut Work, id: ComponentId, what: &str, message: &str) -> Result<()> {
    for row in placement::resources_on(work, id).await? {
        tell_placement(work, &row, what, message).await?;
    }
    Ok(())
}
