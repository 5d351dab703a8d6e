//! What is observed of a resource, as users see it.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{ComponentId, Timestamp};

/// Where a resource stands, in one word.
///
/// ```text
///            spec changed            all placements done
///   (create) ───────────► pending ─────────────────────► ready ──┐
///                            │ ▲                           │     │ spec changed, drift,
///        permanent failure   ▼ │ retried, spec changed     │     │ component's report
///                          failed ◄────────────────────────┘ ◄───┘
///   (delete) ──► deleting ──► (gone)       host out of reach ──► unknown
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Something asked for is not done yet.
    Pending,
    /// What was asked for is there.
    Ready,
    /// A component said that it cannot be done as asked; nothing retries it until the spec changes.
    Failed,
    /// The component that has it has not been heard of for a while.
    Unknown,
    /// It is being removed.
    Deleting,
}

impl Phase {
    pub const ALL: [Self; 5] = [
        Self::Pending,
        Self::Ready,
        Self::Failed,
        Self::Unknown,
        Self::Deleting,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Ready => "ready",
            Self::Failed => "failed",
            Self::Unknown => "unknown",
            Self::Deleting => "deleting",
        }
    }
}

/// One aspect of a resource's state: whether it holds, and why not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Condition {
    /// What it is about: `Placed`, `Network`, `Instance`, `Segment`, `Lease`, `Peer`, …
    pub kind: String,
    /// Whether it holds.
    pub holds: bool,
    /// One word for programs, in CamelCase: `Ready`, `Waiting`, `Retrying`, `Refused`, …
    pub reason: String,
    /// A sentence for people.
    pub message: String,
    /// The component that it was observed on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub component: Option<ComponentId>,
    /// When it last changed.
    pub since: Timestamp,
}
