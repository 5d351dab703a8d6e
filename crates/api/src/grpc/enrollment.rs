//! Joining and renewal.

use std::time::Duration;

use rhyzome_proto::enrollment::Join;
use rhyzome_proto::{Refusal, pb};
use tonic::{Request, Response, Status};

use super::gateway::GatewayError;
use super::step::Step;
use super::{Edge, peer};
use crate::problem::whole_seconds;

/// Reaches a step, behind which a test may have the answer lost.
fn reach(step: Step) -> Result<(), Status> {
    rhyzome_fault::reach(step).map_err(|injected| Status::unavailable(injected.to_string()))
}

pub(super) async fn join(
    edge: &Edge,
    request: Request<pb::JoinRequest>,
) -> Result<Response<pb::JoinResponse>, Status> {
    let from = peer::address(&request);
    if let Some(pause) = from.and_then(|from| edge.joins.throttle.refused(from)) {
        edge.joins.metrics.join_refused();
        return Err(paused(pause));
    }
    let join = Join::try_from(request.into_inner())
        .map_err(|error| Status::invalid_argument(error.to_string()))?;
    let joined = edge.gateway.join(join, from).await.inspect_err(|error| {
        let refused = matches!(
            error,
            GatewayError::Refused {
                refusal: Refusal::Token,
                ..
            }
        );
        if let Some(from) = from.filter(|_| refused) {
            edge.joins.throttle.failed(from);
        }
    })?;
    tracing::info!(component = %joined.component, name = %joined.name, "a component joined");
    reach(Step::Joined)?;
    Ok(Response::new(pb::JoinResponse {
        chain: joined.chain,
        authority: joined.authority,
        component: joined.component.to_string(),
        name: joined.name.into(),
    }))
}

/// No token is looked at before the time is over.
fn paused(pause: Duration) -> Status {
    Status::resource_exhausted(format!(
        "too many join tokens from this address were no good: try again in {} s",
        whole_seconds(&pause)
    ))
}

/// The one call that an expired certificate may make.
pub(super) async fn renew(
    edge: &Edge,
    request: Request<pb::RenewRequest>,
) -> Result<Response<pb::RenewResponse>, Status> {
    let (peer, from) = (peer::certified(&request)?, peer::address(&request));
    let csr = request.into_inner().csr;
    let renewed = edge
        .gateway
        .renew(peer.component, &peer.serial, &csr, from)
        .await?;
    tracing::info!(component = %peer.component, "a component's certificate was renewed");
    reach(Step::Renewed)?;
    Ok(Response::new(pb::RenewResponse {
        chain: renewed.chain,
        authority: renewed.authority,
    }))
}
