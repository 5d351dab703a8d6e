//! Keeps the certificate fresh: a new one at two thirds of the old one's time, or as soon as a core
//! can be reached after that, also when the old one is long expired.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;

use super::Pause;
use crate::jobs::chain;
use crate::link::Link;
use crate::step::IdentityStep;

/// The longest sleep: clocks jump, and timers do not notice.
const LOOK: Duration = Duration::from_secs(60);

/// Renews for ever and notifies `renewed` each time; at once when `wanted` is notified, because the
/// core's clock says what this host's does not.
pub async fn run(link: Arc<Link>, wanted: Arc<Notify>, renewed: Arc<Notify>) {
    loop {
        until_due(&link, &wanted).await;
        renew(&link).await;
        // A test may hold it there; all that could go wrong behind it is this program's end.
        let _held = rhyzome_fault::reach(IdentityStep::Switch);
        renewed.notify_one();
        // One that is due again at once is so by a clock that is wrong: that is nothing to ask for ever more.
        if link.renew_in().is_none() {
            tokio::select! {
                () = tokio::time::sleep(LOOK) => {}
                () = wanted.notified() => {}
            }
        }
    }
}

async fn until_due(link: &Link, wanted: &Notify) {
    while let Some(left) = link.renew_in() {
        // A test may have it due at once.
        if rhyzome_fault::reach(IdentityStep::Look).is_err() {
            return;
        }
        tokio::select! {
            () = tokio::time::sleep(left.min(LOOK)) => {}
            () = wanted.notified() => return,
        }
    }
}

/// Tries until there is a new certificate.
async fn renew(link: &Link) {
    let mut pause = Pause::new(Duration::from_secs(1), LOOK);
    loop {
        match link.renew().await {
            Ok(()) => {
                tracing::info!("the certificate was renewed");
                return;
            }
            Err(error) => {
                let expired = link.expired();
                tracing::warn!(
                    error = chain(&error),
                    expired,
                    "the certificate was not renewed"
                );
                tokio::time::sleep(pause.next()).await;
            }
        }
    }
}
