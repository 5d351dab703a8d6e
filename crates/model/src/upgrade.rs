//! A component's program, and putting another one in its place.
//!
//! ```text
//!   asked ──► fetching ──► checking ──► trying ──► done
//!     └──────────┴────────────┴───────────┴──────► failed: the one from before runs, or runs again
//! ```

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{Digest, Size, Timestamp};

mod machine;

pub use machine::{HEAD, Machine, NoProgram};

/// How long a program that is tried has to get a session, in seconds: the least, the usual and the most.
pub const LEAST_WITHIN: u32 = 5;
pub const USUAL_WITHIN: u32 = 120;
pub const MOST_WITHIN: u32 = 3600;

/// The program that a component runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Program {
    pub digest: Digest,
    /// What it is built for, as in `x86_64`.
    pub machine: String,
    /// The one that it can go back to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<Digest>,
}

/// Which program is to be run instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum UpgradeTo {
    /// One that the core has the bytes of.
    Program { digest: Digest, size: Size },
    /// The one from before, which the component has kept.
    Previous,
}

/// What a component is told to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UpgradeOrder {
    /// Of this one request; the same order may come again.
    pub id: Uuid,
    pub to: UpgradeTo,
    /// How long the program has to get a session, in seconds.
    pub within: u32,
}

/// How far an upgrade is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum UpgradePhase {
    /// The component has not begun.
    Asked,
    Fetching,
    /// It is found out whether the bytes are a program for this component.
    Checking,
    /// The program is started, and has to get a session with the core.
    Trying,
    Done,
    /// The program from before runs, or runs again.
    Failed,
}

impl UpgradePhase {
    pub const ALL: [Self; 6] = [
        Self::Asked,
        Self::Fetching,
        Self::Checking,
        Self::Trying,
        Self::Done,
        Self::Failed,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Asked => "asked",
            Self::Fetching => "fetching",
            Self::Checking => "checking",
            Self::Trying => "trying",
            Self::Done => "done",
            Self::Failed => "failed",
        }
    }

    /// Whether nothing will happen to it any more.
    pub fn ended(self) -> bool {
        matches!(self, Self::Done | Self::Failed)
    }
}

/// What a component says of an upgrade.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpgradeReport {
    /// Of the order.
    pub id: Uuid,
    pub phase: UpgradePhase,
    /// Why it failed; empty otherwise.
    pub reason: String,
    /// Done and whole of what is fetched, in bytes.
    pub amount: Option<(u64, u64)>,
}

/// The latest upgrade that was asked of a component.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Upgrade {
    #[schema(value_type = String, format = "uuid")]
    pub id: Uuid,
    pub to: UpgradeTo,
    /// How long the program has to get a session, in seconds.
    pub within: u32,
    pub phase: UpgradePhase,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Done and whole of what is fetched, in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub amount: Option<(u64, u64)>,
    pub asked_at: Timestamp,
    pub updated_at: Timestamp,
}

impl Upgrade {
    /// What the component is to be told, as long as it has not ended.
    pub fn order(&self) -> Option<UpgradeOrder> {
        (!self.phase.ended()).then_some(UpgradeOrder {
            id: self.id,
            to: self.to,
            within: self.within,
        })
    }
}
