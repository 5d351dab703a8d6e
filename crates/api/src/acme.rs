//! A certificate of a public authority for the HTTP server: got by ACME (RFC 8555) with TLS-ALPN-01, kept
//! in the state folder, and renewed while it serves.
//!
//! While there is none, the site's own authority's is shown: whoever has that in their context is served.

mod http;
mod kept;
mod order;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rhyzome_app as app;
use rhyzome_pki::credential::Credential;
use rhyzome_pki::server::ServerCertificate;
use tokio_util::sync::CancellationToken;

use crate::certificate::{Origin, two_thirds_are_over};
use crate::configuration;
use crate::metrics::{Metrics, Shows};
use crate::problem::chain;

pub use kept::kept;
pub use order::OrderError;

/// How often it is looked at: clocks jump, and timers do not notice.
const LOOK: Duration = Duration::from_secs(60);
/// The first pause after a failure. ACME servers count failures, and then refuse for longer.
const FIRST_PAUSE: Duration = Duration::from_secs(60);
const LONGEST_PAUSE: Duration = Duration::from_secs(12 * 3600);

/// What is asked of whom, and where it is kept.
#[derive(Debug, Clone)]
pub struct Wanted {
    pub settings: configuration::Acme,
    pub folder: PathBuf,
    /// What is shown while there is nothing else.
    pub otherwise: Box<Origin>,
}

/// Sees to it that there is a certificate until `stopping`. `current` is what is shown now.
pub async fn keep(
    wanted: Wanted,
    current: Credential,
    served: Arc<ServerCertificate>,
    (core, metrics): (app::Core, Metrics),
    stopping: CancellationToken,
) {
    let mut keeper = Keeper {
        wanted,
        current,
        served,
        core,
        metrics,
    };
    let mut pause = FIRST_PAUSE;
    loop {
        let wait = match stopping.run_until_cancelled(keeper.look()).await {
            None => return,
            Some(Looked::Well) => {
                pause = FIRST_PAUSE;
                LOOK
            }
            Some(Looked::Failed) => {
                let wait = pause;
                pause = (pause * 2).min(LONGEST_PAUSE);
                wait
            }
        };
        let slept = tokio::time::sleep(wait);
        if stopping.run_until_cancelled(slept).await.is_none() {
            return;
        }
    }
}

struct Keeper {
    wanted: Wanted,
    current: Credential,
    served: Arc<ServerCertificate>,
    core: app::Core,
    metrics: Metrics,
}

enum Looked {
    Well,
    Failed,
}

impl Keeper {
    /// Gets another one if it is time.
    async fn look(&mut self) -> Looked {
        let now = SystemTime::now();
        let had = kept(&self.wanted.folder, &self.wanted.settings, now);
        if had.is_some_and(|had| !two_thirds_are_over(&had, now)) {
            return Looked::Well;
        }
        let ordered = order::order(&self.wanted, &self.served).await;
        self.served.clear_challenges();
        self.metrics.certificate(Shows::Http, ordered.is_ok());
        match ordered {
            Ok(next) => {
                self.show(next);
                tracing::info!(domains = ?self.wanted.settings.domains, "the core shows a new certificate");
                Looked::Well
            }
            Err(error) => {
                tracing::warn!(
                    domains = ?self.wanted.settings.domains,
                    error = chain(&error),
                    "no new certificate by ACME; it is tried again after a pause"
                );
                self.show_own_if_due(now);
                Looked::Failed
            }
        }
    }

    fn show(&mut self, next: Credential) {
        self.served.swap(&next);
        self.current = next;
    }

    /// Where nothing comes for weeks, what is shown meanwhile is not to expire.
    fn show_own_if_due(&mut self, now: SystemTime) {
        let is_over = now > self.current.not_after();
        let is_own = kept(&self.wanted.folder, &self.wanted.settings, now).is_none();
        let is_due = is_own && two_thirds_are_over(&self.current, now);
        if !(is_over || is_due) {
            return;
        }
        match self.wanted.otherwise.obtain(&self.core.authority) {
            Ok(own) => self.show(own),
            Err(error) => tracing::warn!(error = chain(&error), "no certificate at all"),
        }
    }
}
