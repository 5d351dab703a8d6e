//! Waiting until the core has done what it was asked to, and saying what it is doing meanwhile.
//!
//! Whatever ends the waiting, the core goes on: nothing is undone here.

use std::future::Future;
use std::time::Duration;

use rhyzome_client::{Collection, Deleted};
use rhyzome_model::Name;
use rhyzome_model::job::JobState;
use rhyzome_model::resource::{Instance, Job, Meta, Network, Peer};
use rhyzome_model::status::{Condition, Phase};
use serde::de::DeserializeOwned;
use tokio::time::{Instant, sleep, sleep_until};
use uuid::Uuid;

use crate::args::WaitArgs;
use crate::failure::Failure;
use crate::output::{Output, time};
use crate::progress::Progress;
use crate::session::Session;

/// How long the core is asked to hold one answer back.
const HOLD: Duration = Duration::from_secs(20);

/// The least time between two questions about the same thing, where the core does not hold back.
const LEAST: Duration = Duration::from_millis(200);

/// How often the jobs are looked at for a step to show.
const LOOK: Duration = Duration::from_millis(500);

/// A resource that takes time to become what was asked.
pub trait Phased: DeserializeOwned {
    /// As in `rhyzome KIND show`.
    const KIND: &'static str;
    fn meta(&self) -> &Meta;
    fn phase(&self) -> Phase;
    fn conditions(&self) -> &[Condition];
}

macro_rules! phased {
    ($($type:ident = $kind:literal;)*) => {$(
        impl Phased for $type {
            const KIND: &'static str = $kind;
            fn meta(&self) -> &Meta {
                &self.meta
            }
            fn phase(&self) -> Phase {
                self.status.phase
            }
            fn conditions(&self) -> &[Condition] {
                &self.status.conditions
            }
        }
    )*};
}

phased! {
    Network = "network";
    Peer = "peer";
    Instance = "instance";
}

/// Waits until a resource is ready, as `args` say; `first` is how it is now.
///
/// # Errors
/// That it failed, that the time is over, that the user had enough.
pub async fn ready<R, T: Phased, S>(
    session: &Session<'_>,
    collection: &Collection<R, T, S>,
    first: T,
    args: WaitArgs,
) -> Result<T, Failure> {
    if args.no_wait {
        return Ok(first);
    }
    let deadline = Instant::now() + args.timeout;
    let (name, id) = (first.meta().name.clone(), first.meta().id);
    let settled = async {
        let mut now = first;
        loop {
            match now.phase() {
                Phase::Ready => return Ok(now),
                Phase::Failed => return Err(failed(&now)),
                _ if Instant::now() >= deadline => return Err(late(&now, args.timeout)),
                _ => {}
            }
            let asked = Instant::now();
            let hold = deadline.saturating_duration_since(asked).min(HOLD);
            now = collection.get_tagged(&name, Some(hold)).await?.value;
            if now.phase() != Phase::Ready {
                sleep_until(asked + LEAST).await;
            }
        }
    };
    watched(session, T::KIND, &name, id, settled).await
}

/// Deletes a resource and waits until it is gone, as `args` say. Gives its last state.
pub async fn gone<R, T: Phased, S>(
    session: &Session<'_>,
    collection: &Collection<R, T, S>,
    name: &Name,
    args: WaitArgs,
) -> Result<Deleted<T>, Failure> {
    let before = collection.get(name).await?;
    let id = before.meta().id;
    let deadline = Instant::now() + args.timeout;
    let hold = (!args.no_wait).then_some(args.timeout);
    let settled = async {
        let mut now = match collection.delete(name, None, hold).await {
            Ok(Deleted::Deleting(now)) => now,
            Ok(gone) => return Ok(gone),
            // It was there a moment ago: an answer got lost, and asking again found it gone.
            Err(e) if e.is_not_found() => return Ok(Deleted::Gone(None)),
            Err(e) => return Err(e.into()),
        };
        if args.no_wait {
            return Ok(Deleted::Deleting(now));
        }
        loop {
            if Instant::now() >= deadline {
                return Err(late(&now, args.timeout));
            }
            sleep(LEAST).await;
            now = match collection.get(name).await {
                Ok(other) if other.meta().id != id => return Ok(Deleted::Gone(Some(now))),
                Ok(now) => now,
                Err(e) if e.is_not_found() => return Ok(Deleted::Gone(Some(now))),
                Err(e) => return Err(e.into()),
            };
        }
    };
    watched(session, T::KIND, name, id, settled).await
}

/// Waits for an answer that changes something, where no resource is known yet: an interruption says
/// that the request may have arrived.
pub async fn asked<T, E: Into<Failure>>(
    request: impl Future<Output = Result<T, E>>,
    look: impl FnOnce() -> String,
) -> Result<T, Failure> {
    tokio::select! {
        answer = request => answer.map_err(Into::into),
        _ = tokio::signal::ctrl_c() => Err(Failure::InterruptedEarly { look: look() }),
    }
}

/// Runs what waits for a resource, showing its jobs' steps, until it is done or the user has enough.
pub async fn watched<T>(
    session: &Session<'_>,
    kind: &'static str,
    name: &Name,
    id: Uuid,
    settled: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    tokio::select! {
        outcome = settled => outcome,
        () = show(session, kind, name, id) => unreachable!("it shows progress until it is dropped"),
        _ = tokio::signal::ctrl_c() => Err(Failure::Interrupted { kind, name: name.to_string() }),
    }
}

async fn show(session: &Session<'_>, kind: &str, name: &Name, id: Uuid) {
    // What is done at once needs no progress.
    sleep(LOOK / 2).await;
    let progress = Progress::spinner(session.output);
    progress.say(&format!("{kind} {name}: asked"));
    loop {
        if let Ok(page) = session.scope.job().of_resource(id, 5).await {
            let job = page.items.iter().find(|job| !job.state.ended());
            if let Some(job) = job {
                let text = format!("{kind} {name}: {}", step(job));
                let what = job
                    .failure
                    .as_ref()
                    .map_or(&text, |failure| &failure.message);
                progress.say_of(what, &text);
            }
        }
        sleep(LOOK).await;
    }
}

/// What a job is doing, in a few words.
pub fn step(job: &Job) -> String {
    let at = &job.component;
    if let (Some(failure), JobState::Queued) = (&job.failure, job.state) {
        let again = match job.next_try_at {
            Some(at) => format!("tried again {}", time::ago(at, time::now())),
            None => "tried again".to_owned(),
        };
        return format!("{} on {at}, {again}", failure.message);
    }
    if let Some(waiting) = &job.waiting_for {
        return format!("waiting for {waiting}");
    }
    match (job.state, &job.step, job.amount) {
        (JobState::Queued, ..) => format!("waiting for {at}"),
        (_, Some(step), Some((done, whole))) if whole > 0 => {
            format!("{step} on {at}, {}%", done.saturating_mul(100) / whole)
        }
        (_, Some(step), _) => format!("{step} on {at}"),
        (_, None, _) => format!("{} on {at}", job.verb),
    }
}

fn failed<T: Phased>(thing: &T) -> Failure {
    Failure::Failed {
        kind: T::KIND,
        name: thing.meta().name.to_string(),
        reason: reason(thing.conditions()),
    }
}

fn late<T: Phased>(thing: &T, timeout: Duration) -> Failure {
    Failure::Late {
        kind: T::KIND,
        name: thing.meta().name.to_string(),
        state: thing.phase().as_str().to_owned(),
        seconds: timeout.as_secs(),
        reason: reason(thing.conditions()),
    }
}

/// What does not hold, in sentences.
fn reason(conditions: &[Condition]) -> String {
    let wrong = conditions.iter().filter(|condition| !condition.holds);
    let said: Vec<&str> = wrong.map(|condition| condition.message.as_str()).collect();
    if said.is_empty() {
        "no reason is known".to_owned()
    } else {
        said.join("; ")
    }
}

/// Says to people that something was asked for and not waited for.
pub fn note_pending<T: Phased>(output: &Output, thing: &T) {
    if thing.phase() != Phase::Ready {
        let (kind, name) = (T::KIND, &thing.meta().name);
        output.note(&format!(
            "the core goes on; `rhyzome {kind} show {name}` says how far it is"
        ));
    }
}
