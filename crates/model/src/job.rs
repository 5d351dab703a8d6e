//! Jobs: the instruction to one component to bring one placement to one generation.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::JobId;
use crate::placement::{Observed, Placement, PlacementRef};

/// ```text
///            claimed               done
///   queued ───────────► leased ───────────► done
///     ▲                   │ │ permanent, unsupported
///     │ transient, lost   │ └───────────────► failed
///     └───────────────────┘
///   queued, leased ── a newer generation ──► superseded
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum JobState {
    Queued,
    Leased,
    Done,
    Failed,
    Superseded,
}

impl JobState {
    pub const ALL: [Self; 5] = [
        Self::Queued,
        Self::Leased,
        Self::Done,
        Self::Failed,
        Self::Superseded,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Leased => "leased",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Superseded => "superseded",
        }
    }

    /// Whether nothing will happen to it any more.
    pub fn ended(self) -> bool {
        matches!(self, Self::Done | Self::Failed | Self::Superseded)
    }
}

/// A job as a component gets it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    pub id: JobId,
    /// Raised each time the job is handed out; an outcome with an older one is not believed.
    pub fence: u64,
    pub task: Task,
}

/// The verbs. Ensure and remove are safe to repeat and to interrupt; an action happens once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "verb", rename_all = "snake_case")]
pub enum Task {
    Ensure {
        placement: Placement,
    },
    Remove {
        target: PlacementRef,
        generation: u64,
    },
    Act {
        target: PlacementRef,
        action: Action,
    },
}

impl Task {
    pub fn target(&self) -> PlacementRef {
        match self {
            Self::Ensure { placement } => placement.reference(),
            Self::Remove { target, .. } | Self::Act { target, .. } => target.clone(),
        }
    }
}

/// What is done once, and is no state to keep.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "action", rename_all = "snake_case")]
pub enum Action {
    /// Restarts an instance: asks it first, then forces it after its stop timeout.
    Reboot,
    /// Answers with the last bytes of an instance's serial console.
    ConsoleLog { bytes: u32 },
}

/// How a job ended on its component.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "result", rename_all = "snake_case")]
pub enum Outcome {
    Ensured { observed: Observed },
    Removed,
    Acted { output: Vec<u8> },
    Failed { kind: FailureKind, message: String },
}

/// What a failure means for the next try.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum FailureKind {
    /// May work later: tried again with growing pauses.
    Transient,
    /// Will not work as asked: ended until the spec changes.
    Permanent,
    /// This component cannot do such a thing at all.
    Unsupported,
}

impl FailureKind {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Transient => "transient",
            Self::Permanent => "permanent",
            Self::Unsupported => "unsupported",
        }
    }
}
