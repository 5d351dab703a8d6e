//! One session: a task for each component that is connected.
//!
//! ```text
//!   open ──hello──► welcomed ──┬─ inventory, progress, outcomes, changes, heartbeats ◄─ component
//!                              └─ jobs, records of outcomes ─► component
//!   any ── revoked, expired, replaced, stopped, malformed, silent ──► goodbye, over
//! ```

use std::time::Duration;

use rhyzome_model::ComponentId;
use rhyzome_proto::session::{FromComponent, FromCore, GoodbyeReason, Hello};
use rhyzome_proto::{Version, pb};
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior};
use tonic::{Code, Status, Streaming};

use super::gateway::SessionId;
use super::pace::Pace;
use super::peer::Peer;
use super::step::Step;
use super::talk::{End, Talk, goodbye, refused};
use super::{Edge, LARGEST_MESSAGE, guard};

/// How often jobs are looked for without being woken.
const POLL: Duration = Duration::from_secs(1);
/// How often it is looked without being woken whether there is an upgrade.
const POLL_UPGRADES: Duration = Duration::from_secs(20);
/// How long a component may take for its hello.
const HELLO_WITHIN: Duration = Duration::from_secs(10);
/// How long a goodbye may take to be sent.
const GOODBYE_WITHIN: Duration = Duration::from_millis(500);

type Sender = mpsc::Sender<Result<pb::FromCore, Status>>;

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
        refusal = guard::until_refused(edge.gateway.as_ref(), &peer) => match reach(Step::Refuse) {
            Ok(()) => refused(refusal),
            Err(lost) => lost,
        },
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
    let gateway = std::sync::Arc::clone(&edge.gateway);
    let talk = match Talk::begin(gateway, peer.component, peer.from, hello).await {
        Ok(talk) => talk,
        Err(end) => return end,
    };
    let over = Disconnected {
        edge: edge.clone(),
        component: peer.component,
        session: talk.session(),
    };
    let line = Line {
        edge,
        talk,
        sender,
        pace: Pace::new(Instant::now()),
    };
    let end = tokio::select! {
        biased;
        () = place.replaced() => {
            goodbye(GoodbyeReason::Replaced, "another session of this component began")
        }
        end = line.run(stream) => end,
    };
    drop(over);
    end
}

/// Tells the gateway, also when the session's future is dropped.
struct Disconnected {
    edge: Edge,
    component: ComponentId,
    session: SessionId,
}

impl Drop for Disconnected {
    fn drop(&mut self) {
        let gateway = std::sync::Arc::clone(&self.edge.gateway);
        let (component, session) = (self.component, self.session);
        tokio::spawn(async move { gateway.disconnected(component, session).await });
    }
}

async fn first(stream: &mut Streaming<pb::FromComponent>) -> Result<Hello, End> {
    match receive(stream).await? {
        FromComponent::Hello(hello) => Ok(*hello),
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
        Err(status) => Err(broken(&status)),
    }
}

/// What a stream ends with that cannot be read: bytes that are no message are worth a word, a connection
/// that is gone has nobody to hear it.
fn broken(status: &Status) -> End {
    match status.code() {
        // Frames that are cut off or none, and what is in them and cannot be decoded.
        Code::Internal => goodbye(
            GoodbyeReason::Malformed,
            format!("this is no message: {}", status.message()),
        ),
        Code::OutOfRange => goodbye(
            GoodbyeReason::Malformed,
            format!("a message has at most {LARGEST_MESSAGE} bytes"),
        ),
        _ => {
            tracing::debug!(%status, "a component's stream broke");
            End::Gone
        }
    }
}

/// A session that has been welcomed, and its stream.
struct Line<'a> {
    edge: &'a Edge,
    talk: Talk,
    sender: &'a Sender,
    /// Of what nobody asked for.
    pace: Pace,
}

impl Line<'_> {
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
        self.say(self.talk.welcome()).await?;
        let component = self.talk.component();
        let wakeups = self.edge.gateway.wakeups(component);
        let mut consoles = self.edge.gateway.console_requests(component);
        let mut polls = tokio::time::interval(POLL);
        polls.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut upgrades = tokio::time::interval(POLL_UPGRADES);
        upgrades.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let patience = self.talk.patience();
        let mut silent_until = Instant::now() + patience;
        loop {
            tokio::select! {
                message = receive(&mut stream) => {
                    silent_until = Instant::now() + patience;
                    self.hear(message?).await?;
                }
                Some(console) = consoles.recv() => self.say(FromCore::OpenConsole(console)).await?,
                () = wakeups.notified() => {
                    self.claim().await?;
                    self.upgrade().await?;
                }
                _ = polls.tick() => self.claim().await?,
                _ = upgrades.tick() => self.upgrade().await?,
                () = self.sender.closed() => return Err(End::Gone),
                () = tokio::time::sleep_until(silent_until) => {
                    return Err(goodbye(GoodbyeReason::Failed, "nothing was heard for too long"));
                }
            }
        }
    }

    async fn hear(&mut self, message: FromComponent) -> Result<(), End> {
        if self.talk.is_unasked(&message) {
            tokio::time::sleep_until(self.pace.count(Instant::now())).await;
        }
        let makes_room = Talk::makes_room(&message);
        let answers = self.talk.hear(message).await?;
        self.say_all(answers).await?;
        if makes_room {
            self.claim().await?;
        }
        Ok(())
    }

    async fn claim(&mut self) -> Result<(), End> {
        let jobs = self.talk.claim().await?;
        self.say_all(jobs).await
    }

    async fn upgrade(&mut self) -> Result<(), End> {
        let order = self.talk.upgrade().await?;
        self.say_all(order).await
    }

    async fn say_all(&self, messages: Vec<FromCore>) -> Result<(), End> {
        for message in messages {
            match message {
                FromCore::Job(_) => reach(Step::Send)?,
                FromCore::OutcomeRecorded { .. } => reach(Step::Recorded)?,
                FromCore::Welcome(_)
                | FromCore::Goodbye { .. }
                | FromCore::OpenConsole(_)
                | FromCore::Upgrade(_)
                | FromCore::UpgradeNoted { .. } => {}
            }
            self.say(message).await?;
        }
        Ok(())
    }

    async fn say(&self, message: FromCore) -> Result<(), End> {
        self.sender
            .send(Ok(message.into()))
            .await
            .map_err(|_| End::Gone)
    }
}
