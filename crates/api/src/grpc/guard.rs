//! Watches over an open stream: whether its certificate still counts.

use std::time::{Duration, SystemTime};

use rhyzome_proto::Refusal;
use tokio::time::{Instant, MissedTickBehavior};

use super::gateway::ComponentGateway;
use super::peer::{Peer, chain};

/// An open stream ends within twice this after its certificate ceased to count.
const PERIOD: Duration = Duration::from_secs(1);

/// Returns when a certificate counts no more, with the reason.
///
/// Where the gateway cannot answer, the stream stays: what cannot be asked cannot have been revoked
/// through it either. Expiry needs nobody.
pub(super) async fn until_refused(gateway: &dyn ComponentGateway, peer: &Peer) -> Refusal {
    let left = peer
        .not_after
        .duration_since(SystemTime::now())
        .unwrap_or_default();
    // `not_after` is the last valid second, as a whole.
    let expired = tokio::time::sleep_until(Instant::now() + left + PERIOD);
    tokio::select! {
        () = expired => Refusal::Expired,
        refusal = until_revoked(gateway, peer) => refusal,
    }
}

async fn until_revoked(gateway: &dyn ComponentGateway, peer: &Peer) -> Refusal {
    let mut ticks = tokio::time::interval(PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        match peer.refusal(gateway).await {
            Ok(None) => {}
            Ok(Some(refusal)) => return refusal,
            Err(error) => {
                tracing::warn!(
                    component = %peer.component, error = chain(&error),
                    "whether a component is revoked cannot be found out at the moment"
                );
            }
        }
    }
}
