//! The port that components connect to: joining, renewal, sessions and the bytes of images.
//!
//! Who calls is what the TLS connection's certificate says, looked at on every call and, while a
//! stream is open, every second: its expiry here, its revocation by asking the
//! [`ComponentGateway`]. Left out on purpose: what any of it means. The gateway decides and stores.

use std::sync::Arc;

use rhyzome_pki::acceptor::TlsIncoming;
use rhyzome_proto::pb;
use rhyzome_proto::pb::enrollment_server::{self, EnrollmentServer};
use rhyzome_proto::pb::session_server::{self, SessionServer};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, Streaming};

use crate::metrics::Metrics;
use crate::throttle::Throttle;

mod blob;
mod console;
mod enrollment;
pub mod gateway;
mod guard;
mod pace;
mod peer;
mod registry;
mod session;
pub mod step;
pub mod talk;

pub use gateway::{
    BlobReader, ComponentGateway, GatewayError, Heartbeat, InventoryTaken, Joined, OutcomeTaken,
    Renewed, Session, SessionId, SessionStanding, Standing,
};
use registry::Sessions;

/// HTTP/2 pings on connections that are quiet, to notice those that are dead.
const KEEPALIVE: std::time::Duration = std::time::Duration::from_secs(10);

/// The largest message that is read, in bytes: a part of an inventory, or the log of a console.
const LARGEST_MESSAGE: usize = 16 << 20;
/// How long connections may take to end when the core stops.
const STOP_WITHIN: std::time::Duration = std::time::Duration::from_secs(5);

/// Serves components until `stop`; then says goodbye to all of them and returns when they are gone.
///
/// # Errors
/// Those of the HTTP/2 server as a whole; what happens to one connection stays with it.
pub async fn serve(
    gateway: Arc<dyn ComponentGateway>,
    incoming: TlsIncoming,
    joins: Joins,
    stop: CancellationToken,
) -> Result<(), tonic::transport::Error> {
    let edge = Edge {
        gateway,
        joins,
        sessions: Arc::default(),
        stop: stop.clone(),
    };
    let serving = tonic::transport::Server::builder()
        .http2_keepalive_interval(Some(KEEPALIVE))
        .http2_keepalive_timeout(Some(KEEPALIVE))
        .add_service(EnrollmentServer::new(edge.clone()))
        .add_service(SessionServer::new(edge).max_decoding_message_size(LARGEST_MESSAGE))
        .serve_with_incoming_shutdown(incoming, stop.clone().cancelled_owned());
    let overdue = async {
        stop.cancelled().await;
        tokio::time::sleep(STOP_WITHIN).await;
    };
    tokio::select! {
        served = serving => served,
        // Somebody does not hang up.
        () = overdue => Ok(()),
    }
}

/// Who may try to join now: those who guess tokens have to pause.
#[derive(Clone)]
pub struct Joins {
    pub throttle: Throttle,
    pub metrics: Metrics,
}

/// The services, with what they share.
#[derive(Clone)]
struct Edge {
    gateway: Arc<dyn ComponentGateway>,
    joins: Joins,
    sessions: Arc<Sessions>,
    stop: CancellationToken,
}

#[tonic::async_trait]
impl enrollment_server::Enrollment for Edge {
    async fn join(
        &self,
        request: Request<pb::JoinRequest>,
    ) -> Result<Response<pb::JoinResponse>, Status> {
        enrollment::join(self, request).await
    }

    async fn renew(
        &self,
        request: Request<pb::RenewRequest>,
    ) -> Result<Response<pb::RenewResponse>, Status> {
        enrollment::renew(self, request).await
    }
}

#[tonic::async_trait]
impl session_server::Session for Edge {
    type OpenStream = ReceiverStream<Result<pb::FromCore, Status>>;
    type ConsoleStream = ReceiverStream<Result<pb::ConsoleFromCore, Status>>;
    type FetchBlobStream = ReceiverStream<Result<pb::BlobChunk, Status>>;

    async fn open(
        &self,
        request: Request<Streaming<pb::FromComponent>>,
    ) -> Result<Response<Self::OpenStream>, Status> {
        let peer = peer::admitted(self.gateway.as_ref(), &request).await?;
        let (sender, receiver) = mpsc::channel(32);
        tokio::spawn(session::run(
            self.clone(),
            peer,
            request.into_inner(),
            sender,
        ));
        Ok(Response::new(ReceiverStream::new(receiver)))
    }

    async fn console(
        &self,
        request: Request<Streaming<pb::ConsoleFromComponent>>,
    ) -> Result<Response<Self::ConsoleStream>, Status> {
        console::open(self, request).await
    }

    async fn fetch_blob(
        &self,
        request: Request<pb::FetchBlobRequest>,
    ) -> Result<Response<Self::FetchBlobStream>, Status> {
        blob::fetch(self, request).await
    }
}
