//! The use cases as the gRPC edge asks for them: translation, and nothing else.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use rhyzome_app::audit::Origin;
use rhyzome_app::consoles::Far;
use rhyzome_app::session::{self, Allowed, Taken};
use rhyzome_app::{self as app, Kind, audit, join};
use rhyzome_model::console::ConsoleRequest;
use rhyzome_model::job::Job;
use rhyzome_model::placement::Found;
use rhyzome_model::upgrade::{UpgradeOrder, UpgradeReport};
use rhyzome_model::{ComponentId, Digest};
use rhyzome_pki::JoinToken;
use rhyzome_proto::Refusal;
use rhyzome_proto::enrollment::Join;
use rhyzome_proto::session::{Changed, Hello, JobOutcome, JobProgress};
use tokio::sync::{Notify, mpsc};
use uuid::Uuid;

use crate::grpc::{
    BlobReader, ComponentGateway, GatewayError, Heartbeat, InventoryTaken, Joined, OutcomeTaken,
    Renewed, Session, SessionId, SessionStanding, Standing,
};
use crate::problem::chain;

/// How often a component says that it lives; a third of the time after which it is taken for gone.
const HEARTBEAT: Duration = Duration::from_secs(5);

/// How soon the end of a session is noted again that could not be noted.
const NOTE_AGAIN: Duration = Duration::from_secs(1);

/// A core, for its components.
pub struct Gateway {
    core: app::Core,
}

impl Gateway {
    pub fn new(core: app::Core) -> Self {
        Self { core }
    }

    fn authority(&self) -> String {
        self.core.authority.certificate_pem()
    }

    /// Why a certificate may not be renewed.
    async fn refusal(&self, component: ComponentId, serial: &str) -> Refusal {
        match session::allowed(&self.core, component, serial).await {
            Ok(Allowed::Revoked) => Refusal::Revoked,
            Ok(Allowed::Good | Allowed::Expired | Allowed::Unknown) | Err(_) => Refusal::Unknown,
        }
    }
}

fn origin(operation: &str, from: Option<IpAddr>) -> Origin {
    Origin {
        from,
        operation: operation.to_owned(),
        ..Origin::default()
    }
}

#[async_trait]
impl ComponentGateway for Gateway {
    async fn join(&self, join: Join, from: Option<IpAddr>) -> Result<Joined, GatewayError> {
        let token: JoinToken = join.token.parse().map_err(|error| GatewayError::Refused {
            refusal: Refusal::Token,
            message: format!("this is no join token: {error}"),
        })?;
        let request = join::JoinRequest {
            token: &token,
            csr: &join.csr,
            kind: join.kind,
            name: join.name,
            hostname: &join.hostname,
        };
        let origin = origin("component_join", from);
        let joining = async {
            let joined = join::join(&self.core, &request).await;
            joined.inspect_err(|error| {
                if error.kind() == Kind::Unauthenticated {
                    audit::unknown(error);
                }
            })
        };
        let joined = audit::during(&self.core, origin, joining).await;
        let joined = joined.map_err(of_joining)?;
        Ok(Joined {
            component: joined.id,
            name: joined.name,
            chain: joined.certificate.pem(),
            authority: self.authority(),
        })
    }

    async fn renew(
        &self,
        component: ComponentId,
        serial: &str,
        csr: &[u8],
        from: Option<IpAddr>,
    ) -> Result<Renewed, GatewayError> {
        let renewing = join::renew(&self.core, component, serial, csr);
        let origin = origin("component_renew", from);
        match audit::during(&self.core, origin, renewing).await {
            Ok(issued) => Ok(Renewed {
                chain: issued.pem(),
                authority: self.authority(),
            }),
            Err(error) if error.kind() == Kind::Forbidden => Err(GatewayError::Refused {
                refusal: self.refusal(component, serial).await,
                message: error.public().to_owned(),
            }),
            Err(error) => Err(failed(error)),
        }
    }

    async fn authorize(
        &self,
        component: ComponentId,
        serial: &str,
    ) -> Result<Standing, GatewayError> {
        let allowed = session::allowed(&self.core, component, serial)
            .await
            .map_err(failed)?;
        Ok(match allowed {
            // Expiry is the edge's to see: it has the certificate itself.
            Allowed::Good | Allowed::Expired => Standing::Allowed,
            Allowed::Revoked => Standing::Revoked,
            Allowed::Unknown => Standing::Unknown,
        })
    }

    async fn connected(
        &self,
        component: ComponentId,
        from: IpAddr,
        hello: Hello,
    ) -> Result<Session, GatewayError> {
        let Hello {
            facts,
            software_version,
            program,
            upgrade,
            ..
        } = hello;
        let session =
            session::connected(&self.core, component, &facts, &software_version, Some(from));
        let session = session.await.map_err(failed)?;
        app::upgrade::introduced(
            &self.core,
            component,
            program.map(|it| *it),
            upgrade.map(|it| *it),
        )
        .await
        .map_err(failed)?;
        let mut conn = self.core.store.read().await.map_err(unavailable)?;
        let found = rhyzome_store::component::by_id(&mut conn, component).await;
        let found = found.map_err(unavailable)?.ok_or(GatewayError::NotFound)?;
        Ok(Session {
            id: SessionId(Uuid::from_u64_pair(0, session.cast_unsigned())),
            name: found.meta.name,
            heartbeat_interval: HEARTBEAT,
            now: self.core.now(),
        })
    }

    async fn inventory(
        &self,
        component: ComponentId,
        _session: SessionId,
        found: Vec<Found>,
    ) -> Result<InventoryTaken, GatewayError> {
        let more = session::inventory(&self.core, component, &found).await;
        Ok(match more.map_err(failed)? {
            true => InventoryTaken::InPart,
            false => InventoryTaken::Whole,
        })
    }

    async fn has_room(&self, component: ComponentId) -> Result<bool, GatewayError> {
        session::has_room(&self.core, component)
            .await
            .map_err(failed)
    }

    async fn claim(
        &self,
        component: ComponentId,
        session: SessionId,
        limit: usize,
    ) -> Result<Vec<Job>, GatewayError> {
        let limit = u32::try_from(limit).unwrap_or(u32::MAX);
        session::claim(&self.core, component, number(session), limit)
            .await
            .map_err(failed)
    }

    async fn progress(
        &self,
        component: ComponentId,
        progress: JobProgress,
    ) -> Result<(), GatewayError> {
        let JobProgress {
            job,
            fence,
            step,
            amount,
        } = progress;
        session::progress(&self.core, component, (job, fence), &step, amount)
            .await
            .map_err(failed)
    }

    async fn outcome(
        &self,
        component: ComponentId,
        outcome: JobOutcome,
    ) -> Result<OutcomeTaken, GatewayError> {
        let JobOutcome {
            job,
            fence,
            outcome,
        } = outcome;
        let taken = session::outcome(&self.core, component, (job, fence), &outcome).await;
        Ok(match taken.map_err(failed)? {
            Taken::Stale => OutcomeTaken::Stale,
            Taken::Recorded => OutcomeTaken::Recorded,
        })
    }

    async fn changed(&self, component: ComponentId, changed: Changed) -> Result<(), GatewayError> {
        let Changed {
            placement,
            generation,
            observed,
            mended,
        } = changed;
        session::observed(&self.core, component, placement, generation, &observed)
            .await
            .map_err(failed)?;
        if mended.is_empty() {
            return Ok(());
        }
        session::mended(&self.core, component, (placement, generation), &mended)
            .await
            .map_err(failed)
    }

    async fn heartbeat(
        &self,
        component: ComponentId,
        session: SessionId,
        _heartbeat: Heartbeat,
    ) -> Result<SessionStanding, GatewayError> {
        let current = session::heartbeat(&self.core, component, number(session)).await;
        Ok(match current.map_err(failed)? {
            true => SessionStanding::Current,
            false => SessionStanding::Replaced,
        })
    }

    async fn disconnected(&self, component: ComponentId, session: SessionId) {
        // Until it is noted the component counts as connected: nothing else would ever end that.
        loop {
            let ended = session::disconnected(&self.core, component, number(session)).await;
            let Err(error) = ended else {
                return;
            };
            tracing::warn!(%component, error = chain(&error), "the end of a session is not noted yet");
            if self.core.store.is_closed() {
                return;
            }
            tokio::time::sleep(NOTE_AGAIN).await;
        }
    }

    async fn blob(
        &self,
        component: ComponentId,
        digest: Digest,
        offset: u64,
    ) -> Result<BlobReader, GatewayError> {
        let size = session::blob(&self.core, component, digest)
            .await
            .map_err(failed)?;
        if offset > size.as_bytes() {
            let why = format!("{digest} has {size}, and no byte {offset}");
            return Err(GatewayError::Invalid(why));
        }
        let range = (offset, size.as_bytes());
        match app::blob::read(&self.core, digest, range).await {
            Ok(bytes) => Ok(BlobReader {
                bytes,
                size: size.as_bytes(),
            }),
            Err(error) if error.kind() == Kind::WrongState => {
                Err(GatewayError::Damaged(error.public().to_owned()))
            }
            Err(error) => Err(failed(error)),
        }
    }

    async fn upgrade(&self, component: ComponentId) -> Result<Option<UpgradeOrder>, GatewayError> {
        let order = app::upgrade::order(&self.core, component).await;
        order.map_err(failed)
    }

    async fn upgrade_reported(
        &self,
        component: ComponentId,
        report: UpgradeReport,
    ) -> Result<(), GatewayError> {
        let noted = app::upgrade::reported(&self.core, component, report).await;
        noted.map_err(failed)
    }

    fn console_requests(&self, component: ComponentId) -> mpsc::UnboundedReceiver<ConsoleRequest> {
        self.core.consoles.requests(component)
    }

    fn console(&self, component: ComponentId, stream: Uuid) -> Result<Far, GatewayError> {
        let joined = self.core.consoles.join(component, stream);
        joined.ok_or(GatewayError::NotFound)
    }

    fn wakeups(&self, component: ComponentId) -> Arc<Notify> {
        self.core.wakeups(component)
    }
}

/// The number that the use cases call a session by.
fn number(session: SessionId) -> i64 {
    session.0.as_u64_pair().1.cast_signed()
}

fn of_joining(error: app::Error) -> GatewayError {
    let refusal = match error.kind() {
        Kind::Unauthenticated => Refusal::Token,
        Kind::NameTaken => Refusal::NameTaken,
        _ => return failed(error),
    };
    GatewayError::Refused {
        refusal,
        message: error.public().to_owned(),
    }
}

fn failed(error: app::Error) -> GatewayError {
    match error.kind() {
        Kind::NotFound => GatewayError::NotFound,
        Kind::Invalid => GatewayError::Invalid(error.public().to_owned()),
        Kind::NameTaken
        | Kind::InUse
        | Kind::WrongState
        | Kind::NoCapacity
        | Kind::QuotaExceeded
        | Kind::Changed
        | Kind::Unauthenticated
        | Kind::Forbidden
        | Kind::Unsupported
        | Kind::Unavailable
        | Kind::SecretAlreadyShown
        | Kind::KeyReused
        | Kind::Internal => GatewayError::Unavailable(Box::new(error)),
    }
}

fn unavailable(error: rhyzome_store::Error) -> GatewayError {
    GatewayError::Unavailable(Box::new(error))
}
