//! What other cores on the same database did wakes this one too.

use std::time::Duration;

use rhyzome_store::wake::{Place, Wake};

use crate::Core;

/// How long it waits for a database that does not answer.
const PAUSE: Duration = Duration::from_secs(1);

/// Keeps the core's place at its database, and wakes who has something to do. Runs until it is dropped.
pub async fn run(core: Core, mut place: Place) {
    let mut away = false;
    loop {
        match place.next().await {
            Ok(wake) => {
                if std::mem::take(&mut away) {
                    tracing::info!("the database answers again");
                }
                apply(&core, wake);
            }
            Err(error) => {
                // Said once, not at each try.
                if !std::mem::replace(&mut away, true) {
                    let source = std::error::Error::source(&error).map(ToString::to_string);
                    tracing::error!(%error, source, "the database is away; it is asked again and again");
                }
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

fn apply(core: &Core, wake: Wake) {
    match wake {
        Wake::Component(component) => core.wake(component),
        Wake::Events => core.announce_events(),
        Wake::Everything => {
            core.wake_all();
            core.news.tell_all();
            core.announce_events();
        }
    }
}
