//! What has to be done from time to time: forgetting what nobody will ask for any more.

use std::time::Duration;

use rhyzome_blob::Staged;
use rhyzome_store::{blob, event, idempotency, invitation, job, login};

use crate::{Core, Result};

const MINUTE: i64 = 60_000;
const DAY: i64 = 24 * 60 * MINUTE;

/// How long events and ended jobs are kept. Milliseconds.
const KEEP: i64 = 30 * DAY;
/// How long answers to idempotent requests are kept. Milliseconds.
const KEEP_ANSWERS: i64 = DAY;
/// How long bytes may lie unnamed. Milliseconds.
const KEEP_BLOBS: i64 = DAY;

/// Runs until it is dropped.
pub async fn run(core: Core) {
    let mut tick = tokio::time::interval(Duration::from_secs(10 * 60));
    loop {
        tick.tick().await;
        if let Err(error) = once(&core).await {
            let source = std::error::Error::source(&error).map(ToString::to_string);
            tracing::warn!(%error, source, "housekeeping failed and is tried again");
        }
    }
}

/// Forgets what is old.
pub async fn once(core: &Core) -> Result<()> {
    let now = core.now();
    let mut tx = core.store.write().await?;
    event::prune(&mut tx, now.plus_millis(-KEEP)).await?;
    job::prune(&mut tx, now.plus_millis(-KEEP)).await?;
    idempotency::prune(&mut tx, now.plus_millis(-KEEP_ANSWERS)).await?;
    login::prune(&mut tx, now).await?;
    invitation::prune(&mut tx, now).await?;
    let garbage =
        |place: &blob::Place| crate::blob::json(&Staged::of_finished(crate::blob::key(place)));
    blob::prune(&mut tx, now.plus_millis(-KEEP_BLOBS), now, garbage).await?;
    tx.commit().await?;
    crate::audit::drop_old(core).await?;
    crate::upload::expire(core).await?;
    crate::blob::sweep(core).await?;
    crate::blob::verify_oldest(core).await
}
