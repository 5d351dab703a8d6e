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

/// Why a certificate is renewed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Why {
    /// It is time, by this host's clock.
    Due,
    /// The core's clock says what this host's does not.
    Asked,
}

/// Renews for ever and notifies `renewed` each time; at once when `wanted` is notified, because the
/// core's clock says what this host's does not.
pub async fn run(link: Arc<Link>, wanted: Arc<Notify>, renewed: Arc<Notify>) {
    loop {
        let why = until_due(&link, &wanted).await;
        if !renew(&link, why).await {
            continue;
        }
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

async fn until_due(link: &Link, wanted: &Notify) -> Why {
    while let Some(left) = link.renew_in() {
        // A test may have it due at once.
        if rhyzome_fault::reach(IdentityStep::Look).is_err() {
            return Why::Asked;
        }
        tokio::select! {
            () = tokio::time::sleep(left.min(LOOK)) => {}
            () = wanted.notified() => return Why::Asked,
        }
    }
    Why::Due
}

/// Tries until there is a new certificate; false where a clock that was set right says that the old
/// one is good.
async fn renew(link: &Link, why: Why) -> bool {
    let mut pause = Pause::new(Duration::from_secs(1), LOOK);
    loop {
        match link
            .renew(|| why == Why::Asked || link.renew_in().is_none())
            .await
        {
            Ok(true) => {
                tracing::info!("the certificate was renewed");
                return true;
            }
            Ok(false) => return false,
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
