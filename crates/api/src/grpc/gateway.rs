//! What the edge asks of the layer behind it.

use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use rhyzome_app::consoles::Far;
use rhyzome_model::console::ConsoleRequest;
use rhyzome_model::job::Job;
use rhyzome_model::placement::Found;
use rhyzome_model::upgrade::{UpgradeOrder, UpgradeReport};
use rhyzome_model::{ComponentId, Digest, Name, Timestamp};
use rhyzome_proto::Refusal;
use rhyzome_proto::enrollment::Join;
use rhyzome_proto::session::{Changed, Hello, JobOutcome, JobProgress, LedgerCounts};
use tokio::io::AsyncRead;
use tokio::sync::{Notify, mpsc};
use uuid::Uuid;

/// The layer behind the edge, for everything that is about components.
///
/// The component is always the one whose certificate was shown: an implementation checks that the
/// job or placement it is asked about belongs to it. Any future may be dropped half-way.
#[async_trait]
pub trait ComponentGateway: Send + Sync + 'static {
    /// Spends a one-time token on a certificate. `from` is who asks.
    async fn join(&self, join: Join, from: Option<IpAddr>) -> Result<Joined, GatewayError>;

    /// Issues the next certificate for a component that shows one with this serial, maybe expired.
    /// Refuses what is revoked or not known.
    ///
    /// `csr` is PKCS #10 in DER, `from` who asks.
    async fn renew(
        &self,
        component: ComponentId,
        serial: &str,
        csr: &[u8],
        from: Option<IpAddr>,
    ) -> Result<Renewed, GatewayError>;

    /// Whether a certificate still counts. Asked every second for each open stream.
    async fn authorize(
        &self,
        component: ComponentId,
        serial: &str,
    ) -> Result<Standing, GatewayError>;

    /// A session begins, from an address; any other one of the component, on whatever core, is over.
    async fn connected(
        &self,
        component: ComponentId,
        from: IpAddr,
        hello: Hello,
    ) -> Result<Session, GatewayError>;

    /// All that carries our mark on the component's host.
    async fn inventory(
        &self,
        component: ComponentId,
        session: SessionId,
        found: Vec<Found>,
    ) -> Result<InventoryTaken, GatewayError>;

    /// Whether it is time for another inventory where the last one was taken in part.
    async fn has_room(&self, component: ComponentId) -> Result<bool, GatewayError>;

    /// Leases at most `limit` jobs to the session, each under a new fence.
    async fn claim(
        &self,
        component: ComponentId,
        session: SessionId,
        limit: usize,
    ) -> Result<Vec<Job>, GatewayError>;

    async fn progress(
        &self,
        component: ComponentId,
        progress: JobProgress,
    ) -> Result<(), GatewayError>;

    async fn outcome(
        &self,
        component: ComponentId,
        outcome: JobOutcome,
    ) -> Result<OutcomeTaken, GatewayError>;

    /// A placement became something without a job.
    async fn changed(&self, component: ComponentId, changed: Changed) -> Result<(), GatewayError>;

    /// The component lives: renews the leases of the session's jobs.
    async fn heartbeat(
        &self,
        component: ComponentId,
        session: SessionId,
        heartbeat: Heartbeat,
    ) -> Result<SessionStanding, GatewayError>;

    /// A session is over. May come after the next one of the same component began.
    async fn disconnected(&self, component: ComponentId, session: SessionId);

    /// Bytes that one of the component's own placements needs, from an offset (in bytes) on.
    /// [`GatewayError::NotFound`] for any others, whether they exist or not.
    async fn blob(
        &self,
        component: ComponentId,
        digest: Digest,
        offset: u64,
    ) -> Result<BlobReader, GatewayError>;

    /// The upgrade that the component is to be told of, if there is one that has not ended.
    async fn upgrade(&self, component: ComponentId) -> Result<Option<UpgradeOrder>, GatewayError>;

    /// How far an upgrade is.
    async fn upgrade_reported(
        &self,
        component: ComponentId,
        report: UpgradeReport,
    ) -> Result<(), GatewayError>;

    /// The streams with consoles that the component is to open from now on.
    fn console_requests(&self, component: ComponentId) -> mpsc::UnboundedReceiver<ConsoleRequest>;

    /// The other end of a stream that the component was asked to open.
    /// [`GatewayError::NotFound`] for any other.
    fn console(&self, component: ComponentId, stream: Uuid) -> Result<Far, GatewayError>;

    /// Notified when there may be jobs for a component. Jobs are looked for every second anyway.
    fn wakeups(&self, component: ComponentId) -> Arc<Notify>;
}

/// Why the gateway could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum GatewayError {
    /// The component is told why, in a word and in a sentence.
    #[error("{message}")]
    Refused { refusal: Refusal, message: String },
    /// The component is told this sentence: what it sent is wrong.
    #[error("{0}")]
    Invalid(String),
    /// The component is told this sentence: the core has lost what it should have.
    #[error("{0}")]
    Damaged(String),
    #[error("there is no such thing")]
    NotFound,
    /// Worth another try. The source is logged here and not shown to the component.
    #[error("the core cannot do that at the moment")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// A component that has just joined.
#[derive(Clone, Debug)]
pub struct Joined {
    pub component: ComponentId,
    pub name: Name,
    /// PEM, its own certificate first.
    pub chain: String,
    /// PEM, the authority that it trusts from now on.
    pub authority: String,
}

/// A renewed certificate.
#[derive(Clone, Debug)]
pub struct Renewed {
    /// PEM, the component's own certificate first.
    pub chain: String,
    /// PEM, the authority that it trusts from now on.
    pub authority: String,
}

/// Whether a certificate counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Standing {
    Allowed,
    Revoked,
    /// The component, or this certificate of it, is not known.
    Unknown,
}

/// One session, named by the gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionId(pub Uuid);

/// A session that has begun.
#[derive(Clone, Debug)]
pub struct Session {
    pub id: SessionId,
    pub name: Name,
    /// How often the component shall say that it lives. Silent for three times as long, its session
    /// is ended.
    pub heartbeat_interval: Duration,
    /// The core's clock.
    pub now: Timestamp,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heartbeat {
    /// The component's clock.
    pub time: Timestamp,
    pub ledger: LedgerCounts,
}

/// Whether a session is still the component's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SessionStanding {
    Current,
    /// A newer one began, on this core or another.
    Replaced,
}

/// What became of an inventory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InventoryTaken {
    Whole,
    /// There was more that nobody knows than is taken at once: what was not is to be told again.
    InPart,
}

/// What became of an outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OutcomeTaken {
    /// Recorded, now or before, or the job is over or unknown: the component may forget it.
    Recorded,
    /// Not believed: the job was handed out again since, and its next delivery is to be answered.
    Stale,
}

/// Bytes on their way to a component.
pub struct BlobReader {
    /// Begins at the offset asked for.
    pub bytes: Pin<Box<dyn AsyncRead + Send>>,
    /// How many bytes the whole has.
    pub size: u64,
}
