//! The trait that a component implements for its foreign system.
//!
//! `ensure` and `remove` are idempotent: safe to repeat, to interrupt at any point (by SIGKILL too)
//! and to run again afterwards. The job loop calls them for one placement at a time; calls for different
//! placements run at once, so a driver locks what it shares between them.

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use rhyzome_fault::{Action as Fault, Injected};
use rhyzome_model::component::HostFacts;
use rhyzome_model::console::{ConsoleFrom, ConsolePiece};
use rhyzome_model::instance::BlobPin;
use rhyzome_model::job::{Action, FailureKind};
use rhyzome_model::placement::{Found, Observed, Placement, PlacementKind, PlacementRef};
use tokio::sync::{mpsc, watch};

/// One foreign system on one host.
#[async_trait]
pub trait Driver: Send + Sync + 'static {
    /// The placements that it can make.
    fn kinds(&self) -> &'static [PlacementKind];

    /// What its host has to give, asked for each time the component connects.
    async fn facts(&self) -> Result<HostFacts, DriverError>;

    /// Brings a placement to its generation, whatever is there now, and returns what is there then.
    ///
    /// # Errors
    /// *transient* where the next try may succeed; *permanent* where it cannot as asked; *unsupported*
    /// where this driver never can.
    async fn ensure(
        &self,
        placement: &Placement,
        progress: &Progress,
    ) -> Result<Observed, DriverError>;

    /// Removes all that a placement made. Fine if there is nothing (any more).
    async fn remove(&self, target: &PlacementRef, progress: &Progress) -> Result<(), DriverError>;

    /// Does something once.
    async fn act(&self, target: &PlacementRef, action: &Action) -> Result<Vec<u8>, DriverError>;

    /// Attaches to an instance's console, whether or not it runs.
    ///
    /// # Errors
    /// *permanent* where the instance is not here; *unsupported* where there are no consoles.
    async fn console(
        &self,
        _target: &PlacementRef,
        _from: ConsoleFrom,
    ) -> Result<Console, DriverError> {
        Err(DriverError::unsupported("there are no consoles here"))
    }

    /// All on the host that carries this component's mark, looked at now. The accepted placements (the
    /// ledger) are given, so that what differs from its spec is found with `observed: None`, and with what
    /// it is that somebody changed, where that is known. People in the project read it: no secrets.
    async fn inventory(&self, accepted: &[Placement]) -> Result<Vec<Found>, DriverError>;

    /// What one accepted placement is now, or that it is not as its spec says. Asked for each
    /// change, so a driver whose inventory is slow answers this in a shorter way.
    ///
    /// # Errors
    /// As [`Driver::inventory`].
    async fn look(&self, placement: &Placement) -> Result<Result<Observed, Differs>, DriverError> {
        let found = self.inventory(std::slice::from_ref(placement)).await?;
        let own = found
            .into_iter()
            .find(|found| found.placement.id == placement.id)
            .filter(|found| found.generation == 0 || found.generation == placement.generation);
        Ok(match own {
            Some(found) => found.observed.ok_or(Differs(found.differs)),
            None => Err(Differs::default()),
        })
    }

    /// Waits for the next change that nobody asked for (an instance ended, a process died) and names
    /// its placement; the job loop then looks at it and repairs or reports it.
    async fn changed(&self) -> PlacementRef;

    /// Waits until something happened to the host that may concern any placement, such as its firewall's
    /// rules being flushed; the job loop then looks at all of them. Never, where nobody looks for that.
    async fn disturbed(&self) {
        std::future::pending().await
    }
}

/// What of a placement is not as its spec says, for people; empty where that is not known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Differs(pub String);

/// A console that somebody is attached to, until both ends are dropped or the instance is removed.
///
/// A reader that is slow loses pieces, and sees so by their positions: it holds up neither the guest nor
/// another reader. The first piece comes at once, also an empty one: its position is where it begins.
#[derive(Debug)]
pub struct Console {
    pub output: mpsc::Receiver<ConsolePiece>,
    pub input: mpsc::Sender<Vec<u8>>,
}

/// Reaches a step of a workflow.
///
/// # Errors
/// What a test has made go wrong there.
pub fn reach(step: impl rhyzome_fault::Step) -> Result<(), DriverError> {
    rhyzome_fault::reach(step).map_err(DriverError::from)
}

impl From<Injected> for DriverError {
    fn from(injected: Injected) -> Self {
        match injected.action {
            Fault::Permanent => Self::permanent(injected.to_string()),
            Fault::Hold | Fault::Transient | Fault::Lose | Fault::Twice => {
                Self::transient(injected.to_string())
            }
        }
    }
}

/// Where a driver gets the bytes of images from.
#[async_trait]
pub trait Blobs: Send + Sync + 'static {
    /// Fetches bytes into a new file at `to`, verified against the digest and the size. Nothing is
    /// left at `to` on an error.
    async fn fetch(
        &self,
        blob: BlobPin,
        to: PathBuf,
        progress: &Progress,
    ) -> Result<(), DriverError>;
}

/// Why a driver could not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct DriverError {
    pub kind: FailureKind,
    /// A sentence for the operator, without the source's.
    pub message: String,
    #[source]
    pub source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl DriverError {
    pub fn transient(message: impl Into<String>) -> Self {
        Self {
            kind: FailureKind::Transient,
            message: message.into(),
            source: None,
        }
    }

    pub fn permanent(message: impl Into<String>) -> Self {
        Self {
            kind: FailureKind::Permanent,
            message: message.into(),
            source: None,
        }
    }

    pub fn unsupported(message: impl Into<String>) -> Self {
        Self {
            kind: FailureKind::Unsupported,
            message: message.into(),
            source: None,
        }
    }

    #[must_use]
    pub fn with_source(self, source: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self {
            source: Some(Box::new(source)),
            ..self
        }
    }

    /// The message with the messages of all its sources.
    pub fn chain(&self) -> String {
        let mut text = self.message.clone();
        let mut source = std::error::Error::source(self);
        while let Some(error) = source {
            text.push_str(": ");
            text.push_str(&error.to_string());
            source = error.source();
        }
        text
    }
}

/// How far a job is: the name of its step and, for long ones, how much of it is done.
#[derive(Clone, Debug)]
pub struct Progress(Arc<watch::Sender<Step>>);

/// A step of a workflow.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Step {
    /// As in "fetching the image".
    pub name: String,
    /// Done and whole, in bytes; none where it is not long.
    pub amount: Option<(u64, u64)>,
}

impl Progress {
    pub fn new() -> (Self, watch::Receiver<Step>) {
        let (sender, receiver) = watch::channel(Step::default());
        (Self(Arc::new(sender)), receiver)
    }

    /// Begins a step.
    pub fn step(&self, name: impl Into<String>) {
        self.0.send_replace(Step {
            name: name.into(),
            amount: None,
        });
    }

    /// Begins a step that is in a list of steps.
    ///
    /// # Errors
    /// What a test has made go wrong there.
    pub fn begin(&self, step: impl rhyzome_fault::Step) -> Result<(), DriverError> {
        self.step(step.as_str());
        reach(step)
    }

    /// Says how much of the step is done, in bytes.
    pub fn amount(&self, done: u64, whole: u64) {
        self.0.send_modify(|step| step.amount = Some((done, whole)));
    }
}
