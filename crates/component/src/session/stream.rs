//! One session, from the connection to its end.

use std::time::Duration;

use rhyzome_model::placement::Found;
use rhyzome_proto::pb::session_client::SessionClient;
use rhyzome_proto::session::{FromComponent, FromCore, GoodbyeReason, Hello, Welcome};
use rhyzome_proto::{Invalid, Refusal, Version, pb};
use tokio::sync::{Notify, mpsc};
use tokio::time::MissedTickBehavior;
use tokio_stream::wrappers::UnboundedReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::{Status, Streaming};
use uuid::Uuid;

use super::Context;
use crate::clock;
use crate::driver::DriverError;
use crate::link::LinkError;

/// How long a core may take for its welcome.
const WELCOME_WITHIN: Duration = Duration::from_secs(20);
/// How often the progress of jobs is told.
const PROGRESS: Duration = Duration::from_millis(500);
/// How much of an inventory is in one message: well under 4 MiB.
const PART: usize = 500;
/// How long after a failed inventory the next try is.
const INVENTORY_PAUSE: Duration = Duration::from_secs(5);
/// A difference of clocks, in milliseconds, that is worth a line in the log.
const CLOCKS: i64 = 60_000;

/// How a session ended, where that is no failure.
pub(super) enum End {
    Stopped,
    /// There is a new certificate to show.
    Renewed,
    Goodbye {
        reason: GoodbyeReason,
        message: String,
    },
}

#[derive(Debug, thiserror::Error)]
pub(super) enum SessionError {
    #[error(transparent)]
    Link(#[from] LinkError),
    #[error("the host's facts could not be found out: {}", .0.chain())]
    Facts(DriverError),
    #[error("the core refused the session: {}", .0.message())]
    Refused(Box<Status>),
    #[error("the core was silent")]
    Silent,
    #[error("the session with the core broke: {}", .0.message())]
    Broken(Box<Status>),
    #[error("the core ended the session without a word")]
    Ended,
    #[error("the core said what cannot be understood")]
    Invalid(#[source] Invalid),
    #[error("the core did not begin with a welcome")]
    NoWelcome,
}

impl SessionError {
    /// What is done, or to be done, about it.
    pub fn advice(&self) -> &'static str {
        let refusal = match self {
            Self::Refused(status) => Refusal::of(status),
            _ => None,
        };
        match refusal {
            Some(Refusal::Expired) => "renewing the certificate",
            Some(Refusal::Revoked | Refusal::Unknown | Refusal::NoCertificate) => {
                "ask the operator; to join anew, remove the identity first"
            }
            Some(Refusal::Unsupported) => {
                "core and component are too far apart: upgrade one of them"
            }
            Some(Refusal::Token | Refusal::NameTaken) | None => "trying again",
        }
    }
}

pub(super) async fn run(
    context: &Context,
    epoch: Uuid,
    renewed: &Notify,
    stop: &CancellationToken,
) -> Result<End, SessionError> {
    tokio::select! {
        // Both leave the stream to be dropped, which the core sees at once.
        () = stop.cancelled() => Ok(End::Stopped),
        () = renewed.notified() => Ok(End::Renewed),
        ended = talk(context, epoch) => ended,
    }
}

async fn talk(context: &Context, epoch: Uuid) -> Result<End, SessionError> {
    let hello = Hello {
        protocol: Version::CURRENT,
        software_version: context.software_version.clone(),
        kinds: context.driver.kinds().to_vec(),
        capabilities: Vec::new(),
        facts: context.driver.facts().await.map_err(SessionError::Facts)?,
        epoch,
    };
    // Unbounded, so that neither side waits for the other to read: what may be in it is bounded by
    // what the core asked for.
    let (sender, outgoing) = mpsc::unbounded_channel();
    let mouth = Mouth(sender);
    mouth.say(FromComponent::Hello(hello))?;
    let mut client = SessionClient::new(context.link.connect().await?);
    let open = client.open(UnboundedReceiverStream::new(outgoing));
    let mut incoming = tokio::time::timeout(WELCOME_WITHIN, open)
        .await
        .map_err(|_| SessionError::Silent)?
        .map_err(|status| SessionError::Refused(Box::new(status)))?
        .into_inner();
    let first = tokio::time::timeout(WELCOME_WITHIN, receive(&mut incoming));
    let welcome = match first.await.map_err(|_| SessionError::Silent)?? {
        FromCore::Welcome(welcome) => welcome,
        FromCore::Goodbye { reason, message } => return Ok(End::Goodbye { reason, message }),
        FromCore::Job(_) | FromCore::OutcomeRecorded { .. } => return Err(SessionError::NoWelcome),
    };
    welcomed(&welcome);
    context.reports.begin_session();
    listen(context, &mouth, incoming, heartbeat_interval(&welcome)).await
}

fn heartbeat_interval(welcome: &Welcome) -> Duration {
    Duration::from_millis(u64::from(welcome.heartbeat_interval).max(100))
}

fn welcomed(welcome: &Welcome) {
    tracing::info!(component = %welcome.component, name = %welcome.name, "connected to the core");
    let apart = clock::now()
        .as_millis()
        .saturating_sub(welcome.time.as_millis());
    if apart.abs() > CLOCKS {
        tracing::warn!(
            milliseconds = apart,
            "this host's clock and the core's are apart: certificates may seem expired"
        );
    }
}

/// What the component says goes in here.
struct Mouth(mpsc::UnboundedSender<pb::FromComponent>);

impl Mouth {
    fn say(&self, message: FromComponent) -> Result<(), SessionError> {
        self.0.send(message.into()).map_err(|_| SessionError::Ended)
    }

    fn say_all(&self, messages: Vec<FromComponent>) -> Result<(), SessionError> {
        messages
            .into_iter()
            .try_for_each(|message| self.say(message))
    }

    fn say_inventory(&self, mut found: Vec<Found>) -> Result<(), SessionError> {
        loop {
            let rest = found.split_off(found.len().min(PART));
            let last = rest.is_empty();
            self.say(FromComponent::Inventory { found, last })?;
            if last {
                return Ok(());
            }
            found = rest;
        }
    }
}

async fn receive(stream: &mut Streaming<pb::FromCore>) -> Result<FromCore, SessionError> {
    match stream.message().await {
        Ok(Some(message)) => FromCore::try_from(message).map_err(SessionError::Invalid),
        Ok(None) => Err(SessionError::Ended),
        Err(status) => Err(SessionError::Broken(Box::new(status))),
    }
}

async fn listen(
    context: &Context,
    mouth: &Mouth,
    mut incoming: Streaming<pb::FromCore>,
    heartbeat: Duration,
) -> Result<End, SessionError> {
    let inventory = inventory(context);
    tokio::pin!(inventory);
    let mut told = false;
    let mut heartbeats = ticks(heartbeat);
    let mut progress = ticks(PROGRESS);
    loop {
        tokio::select! {
            message = receive(&mut incoming) => match message? {
                FromCore::Job(job) => context.jobs.put(*job),
                FromCore::OutcomeRecorded { job, fence } => context.jobs.recorded(job, fence),
                FromCore::Goodbye { reason, message } => {
                    return Ok(End::Goodbye { reason, message });
                }
                FromCore::Welcome(_) => {}
            },
            found = &mut inventory, if !told => {
                told = true;
                mouth.say_inventory(found)?;
            }
            () = context.reports.woken() => mouth.say_all(context.reports.take())?,
            _ = progress.tick() => mouth.say_all(context.reports.take_progress())?,
            _ = heartbeats.tick() => mouth.say(FromComponent::Heartbeat {
                time: clock::now(),
                ledger: context.ledger.counts(),
            })?,
        }
    }
}

/// Looks at the host until that works.
async fn inventory(context: &Context) -> Vec<Found> {
    loop {
        match context.jobs.inventory().await {
            Ok(found) => return found,
            Err(error) => {
                tracing::warn!(
                    error = error.chain(),
                    "there is no inventory for the core yet"
                );
                tokio::time::sleep(INVENTORY_PAUSE).await;
            }
        }
    }
}

fn ticks(period: Duration) -> tokio::time::Interval {
    let mut ticks = tokio::time::interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}
