//! A gateway that keeps everything in memory, and says what it was told.

use std::collections::{HashMap, HashSet};
use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use rhyzome_app::consoles::Far;
use rhyzome_model::console::ConsoleRequest;
use rhyzome_model::job::{Job, Outcome, Task};
use rhyzome_model::placement::Found;
use rhyzome_model::upgrade::{UpgradeOrder, UpgradeReport};
use rhyzome_model::{ComponentId, Digest, JobId, Timestamp};
use rhyzome_pki::issue::{COMPONENT_VALIDITY, ComponentRequest};
use rhyzome_pki::{Authority, JoinToken};
use rhyzome_proto::Refusal;
use rhyzome_proto::enrollment::Join;
use rhyzome_proto::session::{Changed, Hello, JobOutcome, JobProgress};
use tokio::io::{AsyncRead, ReadBuf};
use tokio::sync::Notify;
use uuid::Uuid;

use rhyzome_api::grpc::{
    BlobReader, ComponentGateway, GatewayError, Heartbeat, InventoryTaken, Joined, OutcomeTaken,
    Renewed, Session, SessionId, SessionStanding, Standing,
};

pub struct Memory {
    pub authority: Authority,
    state: Mutex<State>,
    wake: Arc<Notify>,
}

#[derive(Default)]
pub struct State {
    pub validity: Option<Duration>,
    tokens: HashSet<String>,
    pub components: HashMap<ComponentId, Known>,
    pub jobs: Vec<Row>,
    pub inventories: Vec<Vec<Found>>,
    pub changed: Vec<Changed>,
    pub progress: Vec<JobProgress>,
    pub sessions: Vec<SessionId>,
    pub disconnected: Vec<SessionId>,
    pub heartbeats: usize,
    /// Whether another core has the component's session.
    pub elsewhere: bool,
    pub heartbeat_interval: Option<Duration>,
    /// So many sessions are refused, as by a core whose clock says that the certificate is expired.
    pub take_for_expired: usize,
    /// Whether progress and changes are about what is not there.
    pub know_nothing: bool,
    /// So many outcomes are not taken.
    pub lose_outcomes: usize,
    pub blobs: HashMap<Digest, Vec<u8>>,
    /// How many bytes a blob is said to have; what it has by default.
    pub announced: Option<u64>,
    /// Where the streams of blobs break, one after the other.
    pub breaks: Vec<usize>,
    pub offsets: Vec<u64>,
    /// Readers of blobs that were dropped.
    pub dropped: Arc<AtomicUsize>,
}

#[derive(Default)]
pub struct Known {
    pub serials: HashSet<String>,
    pub revoked: bool,
}

pub struct Row {
    pub component: ComponentId,
    pub job: Job,
    pub leased: Option<SessionId>,
    pub outcome: Option<Outcome>,
}

impl Memory {
    pub fn new() -> Arc<Self> {
        let authority = Authority::make("test", SystemTime::now(), &mut rand::rng());
        Arc::new(Self {
            authority: authority.expect("an authority"),
            state: Mutex::default(),
            wake: Arc::default(),
        })
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn token(&self) -> String {
        let token = JoinToken::mint(self.authority.fingerprint(), &mut rand::rng());
        self.state().tokens.insert(token.secret_hash().to_string());
        token.reveal()
    }

    pub fn put(&self, component: ComponentId, task: Task) -> JobId {
        let id = JobId(Uuid::new_v4());
        let job = Job { id, fence: 0, task };
        self.state().jobs.push(Row {
            component,
            job,
            leased: None,
            outcome: None,
        });
        self.wake.notify_one();
        id
    }

    pub fn outcome_of(&self, job: JobId) -> Option<Outcome> {
        self.state()
            .jobs
            .iter()
            .find(|row| row.job.id == job)?
            .outcome
            .clone()
    }

    fn certify(&self, component: ComponentId, csr: &[u8]) -> Result<String, GatewayError> {
        let validity = self.state().validity.unwrap_or(COMPONENT_VALIDITY);
        let id = component.to_string();
        let request = ComponentRequest {
            csr,
            component_id: &id,
            validity,
        };
        let issued = self
            .authority
            .issue_component(request, SystemTime::now(), &mut rand::rng())
            .map_err(|error| GatewayError::Invalid(error.to_string()))?;
        self.state()
            .components
            .entry(component)
            .or_default()
            .serials
            .insert(issued.serial.clone());
        Ok(issued.pem())
    }
}

#[async_trait]
impl ComponentGateway for Memory {
    async fn join(&self, join: Join, _from: Option<IpAddr>) -> Result<Joined, GatewayError> {
        let token: JoinToken = join
            .token
            .parse()
            .map_err(|_| GatewayError::Invalid("no token".to_owned()))?;
        if !self.state().tokens.remove(&token.secret_hash().to_string()) {
            let message = "the token is unknown or used".to_owned();
            return Err(GatewayError::Refused {
                refusal: Refusal::Token,
                message,
            });
        }
        let component = ComponentId(Uuid::new_v4());
        Ok(Joined {
            component,
            name: join
                .name
                .unwrap_or_else(|| "unnamed".parse().expect("a name")),
            chain: self.certify(component, &join.csr)?,
            authority: self.authority.certificate_pem(),
        })
    }

    async fn renew(
        &self,
        component: ComponentId,
        serial: &str,
        csr: &[u8],
        _from: Option<IpAddr>,
    ) -> Result<Renewed, GatewayError> {
        match self.authorize(component, serial).await? {
            Standing::Allowed => {}
            Standing::Revoked | Standing::Unknown => {
                let message = "it was revoked".to_owned();
                return Err(GatewayError::Refused {
                    refusal: Refusal::Revoked,
                    message,
                });
            }
        }
        let chain = self.certify(component, csr)?;
        Ok(Renewed {
            chain,
            authority: self.authority.certificate_pem(),
        })
    }

    async fn authorize(
        &self,
        component: ComponentId,
        serial: &str,
    ) -> Result<Standing, GatewayError> {
        Ok(match self.state().components.get(&component) {
            Some(known) if known.revoked => Standing::Revoked,
            Some(known) if known.serials.contains(serial) => Standing::Allowed,
            _ => Standing::Unknown,
        })
    }

    async fn connected(
        &self,
        _: ComponentId,
        _: IpAddr,
        _: Hello,
    ) -> Result<Session, GatewayError> {
        let id = SessionId(Uuid::new_v4());
        let mut state = self.state();
        if state.take_for_expired > 0 {
            state.take_for_expired -= 1;
            let message = "it is late here".to_owned();
            return Err(GatewayError::Refused {
                refusal: Refusal::Expired,
                message,
            });
        }
        state.sessions.push(id);
        let heartbeat_interval = state
            .heartbeat_interval
            .unwrap_or(Duration::from_millis(500));
        let now = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .expect("after 1970");
        Ok(Session {
            id,
            name: "unnamed".parse().expect("a name"),
            heartbeat_interval,
            now: Timestamp::from_millis(now.as_millis() as i64),
        })
    }

    async fn inventory(
        &self,
        _: ComponentId,
        _: SessionId,
        found: Vec<Found>,
    ) -> Result<InventoryTaken, GatewayError> {
        self.state().inventories.push(found);
        Ok(InventoryTaken::Whole)
    }

    async fn upgrade(&self, _: ComponentId) -> Result<Option<UpgradeOrder>, GatewayError> {
        Ok(None)
    }

    async fn upgrade_reported(&self, _: ComponentId, _: UpgradeReport) -> Result<(), GatewayError> {
        Ok(())
    }

    async fn has_room(&self, _: ComponentId) -> Result<bool, GatewayError> {
        Ok(true)
    }

    async fn claim(
        &self,
        component: ComponentId,
        session: SessionId,
        limit: usize,
    ) -> Result<Vec<Job>, GatewayError> {
        let mut state = self.state();
        let free = state.jobs.iter_mut().filter(|row| {
            row.component == component && row.outcome.is_none() && row.leased != Some(session)
        });
        let claimed = free.take(limit).map(|row| {
            row.leased = Some(session);
            row.job.fence += 1;
            row.job.clone()
        });
        Ok(claimed.collect())
    }

    async fn progress(&self, _: ComponentId, progress: JobProgress) -> Result<(), GatewayError> {
        let mut state = self.state();
        state.progress.push(progress);
        if state.know_nothing {
            Err(GatewayError::NotFound)
        } else {
            Ok(())
        }
    }

    async fn outcome(
        &self,
        component: ComponentId,
        outcome: JobOutcome,
    ) -> Result<OutcomeTaken, GatewayError> {
        let mut state = self.state();
        if state.lose_outcomes > 0 {
            state.lose_outcomes -= 1;
            return Err(GatewayError::Unavailable("lost".into()));
        }
        let row = state
            .jobs
            .iter_mut()
            .find(|row| row.job.id == outcome.job && row.component == component);
        match row {
            Some(row) if row.job.fence != outcome.fence => Ok(OutcomeTaken::Stale),
            Some(row) => {
                row.outcome = Some(outcome.outcome);
                Ok(OutcomeTaken::Recorded)
            }
            None => Ok(OutcomeTaken::Recorded),
        }
    }

    async fn changed(&self, _: ComponentId, changed: Changed) -> Result<(), GatewayError> {
        let mut state = self.state();
        state.changed.push(changed);
        if state.know_nothing {
            Err(GatewayError::NotFound)
        } else {
            Ok(())
        }
    }

    async fn heartbeat(
        &self,
        _: ComponentId,
        _: SessionId,
        _: Heartbeat,
    ) -> Result<SessionStanding, GatewayError> {
        let mut state = self.state();
        state.heartbeats += 1;
        Ok(if state.elsewhere {
            SessionStanding::Replaced
        } else {
            SessionStanding::Current
        })
    }

    async fn disconnected(&self, _: ComponentId, session: SessionId) {
        self.state().disconnected.push(session);
    }

    async fn blob(
        &self,
        _: ComponentId,
        digest: Digest,
        offset: u64,
    ) -> Result<BlobReader, GatewayError> {
        let mut state = self.state();
        state.offsets.push(offset);
        let bytes = state
            .blobs
            .get(&digest)
            .cloned()
            .ok_or(GatewayError::NotFound)?;
        let rest = bytes[offset as usize..].to_vec();
        let left = if state.breaks.is_empty() {
            usize::MAX
        } else {
            state.breaks.remove(0)
        };
        let size = state.announced.unwrap_or(bytes.len() as u64);
        Ok(BlobReader {
            size,
            bytes: Box::pin(Breaking {
                rest,
                left,
                dropped: Arc::clone(&state.dropped),
            }),
        })
    }

    fn console_requests(
        &self,
        _: ComponentId,
    ) -> tokio::sync::mpsc::UnboundedReceiver<ConsoleRequest> {
        tokio::sync::mpsc::unbounded_channel().1
    }

    fn console(&self, _: ComponentId, _: Uuid) -> Result<Far, GatewayError> {
        Err(GatewayError::NotFound)
    }

    fn wakeups(&self, _: ComponentId) -> Arc<Notify> {
        Arc::clone(&self.wake)
    }
}

/// Bytes that end in an error after `left` of them.
struct Breaking {
    rest: Vec<u8>,
    left: usize,
    dropped: Arc<AtomicUsize>,
}

impl Drop for Breaking {
    fn drop(&mut self) {
        self.dropped.fetch_add(1, Ordering::Relaxed);
    }
}

impl AsyncRead for Breaking {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.left == 0 && !self.rest.is_empty() {
            return Poll::Ready(Err(io::Error::other("broken")));
        }
        let count = self
            .rest
            .len()
            .min(buffer.remaining())
            .min(self.left)
            .min(64 * 1024);
        buffer.put_slice(&self.rest.drain(..count).collect::<Vec<_>>());
        self.left -= count;
        Poll::Ready(Ok(()))
    }
}
