//! One session: a task for each component that is connected.
//!
//! ```text
//!   open ──hello──► welcomed ──┬─ inventory, progress, outcomes, changes, heartbeats ◄─ component
//!                              └─ jobs, records of outcomes ─► component
//!   any ── revoked, expired, replaced, stopped, malformed, silent ──► goodbye, over
//! ```

use std::collections::HashSet;
use std::time::Duration;

use rhyzome_model::JobId;
use rhyzome_model::placement::Found;
use rhyzome_proto::session::{FromComponent, FromCore, GoodbyeReason, Hello, JobOutcome, Welcome};
use rhyzome_proto::{Refusal, Version, pb};
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior};
use tonic::{Status, Streaming};

use super::gateway::{GatewayError, Heartbeat, OutcomeTaken, Session, SessionStanding};
use super::pace::Pace;
use super::peer::{Peer, chain, sentence};
use super::step::Step;
use super::{Edge, guard};

/// How many jobs a component has at once.
const OUTSTANDING: usize = 16;
/// How often jobs are looked for without being woken.
const POLL: Duration = Duration::from_secs(1);
/// How long a component may take for its hello.
const HELLO_WITHIN: Duration = Duration::from_secs(10);
/// How long a goodbye may take to be sent.
const GOODBYE_WITHIN: Duration = Duration::from_millis(500);
/// More than this in one inventory is a mistake.
const MOST_FOUND: usize = 200_000;

type Sender = mpsc::Sender<Result<pb::FromCore, Status>>;

/// Why a session is over.
enum End {
    /// The component went away: nobody is left to say goodbye to.
    Gone,
    Goodbye(GoodbyeReason, String),
}

/// Reaches a step, behind which a test may have the connection lost.
fn reach(step: Step) -> Result<(), End> {
    rhyzome_fault::reach(step).map_err(|_injected| End::Gone)
}

pub(super) async fn run(
    edge: Edge,
    peer: Peer,
    stream: Streaming<pb::FromComponent>,
    sender: Sender,
) {
    let end = tokio::select! {
        // What ends a session comes before what goes on in it.
        biased;
        refusal = guard::until_refused(edge.gateway.as_ref(), &peer) => refused(refusal),
        () = edge.stop.cancelled() => goodbye(GoodbyeReason::Stopping, "the core stops"),
        end = begin(&edge, &peer, stream, &sender) => end,
    };
    if let End::Goodbye(reason, message) = end {
        tracing::info!(component = %peer.component, ?reason, message, "a session was ended");
        let goodbye = sender.send(Ok(FromCore::Goodbye { reason, message }.into()));
        // A component that does not take it finds the stream ended instead.
        let _ = tokio::time::timeout(GOODBYE_WITHIN, goodbye).await;
    } else {
        tracing::info!(component = %peer.component, "a component went away");
    }
}

fn refused(refusal: Refusal) -> End {
    let reason = match refusal {
        Refusal::Expired => GoodbyeReason::Expired,
        Refusal::Unsupported => GoodbyeReason::Unsupported,
        Refusal::Revoked
        | Refusal::Unknown
        | Refusal::NoCertificate
        | Refusal::Token
        | Refusal::NameTaken => GoodbyeReason::Revoked,
    };
    goodbye(reason, sentence(refusal))
}

fn goodbye(reason: GoodbyeReason, message: impl Into<String>) -> End {
    End::Goodbye(reason, message.into())
}

impl From<GatewayError> for End {
    fn from(error: GatewayError) -> Self {
        match error {
            GatewayError::Refused { refusal, message } => match refused(refusal) {
                Self::Goodbye(reason, _) => Self::Goodbye(reason, message),
                Self::Gone => Self::Gone,
            },
            GatewayError::Invalid(message) | GatewayError::Damaged(message) => {
                goodbye(GoodbyeReason::Malformed, message)
            }
            GatewayError::NotFound => goodbye(GoodbyeReason::Failed, error.to_string()),
            GatewayError::Unavailable(ref source) => {
                tracing::error!(error = chain(source.as_ref()), "a session cannot go on");
                goodbye(GoodbyeReason::Failed, error.to_string())
            }
        }
    }
}

/// From the hello to the end.
async fn begin(
    edge: &Edge,
    peer: &Peer,
    mut stream: Streaming<pb::FromComponent>,
    sender: &Sender,
) -> End {
    let hello = match tokio::time::timeout(HELLO_WITHIN, first(&mut stream)).await {
        Ok(Ok(hello)) => hello,
        Ok(Err(end)) => return end,
        Err(_) => return goodbye(GoodbyeReason::Malformed, "there was no hello"),
    };
    if !Version::CURRENT.speaks_with(hello.protocol) {
        let message = format!(
            "this core speaks protocol {}, and the component {}: a core speaks with its own minor \
             version and the one before",
            Version::CURRENT,
            hello.protocol
        );
        return goodbye(GoodbyeReason::Unsupported, message);
    }
    let place = edge.sessions.enter(peer.component);
    let session = match edge
        .gateway
        .connected(peer.component, peer.from, hello)
        .await
    {
        Ok(session) => session,
        Err(error) => return error.into(),
    };
    tracing::info!(component = %peer.component, name = %session.name, "a component connected");
    let over = Disconnected {
        edge: edge.clone(),
        peer: peer.clone(),
        session: session.clone(),
    };
    let talk = Talk {
        edge,
        peer,
        session,
        sender,
        outstanding: HashSet::new(),
        found: Vec::new(),
        pace: Pace::new(Instant::now()),
    };
    let end = tokio::select! {
        biased;
        () = place.replaced() => {
            goodbye(GoodbyeReason::Replaced, "another session of this component began")
        }
        end = talk.run(stream) => end,
    };
    drop(over);
    end
}

/// Tells the gateway, also when the session's future is dropped.
struct Disconnected {
    edge: Edge,
    peer: Peer,
    session: Session,
}

impl Drop for Disconnected {
    fn drop(&mut self) {
        let gateway = std::sync::Arc::clone(&self.edge.gateway);
        let (component, session) = (self.peer.component, self.session.id);
        tokio::spawn(async move { gateway.disconnected(component, session).await });
    }
}

async fn first(stream: &mut Streaming<pb::FromComponent>) -> Result<Hello, End> {
    match receive(stream).await? {
        FromComponent::Hello(hello) => Ok(hello),
        _ => Err(goodbye(
            GoodbyeReason::Malformed,
            "a session begins with a hello",
        )),
    }
}

async fn receive(stream: &mut Streaming<pb::FromComponent>) -> Result<FromComponent, End> {
    match stream.message().await {
        Ok(Some(message)) => FromComponent::try_from(message)
            .map_err(|error| goodbye(GoodbyeReason::Malformed, error.to_string())),
        Ok(None) => Err(End::Gone),
        Err(status) => {
            tracing::debug!(%status, "a component's stream broke");
            Err(End::Gone)
        }
    }
}

/// A session that has been welcomed.
struct Talk<'a> {
    edge: &'a Edge,
    peer: &'a Peer,
    session: Session,
    sender: &'a Sender,
    /// Jobs that were sent and whose outcome has not come.
    outstanding: HashSet<JobId>,
    /// The inventory, as far as it has come.
    found: Vec<Found>,
    /// Of what nobody asked for.
    pace: Pace,
}

impl Talk<'_> {
    async fn run(mut self, stream: Streaming<pb::FromComponent>) -> End {
        match self.try_run(stream).await {
            Ok(never) => match never {},
            Err(end) => end,
        }
    }

    async fn try_run(
        &mut self,
        mut stream: Streaming<pb::FromComponent>,
    ) -> Result<std::convert::Infallible, End> {
        self.welcome().await?;
        let wakeups = self.edge.gateway.wakeups(self.peer.component);
        let mut consoles = self.edge.gateway.console_requests(self.peer.component);
        let mut polls = tokio::time::interval(POLL);
        polls.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let patience = self.session.heartbeat_interval * 3;
        let mut silent_until = Instant::now() + patience;
        loop {
            tokio::select! {
                message = receive(&mut stream) => {
                    silent_until = Instant::now() + patience;
                    self.hear(message?).await?;
                }
                Some(console) = consoles.recv() => self.say(FromCore::OpenConsole(console)).await?,
                () = wakeups.notified() => self.claim().await?,
                _ = polls.tick() => self.claim().await?,
                () = self.sender.closed() => return Err(End::Gone),
                () = tokio::time::sleep_until(silent_until) => {
                    return Err(goodbye(GoodbyeReason::Failed, "nothing was heard for too long"));
                }
            }
        }
    }

    async fn welcome(&self) -> Result<(), End> {
        let interval = self.session.heartbeat_interval.as_millis();
        let welcome = Welcome {
            component: self.peer.component,
            name: self.session.name.clone(),
            heartbeat_interval: u32::try_from(interval).unwrap_or(u32::MAX),
            time: self.session.now,
        };
        self.say(FromCore::Welcome(welcome)).await
    }

    async fn say(&self, message: FromCore) -> Result<(), End> {
        self.sender
            .send(Ok(message.into()))
            .await
            .map_err(|_| End::Gone)
    }

    async fn claim(&mut self) -> Result<(), End> {
        let free = OUTSTANDING.saturating_sub(self.outstanding.len());
        if free == 0 {
            return Ok(());
        }
        let jobs = self
            .edge
            .gateway
            .claim(self.peer.component, self.session.id, free)
            .await?;
        for job in jobs {
            self.outstanding.insert(job.id);
            reach(Step::Send)?;
            self.say(FromCore::Job(Box::new(job))).await?;
        }
        Ok(())
    }

    /// Whether nobody asked for a message.
    fn is_unasked(&self, message: &FromComponent) -> bool {
        match message {
            FromComponent::Inventory { .. } | FromComponent::Changed { .. } => true,
            FromComponent::Progress(progress) => !self.outstanding.contains(&progress.job),
            FromComponent::Outcome(outcome) => !self.outstanding.contains(&outcome.job),
            FromComponent::Hello(_) | FromComponent::Heartbeat { .. } => false,
        }
    }

    async fn hear(&mut self, message: FromComponent) -> Result<(), End> {
        if self.is_unasked(&message) {
            tokio::time::sleep_until(self.pace.count(Instant::now())).await;
        }
        let gateway = &self.edge.gateway;
        let component = self.peer.component;
        match message {
            FromComponent::Hello(_) => {
                return Err(goodbye(GoodbyeReason::Malformed, "a second hello"));
            }
            FromComponent::Inventory { found, last } => {
                self.found.extend(found);
                if self.found.len() > MOST_FOUND {
                    return Err(goodbye(
                        GoodbyeReason::Malformed,
                        "the inventory does not end",
                    ));
                }
                if last {
                    let found = std::mem::take(&mut self.found);
                    gateway.inventory(component, self.session.id, found).await?;
                    self.claim().await?;
                }
            }
            FromComponent::Progress(progress) => {
                // Progress is worth no more than the next one.
                let told = gateway.progress(component, progress).await;
                self.pass_over("progress", told);
            }
            FromComponent::Outcome(outcome) => self.outcome(outcome).await?,
            FromComponent::Changed {
                placement,
                generation,
                observed,
            } => {
                match gateway
                    .observed(component, placement, generation, observed)
                    .await
                {
                    // The next session begins with an inventory, which says it again.
                    Err(error @ (GatewayError::Unavailable(_) | GatewayError::Refused { .. })) => {
                        return Err(error.into());
                    }
                    told => self.pass_over("a change", told),
                }
            }
            FromComponent::Heartbeat { time, ledger } => {
                let heartbeat = Heartbeat { time, ledger };
                match gateway
                    .heartbeat(component, self.session.id, heartbeat)
                    .await?
                {
                    SessionStanding::Current => {}
                    SessionStanding::Replaced => {
                        let message = "another session of this component began elsewhere";
                        return Err(goodbye(GoodbyeReason::Replaced, message));
                    }
                }
            }
        }
        Ok(())
    }

    async fn outcome(&mut self, outcome: JobOutcome) -> Result<(), End> {
        let (job, fence) = (outcome.job, outcome.fence);
        let taken = match self
            .edge
            .gateway
            .outcome(self.peer.component, outcome)
            .await
        {
            // There is nothing that it could be the outcome of, now or later.
            Err(error @ (GatewayError::NotFound | GatewayError::Invalid(_))) => {
                self.pass_over("an outcome", Err(error));
                OutcomeTaken::Recorded
            }
            taken => taken?,
        };
        match taken {
            OutcomeTaken::Recorded => {
                self.outstanding.remove(&job);
                reach(Step::Recorded)?;
                self.say(FromCore::OutcomeRecorded { job, fence }).await?;
            }
            OutcomeTaken::Stale => {}
        }
        self.claim().await
    }

    /// What one message comes to is not worth the session.
    fn pass_over(&self, what: &str, told: Result<(), GatewayError>) {
        if let Err(error) = told {
            tracing::warn!(
                component = %self.peer.component, error = chain(&error), "{what} was passed over"
            );
        }
    }
}
