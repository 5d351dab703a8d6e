//! The session with the core, for ever: connects, says what there is to say, and comes back.
//!
//! ```text
//!   certificate in order ──► connected ──welcome──► inventory, jobs, reports
//!          ▲                     │ broken, goodbye, renewed      │
//!          └──── pause, growing ─┴───────────────────────────────┘
//!   certificate expired ──► only renewal, see [`renewal`]
//! ```
//!
//! Nothing here touches what runs on the host, and jobs go on while there is no session.

use std::sync::Arc;
use std::time::Duration;

use rhyzome_proto::session::GoodbyeReason;
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::driver::Driver;
use crate::jobs::{Jobs, chain};
use crate::ledger::Ledger;
use crate::link::Link;
use crate::reports::Reports;
use crate::upgrade::Upgrader;

mod pause;
pub mod renewal;
mod stream;

pub(crate) use pause::Pause;
use stream::{End, SessionError, Went};

/// A session that lasted so long was a good one: the next try comes soon.
const GOOD: Duration = Duration::from_secs(10);
/// The longest pause behind a session that a core took and that then broke, as when the core was started
/// again twice in a row: it is likely to be back in a moment.
const AFTER_WELCOME: Duration = Duration::from_secs(1);

/// How often the clock is looked at by which the certificate is expired.
const CLOCK: Duration = Duration::from_secs(2);

/// What sessions are about.
#[derive(Clone)]
pub struct Context {
    pub link: Arc<Link>,
    pub driver: Arc<dyn Driver>,
    pub ledger: Arc<Ledger>,
    pub reports: Arc<Reports>,
    pub jobs: Arc<Jobs>,
    /// The version of the component's program.
    pub software_version: String,
    /// None where the program cannot be replaced by the core.
    pub upgrader: Option<Arc<Upgrader>>,
}

/// Keeps a session with the core, and the certificate fresh, until `stop`.
pub async fn run(context: Context, stop: CancellationToken) {
    let (expired, renewed) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let link = Arc::clone(&context.link);
    let renewal = renewal::run(link, Arc::clone(&expired), Arc::clone(&renewed));
    tokio::select! {
        () = renewal => {}
        () = sessions(&context, &expired, &renewed, &stop) => {}
    }
}

async fn sessions(context: &Context, expired: &Notify, renewed: &Notify, stop: &CancellationToken) {
    let epoch = Uuid::new_v4();
    let mut pause = Pause::new(Duration::from_millis(200), Duration::from_secs(30));
    let mut said = Said::default();
    while !stop.is_cancelled() {
        if context.link.expired() {
            tokio::select! {
                () = renewed.notified() => {}
                // It was not expired: the clock was wrong.
                () = tokio::time::sleep(CLOCK) => continue,
                () = stop.cancelled() => return,
            }
        }
        let began = Instant::now();
        let Went { welcomed, ended } = stream::run(context, epoch, renewed, stop).await;
        match &ended {
            Ok(End::Stopped) => return,
            Ok(End::Renewed) => {
                tracing::info!("the session begins anew with the renewed certificate");
                continue;
            }
            Ok(End::Goodbye { reason, message }) => said.goodbye(*reason, message),
            Err(error) => said.failed(error),
        }
        if let Some(upgrader) = &context.upgrader {
            upgrader.note_trouble(&said.0);
        }
        let taken_for_expired = match &ended {
            Ok(End::Goodbye { reason, .. }) => *reason == GoodbyeReason::Expired,
            Ok(End::Stopped | End::Renewed) => false,
            Err(error) => error.expired(),
        };
        if taken_for_expired {
            expired.notify_one();
        }
        if began.elapsed() > GOOD {
            pause.reset();
            said = Said::default();
        } else if welcomed && ended.as_ref().map_or(true, End::is_of_the_core) {
            pause.at_most(AFTER_WELCOME);
        }
        tokio::select! {
            () = tokio::time::sleep(pause.next()) => {}
            () = renewed.notified() => {}
            () = stop.cancelled() => return,
        }
    }
}

/// What was last said in the log, so that it is not said at every try.
#[derive(Default)]
struct Said(String);

impl Said {
    fn goodbye(&mut self, reason: GoodbyeReason, message: &str) {
        let advice = match reason {
            GoodbyeReason::Stopping | GoodbyeReason::Failed => "trying again",
            GoodbyeReason::Replaced => {
                "does another program run with this component's identity? Trying again"
            }
            GoodbyeReason::Revoked => "ask the operator; to join anew, remove the identity first",
            GoodbyeReason::Expired => "renewing the certificate",
            GoodbyeReason::Unsupported => {
                "core and component are too far apart: upgrade one of them"
            }
            GoodbyeReason::Malformed => "this is a mistake in core or component; trying again",
        };
        self.say(&format!("the core ended the session: {message}"), advice);
    }

    fn failed(&mut self, error: &SessionError) {
        self.say(&chain(error), error.advice());
    }

    fn say(&mut self, what: &str, advice: &str) {
        if self.0 == what {
            tracing::debug!(advice, "{what}");
        } else {
            tracing::warn!(advice, "{what}");
            what.clone_into(&mut self.0);
        }
    }
}
