//! One session, from the connection to its end.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use rhyzome_fault::Action as Fault;
use rhyzome_model::JobId;
use rhyzome_model::job::{FailureKind, Outcome};
use rhyzome_model::placement::Found;
use rhyzome_proto::pb::session_client::SessionClient;
use rhyzome_proto::session::{FromComponent, FromCore, GoodbyeReason, Hello, JobOutcome, Welcome};
use rhyzome_proto::{Invalid, Refusal, Version, pb};
use tokio::sync::{Notify, mpsc};
use tokio::time::MissedTickBehavior;
use tokio_stream::wrappers::UnboundedReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::{Status, Streaming};
use uuid::Uuid;

use super::Context;
use crate::clock;
use crate::consoles;
use crate::driver::DriverError;
use crate::jobs::Taken;
use crate::link::LinkError;
use crate::step::JobStep;

/// How long a core may take for its welcome.
const WELCOME_WITHIN: Duration = Duration::from_secs(20);
/// How often the progress of jobs is told.
const PROGRESS: Duration = Duration::from_millis(500);
/// How much of an inventory is in one message: well under 4 MiB.
const PART: usize = 500;
/// How long after a failed inventory the next try is.
const INVENTORY_PAUSE: Duration = Duration::from_secs(5);
/// The least time between two inventories of one session.
const BETWEEN_INVENTORIES: Duration = Duration::from_secs(60);
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

impl End {
    /// Whether it says nothing of this component: the core itself stopped.
    pub fn is_of_the_core(&self) -> bool {
        match self {
            Self::Goodbye { reason, .. } => *reason == GoodbyeReason::Stopping,
            Self::Stopped | Self::Renewed => false,
        }
    }
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
    #[error("the core did not begin with a welcome")]
    NoWelcome,
}

impl SessionError {
    /// Whether the core takes the certificate for expired, whatever this host's clock says.
    pub fn expired(&self) -> bool {
        matches!(self, Self::Refused(status) if Refusal::of(status) == Some(Refusal::Expired))
    }

    /// What is done, or to be done, about it.
    pub fn advice(&self) -> &'static str {
        let refusal = match self {
            Self::Refused(status) => Refusal::of(status),
            Self::Link(LinkError::Clock { .. }) => {
                return "set the clock that is wrong; trying again";
            }
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

/// How a session went.
pub(super) struct Went {
    /// Whether the core took it at all.
    pub welcomed: bool,
    pub ended: Result<End, SessionError>,
}

pub(super) async fn run(
    context: &Context,
    epoch: Uuid,
    renewed: &Notify,
    stop: &CancellationToken,
) -> Went {
    let mut welcomed = false;
    let ended = tokio::select! {
        // Both leave the stream to be dropped, which the core sees at once.
        () = stop.cancelled() => Ok(End::Stopped),
        () = renewed.notified() => Ok(End::Renewed),
        ended = talk(context, epoch, &mut welcomed) => ended,
    };
    Went { welcomed, ended }
}

async fn talk(context: &Context, epoch: Uuid, taken: &mut bool) -> Result<End, SessionError> {
    let upgrader = context.upgrader.as_ref();
    let hello = Hello {
        protocol: Version::CURRENT,
        software_version: context.software_version.clone(),
        kinds: context.driver.kinds().to_vec(),
        capabilities: Vec::new(),
        facts: context.driver.facts().await.map_err(SessionError::Facts)?,
        epoch,
        program: upgrader.map(|upgrader| Box::new(upgrader.program())),
        upgrade: upgrader.and_then(|upgrader| upgrader.latest().map(Box::new)),
        jobs_at_once: u32::try_from(context.jobs.at_once()).ok(),
    };
    // Unbounded, so that neither side waits for the other to read: what may be in it is bounded by
    // what the core asked for.
    let (sender, outgoing) = mpsc::unbounded_channel();
    let mouth = Mouth(sender);
    mouth.say(FromComponent::Hello(Box::new(hello)))?;
    let mut client = SessionClient::new(context.link.connect().await?);
    let open = client.open(UnboundedReceiverStream::new(outgoing));
    let mut incoming = tokio::time::timeout(WELCOME_WITHIN, open)
        .await
        .map_err(|_| SessionError::Silent)?
        .map_err(|status| SessionError::Refused(Box::new(status)))?
        .into_inner();
    let first = tokio::time::timeout(WELCOME_WITHIN, receive(&mut incoming));
    let welcome = match first.await.map_err(|_| SessionError::Silent)?? {
        Heard::Message(FromCore::Welcome(welcome)) => welcome,
        Heard::Message(FromCore::Goodbye { reason, message }) => {
            return Ok(End::Goodbye { reason, message });
        }
        Heard::Message(
            FromCore::Job(_)
            | FromCore::OutcomeRecorded { .. }
            | FromCore::OpenConsole(_)
            | FromCore::Upgrade(_)
            | FromCore::UpgradeNoted { .. },
        )
        | Heard::StrangeJob { .. }
        | Heard::Strange(_) => return Err(SessionError::NoWelcome),
    };
    *taken = true;
    welcomed(&welcome);
    if let Some(upgrader) = &context.upgrader {
        upgrader.welcomed();
    }
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

    fn say_inventory(&self, found: &[Found]) -> Result<(), SessionError> {
        for begin in (0..found.len().max(1)).step_by(PART) {
            let end = (begin + PART).min(found.len());
            self.say(FromComponent::Inventory {
                found: found[begin..end].to_vec(),
                last: end == found.len(),
            })?;
        }
        Ok(())
    }
}

/// What came from the core. One message that makes no sense here is not worth the session: the next
/// one would bring it again.
enum Heard {
    Message(FromCore),
    StrangeJob {
        job: JobId,
        fence: u64,
        invalid: Invalid,
    },
    Strange(Invalid),
}

async fn receive(stream: &mut Streaming<pb::FromCore>) -> Result<Heard, SessionError> {
    let message = match stream.message().await {
        Ok(Some(message)) => message,
        Ok(None) => return Err(SessionError::Ended),
        Err(status) => return Err(SessionError::Broken(Box::new(status))),
    };
    Ok(heard(message))
}

fn heard(message: pb::FromCore) -> Heard {
    let job = match &message.message {
        Some(pb::from_core::Message::Job(job)) => {
            job.id.parse().ok().map(|id: JobId| (id, job.fence))
        }
        _ => None,
    };
    match (FromCore::try_from(message), job) {
        (Ok(message), _) => Heard::Message(message),
        (Err(invalid), Some((job, fence))) => Heard::StrangeJob {
            job,
            fence,
            invalid,
        },
        (Err(invalid), None) => Heard::Strange(invalid),
    }
}

async fn listen(
    context: &Context,
    mouth: &Mouth,
    mut incoming: Streaming<pb::FromCore>,
    heartbeat: Duration,
) -> Result<End, SessionError> {
    let inventories = inventories(context, mouth);
    tokio::pin!(inventories);
    let mut heartbeats = ticks(heartbeat);
    let mut progress = ticks(PROGRESS);
    loop {
        tokio::select! {
            message = receive(&mut incoming) => {
                if let Some(end) = hear(context, mouth, message?)? {
                    return Ok(end);
                }
            }
            Err(error) = &mut inventories => return Err(error),
            () = context.reports.woken() => tell(mouth, context.reports.take())?,
            _ = progress.tick() => mouth.say_all(context.reports.take_progress())?,
            _ = heartbeats.tick() => mouth.say(FromComponent::Heartbeat {
                time: clock::now(),
                ledger: context.ledger.counts(),
            })?,
        }
    }
}

/// Takes a message, and says how the session ends if it does.
fn hear(context: &Context, mouth: &Mouth, message: Heard) -> Result<Option<End>, SessionError> {
    match message {
        Heard::Message(FromCore::Job(job)) => {
            if made(JobStep::Take, Fault::Twice) {
                context.jobs.put((*job).clone());
            }
            context.jobs.put(*job);
        }
        Heard::Message(FromCore::OutcomeRecorded { job, fence }) => {
            context.jobs.recorded(job, fence);
        }
        Heard::Message(FromCore::Goodbye { reason, message }) => {
            return Ok(Some(End::Goodbye { reason, message }));
        }
        Heard::Message(FromCore::Welcome(_)) => {}
        Heard::Message(FromCore::OpenConsole(request)) => consoles::open(
            Arc::clone(&context.link),
            Arc::clone(&context.driver),
            request,
        ),
        Heard::Message(FromCore::Upgrade(order)) => {
            if let Some(upgrader) = &context.upgrader {
                upgrader.order(order);
            }
        }
        Heard::Message(FromCore::UpgradeNoted { id }) => {
            if let Some(upgrader) = &context.upgrader {
                upgrader.noted(id);
            }
        }
        Heard::StrangeJob {
            job,
            fence,
            invalid,
        } => {
            tracing::warn!(%job, error = %invalid, "a job cannot be understood");
            let message = format!("this component cannot understand the job: {invalid}");
            let outcome = Outcome::Failed {
                kind: FailureKind::Unsupported,
                message,
            };
            mouth.say(FromComponent::Outcome(JobOutcome {
                job,
                fence,
                outcome,
            }))?;
        }
        Heard::Strange(invalid) => {
            tracing::warn!(error = %invalid, "what the core said is passed over");
        }
    }
    Ok(None)
}

/// Says what happened: how jobs went, and what changed by itself.
fn tell(mouth: &Mouth, messages: Vec<FromComponent>) -> Result<(), SessionError> {
    for message in messages {
        let is_outcome = matches!(message, FromComponent::Outcome(_));
        if is_outcome && made(JobStep::Tell, Fault::Lose) {
            return Err(SessionError::Ended);
        }
        mouth.say(message)?;
    }
    Ok(())
}

/// Reaches a step, and says whether a test has made this go wrong there.
fn made(step: JobStep, fault: Fault) -> bool {
    rhyzome_fault::reach(step).is_err_and(|injected| injected.action == fault)
}

/// Says what is on the host: first of all, and again when something stays broken.
async fn inventories(context: &Context, mouth: &Mouth) -> Result<Infallible, SessionError> {
    loop {
        let taken = inventory(context).await;
        mouth.say_inventory(&taken.found)?;
        let upgrader = context.upgrader.as_ref();
        if let Some(report) = upgrader.and_then(|upgrader| upgrader.on_trial()) {
            context.reports.upgrade(report);
        }
        drop(taken);
        tokio::time::sleep(BETWEEN_INVENTORIES).await;
        context.reports.inventory_wanted().await;
    }
}

/// Looks at the host until that works.
async fn inventory(context: &Context) -> Taken {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_that_cannot_be_understood_is_known_by_its_id_and_other_messages_are_passed_over() {
        let id = JobId(Uuid::from_u128(7));
        let job = pb::Job {
            id: id.to_string(),
            fence: 3,
            task: None,
        };
        let message = pb::FromCore {
            message: Some(pb::from_core::Message::Job(job)),
        };
        match heard(message) {
            Heard::StrangeJob {
                job,
                fence: 3,
                invalid,
            } => {
                assert_eq!(
                    (job, invalid.to_string().as_str()),
                    (id, "job.task: is missing")
                );
            }
            _ => panic!("it is a job with an id"),
        }
        assert!(matches!(
            heard(pb::FromCore { message: None }),
            Heard::Strange(_)
        ));
        let nameless = pb::Job {
            id: "?".to_owned(),
            fence: 3,
            task: None,
        };
        let message = pb::FromCore {
            message: Some(pb::from_core::Message::Job(nameless)),
        };
        assert!(matches!(heard(message), Heard::Strange(_)));
    }
}
