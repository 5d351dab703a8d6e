//! What is said in a session, without the stream that carries it and without time: what is heard is
//! taken to the gateway, and what there is to answer, or to do, is handed back to be said.

use std::collections::HashSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use rhyzome_model::placement::{Found, Observed};
use rhyzome_model::{ComponentId, JobId};
use rhyzome_proto::Refusal;
use rhyzome_proto::session::{FromComponent, FromCore, GoodbyeReason, Hello, JobOutcome, Welcome};

use super::gateway::{
    ComponentGateway, GatewayError, Heartbeat, InventoryTaken, OutcomeTaken, Session, SessionId,
    SessionStanding,
};
use super::peer::{chain, sentence};

/// How many jobs a component has at once that does not say how many it wants; and the most that one gets.
const OUTSTANDING: usize = 16;
const MOST_OUTSTANDING: usize = 128;
/// More than this in one inventory, or more bytes, is a mistake.
const MOST_FOUND: usize = 200_000;
const MOST_BYTES: usize = 128 << 20;

/// Why a session is over.
#[derive(Debug)]
pub enum End {
    /// The component went away: nobody is left to say goodbye to.
    Gone,
    Goodbye(GoodbyeReason, String),
}

pub(super) fn refused(refusal: Refusal) -> End {
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

pub(super) fn goodbye(reason: GoodbyeReason, message: impl Into<String>) -> End {
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

/// A session that has begun.
pub struct Talk {
    gateway: Arc<dyn ComponentGateway>,
    component: ComponentId,
    session: Session,
    /// Jobs that were given out and whose outcome has not come, and how many there may be.
    outstanding: HashSet<JobId>,
    at_once: usize,
    /// The inventory, as far as it has come, and about how many bytes that takes.
    found: Vec<Found>,
    bytes: usize,
    /// The last one was not taken as a whole.
    in_part: bool,
    /// Whether its program can be replaced.
    upgradable: bool,
}

impl Talk {
    /// Begins a session with a component that has said hello from an address.
    ///
    /// # Errors
    /// Why there is none.
    pub async fn begin(
        gateway: Arc<dyn ComponentGateway>,
        component: ComponentId,
        from: IpAddr,
        hello: Hello,
    ) -> Result<Self, End> {
        let upgradable = hello.program.is_some();
        let at_once = hello.jobs_at_once.map_or(OUTSTANDING, at_once);
        let session = gateway.connected(component, from, hello).await?;
        tracing::info!(%component, name = %session.name, "a component connected");
        Ok(Self {
            gateway,
            component,
            session,
            outstanding: HashSet::new(),
            at_once,
            found: Vec::new(),
            bytes: 0,
            in_part: false,
            upgradable,
        })
    }

    pub fn component(&self) -> ComponentId {
        self.component
    }

    pub fn session(&self) -> SessionId {
        self.session.id
    }

    /// How long the component may be silent.
    pub fn patience(&self) -> Duration {
        self.session.heartbeat_interval * 3
    }

    /// What is said first.
    pub fn welcome(&self) -> FromCore {
        let interval = self.session.heartbeat_interval.as_millis();
        FromCore::Welcome(Welcome {
            component: self.component,
            name: self.session.name.clone(),
            heartbeat_interval: u32::try_from(interval).unwrap_or(u32::MAX),
            time: self.session.now,
        })
    }

    /// The jobs that the component can do now and has room for, to be sent.
    ///
    /// # Errors
    /// Why the session is over.
    pub async fn claim(&mut self) -> Result<Vec<FromCore>, End> {
        let free = self.at_once.saturating_sub(self.outstanding.len());
        if free == 0 {
            return Ok(Vec::new());
        }
        let jobs = self
            .gateway
            .claim(self.component, self.session.id, free)
            .await?;
        if jobs.is_empty()
            && self.in_part
            && self.outstanding.is_empty()
            && self.gateway.has_room(self.component).await?
        {
            let message = "what is on this host was taken in part: the rest is to be told again";
            return Err(goodbye(GoodbyeReason::Failed, message));
        }
        self.outstanding.extend(jobs.iter().map(|job| job.id));
        let say = |job| FromCore::Job(Box::new(job));
        Ok(jobs.into_iter().map(say).collect())
    }

    /// The upgrade that the component is to be told of, whether or not it has been.
    ///
    /// # Errors
    /// Why the session is over.
    pub async fn upgrade(&self) -> Result<Vec<FromCore>, End> {
        if !self.upgradable {
            return Ok(Vec::new());
        }
        let order = self.gateway.upgrade(self.component).await?;
        Ok(order.into_iter().map(FromCore::Upgrade).collect())
    }

    /// Whether there may be jobs to claim after a message.
    pub fn makes_room(message: &FromComponent) -> bool {
        matches!(
            message,
            FromComponent::Outcome(_) | FromComponent::Inventory { last: true, .. }
        )
    }

    /// Whether nobody asked for a message.
    pub fn is_unasked(&self, message: &FromComponent) -> bool {
        match message {
            FromComponent::Inventory { .. } | FromComponent::Changed(_) => true,
            FromComponent::Progress(progress) => !self.outstanding.contains(&progress.job),
            FromComponent::Outcome(outcome) => !self.outstanding.contains(&outcome.job),
            FromComponent::Upgrade(_) => true,
            FromComponent::Hello(_) | FromComponent::Heartbeat { .. } => false,
        }
    }

    /// Takes what the component says, and hands back what is to be answered.
    ///
    /// # Errors
    /// Why the session is over.
    pub async fn hear(&mut self, message: FromComponent) -> Result<Vec<FromCore>, End> {
        let component = self.component;
        match message {
            FromComponent::Hello(_) => {
                return Err(goodbye(GoodbyeReason::Malformed, "a second hello"));
            }
            FromComponent::Inventory { found, last } => self.inventory(found, last).await?,
            FromComponent::Progress(progress) => {
                // Progress is worth no more than the next one.
                let told = self.gateway.progress(component, progress).await;
                self.pass_over("progress", told);
            }
            FromComponent::Outcome(outcome) => return self.outcome(outcome).await,
            FromComponent::Changed(changed) => {
                match self.gateway.changed(component, changed).await {
                    // The next session begins with an inventory, which says it again.
                    Err(error @ (GatewayError::Unavailable(_) | GatewayError::Refused { .. })) => {
                        return Err(error.into());
                    }
                    told => self.pass_over("a change", told),
                }
            }
            FromComponent::Upgrade(report) => {
                let id = report.id;
                self.gateway.upgrade_reported(component, report).await?;
                return Ok(vec![FromCore::UpgradeNoted { id }]);
            }
            FromComponent::Heartbeat { time, ledger } => {
                let heartbeat = Heartbeat { time, ledger };
                let standing = self
                    .gateway
                    .heartbeat(component, self.session.id, heartbeat);
                match standing.await? {
                    SessionStanding::Current => {}
                    SessionStanding::Replaced => {
                        let message = "another session of this component began elsewhere";
                        return Err(goodbye(GoodbyeReason::Replaced, message));
                    }
                }
            }
        }
        Ok(Vec::new())
    }

    async fn inventory(&mut self, found: Vec<Found>, last: bool) -> Result<(), End> {
        self.bytes += found.iter().map(weight).sum::<usize>();
        self.found.extend(found);
        if self.found.len() > MOST_FOUND || self.bytes > MOST_BYTES {
            let message = format!(
                "the inventory does not end: it has more than {MOST_FOUND} things, or {} MiB",
                MOST_BYTES >> 20
            );
            return Err(goodbye(GoodbyeReason::Malformed, message));
        }
        if last {
            let found = std::mem::take(&mut self.found);
            self.bytes = 0;
            let taken = self
                .gateway
                .inventory(self.component, self.session.id, found);
            self.in_part = match taken.await? {
                InventoryTaken::Whole => false,
                InventoryTaken::InPart => true,
            };
        }
        Ok(())
    }

    async fn outcome(&mut self, outcome: JobOutcome) -> Result<Vec<FromCore>, End> {
        let (job, fence) = (outcome.job, outcome.fence);
        let taken = match self.gateway.outcome(self.component, outcome).await {
            // There is nothing that it could be the outcome of, now or later.
            Err(error @ (GatewayError::NotFound | GatewayError::Invalid(_))) => {
                self.pass_over("an outcome", Err(error));
                OutcomeTaken::Recorded
            }
            taken => taken?,
        };
        Ok(match taken {
            OutcomeTaken::Recorded => {
                self.outstanding.remove(&job);
                vec![FromCore::OutcomeRecorded { job, fence }]
            }
            OutcomeTaken::Stale => Vec::new(),
        })
    }

    /// What one message comes to is not worth the session.
    fn pass_over(&self, what: &str, told: Result<(), GatewayError>) {
        if let Err(error) = told {
            tracing::warn!(
                component = %self.component, error = chain(&error), "{what} was passed over"
            );
        }
    }
}

/// How many of the jobs that a component wants at once it gets.
fn at_once(wanted: u32) -> usize {
    let wanted = usize::try_from(wanted).unwrap_or(usize::MAX);
    wanted.clamp(1, MOST_OUTSTANDING)
}

/// About how many bytes are kept of one thing of an inventory.
fn weight(found: &Found) -> usize {
    let texts = match &found.observed {
        Some(Observed::Instance(instance)) => {
            let keys = instance.ssh.host_keys.iter();
            let keys: usize = keys.map(|key| size_of::<String>() + key.len()).sum();
            instance.reason.len() + instance.accelerator.len() + keys
        }
        Some(Observed::Network(network)) => {
            network.endpoint_key.len() + network.endpoint_kind.len()
        }
        Some(Observed::Segment | Observed::Vtep | Observed::Lease | Observed::Peer) | None => 0,
    };
    size_of::<Found>() + texts + found.differs.len()
}
