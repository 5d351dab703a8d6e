//! What component and core say to each other on the session's stream.

use rhyzome_model::component::HostFacts;
use rhyzome_model::console::ConsoleRequest;
use rhyzome_model::job::{Job, Outcome};
use rhyzome_model::placement::{Found, Observed, PlacementKind};
use rhyzome_model::upgrade::{Program, UpgradeOrder, UpgradeReport};
use rhyzome_model::{ComponentId, JobId, Name, PlacementId, Timestamp};
use uuid::Uuid;

use crate::Version;

mod from_component;
mod from_core;
mod upgrade;

/// What a component says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FromComponent {
    Hello(Box<Hello>),
    /// A part of all that carries our mark on the host.
    Inventory {
        found: Vec<Found>,
        last: bool,
    },
    Progress(JobProgress),
    Outcome(JobOutcome),
    Changed(Changed),
    Heartbeat {
        time: Timestamp,
        ledger: LedgerCounts,
    },
    /// How far an upgrade is that the core has ordered.
    Upgrade(UpgradeReport),
}

/// The first message of a component.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello {
    pub protocol: Version,
    pub software_version: String,
    /// The placements that it can make. Kinds not known here are left out.
    pub kinds: Vec<PlacementKind>,
    /// Names of what it can do besides what its protocol version says.
    pub capabilities: Vec<String>,
    pub facts: HostFacts,
    /// Made anew at each start of the program.
    pub epoch: Uuid,
    /// None of a component whose program cannot be replaced by the core.
    pub program: Option<Box<Program>>,
    /// How far the latest upgrade is that the component knows of.
    pub upgrade: Option<Box<UpgradeReport>>,
    /// How many jobs it works on at once. An older component does not say.
    pub jobs_at_once: Option<u32>,
}

/// What a placement became without a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changed {
    pub placement: PlacementId,
    pub generation: u64,
    pub observed: Observed,
    /// What of it was not as it should be, where the component has mended that; else empty.
    pub mended: String,
}

/// How far a job is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobProgress {
    pub job: JobId,
    pub fence: u64,
    pub step: String,
    /// Done and whole, in bytes.
    pub amount: Option<(u64, u64)>,
}

/// How a job ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobOutcome {
    pub job: JobId,
    pub fence: u64,
    pub outcome: Outcome,
}

/// How many placements a component's ledger holds, by how far they are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LedgerCounts {
    /// Written down, not yet made.
    pub accepted: u32,
    pub ensured: u32,
    pub removing: u32,
}

/// What a core says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FromCore {
    Welcome(Welcome),
    Job(Box<Job>),
    /// The component may forget the outcome.
    OutcomeRecorded {
        job: JobId,
        fence: u64,
    },
    Goodbye {
        reason: GoodbyeReason,
        message: String,
    },
    /// Open a stream with an instance's console.
    OpenConsole(ConsoleRequest),
    /// Put another program in this one's place.
    Upgrade(UpgradeOrder),
    /// A report on an upgrade was heard, and all that was said before it.
    UpgradeNoted {
        id: Uuid,
    },
}

/// The first message of a core.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Welcome {
    pub component: ComponentId,
    pub name: Name,
    /// Milliseconds.
    pub heartbeat_interval: u32,
    /// The core's clock.
    pub time: Timestamp,
}

/// Why a core ends a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum GoodbyeReason {
    /// The core stops; come back.
    Stopping,
    /// Another session of the same component began.
    Replaced,
    Revoked,
    /// Renew the certificate, then come back.
    Expired,
    /// The other side's version or kind is not spoken here.
    Unsupported,
    /// A message made no sense.
    Malformed,
    /// The core cannot go on with this session; come back.
    Failed,
}
