//! Peers: the devices that reach networks.

use axum::response::Response;
use rhyzome_app as app;
use rhyzome_model::Name;
use rhyzome_model::peer::PeerSpec;
use rhyzome_model::resource::{Peer, PeerSummary};
use rhyzome_wire::Page;
use rhyzome_wire::request::{Create, Update};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::context::{Api, Context};
use crate::etag::{IfMatch, One};
use crate::extract::{Json, Path, Query};
use crate::page::{PageQuery, page};
use crate::problem::Failure;
use crate::wait::{self, WaitQuery};

pub fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(get, update, delete))
}

/// Lists a project's peers, by name.
#[utoipa::path(get, path = "/v1/projects/{project}/peers", operation_id = "peer_list", tag = "peers", params(PageQuery),
    responses((status = 200, body = Page<PeerSummary>)))]
async fn list(
    cx: Context,
    Path(project): Path<Name>,
    Query(query): Query<PageQuery>,
) -> Result<axum::Json<Page<PeerSummary>>, Failure> {
    Ok(page(
        app::peer::list(cx.core(), &cx.caller, &project, &query.request()).await?,
    ))
}

/// Creates a peer: lets a device reach networks. The answer has all that its WireGuard configuration needs besides its own private key.
#[utoipa::path(post, path = "/v1/projects/{project}/peers", operation_id = "peer_create", tag = "peers", params(WaitQuery),
    responses((status = 201, body = Peer)))]
async fn create(
    cx: Context,
    Path(project): Path<Name>,
    Query(query): Query<WaitQuery>,
    Json(body): Json<Create<PeerSpec>>,
) -> Result<One<Peer>, Failure> {
    let Create { name, spec } = body;
    let made = app::peer::create(cx.core(), &cx.caller, &project, name, spec).await?;
    Ok(One::created(wait::settled(&cx, query.wait, made).await))
}

/// Shows one peer.
#[utoipa::path(get, path = "/v1/projects/{project}/peers/{name}", operation_id = "peer_get", tag = "peers", params(WaitQuery),
    responses((status = 200, body = Peer)))]
async fn get(
    cx: Context,
    Path((project, name)): Path<(Name, Name)>,
    Query(query): Query<WaitQuery>,
) -> Result<One<Peer>, Failure> {
    Ok(One::ok(wait::read(&cx, query.wait, &project, &name).await?))
}

/// Replaces the networks that a peer reaches.
#[utoipa::path(put, path = "/v1/projects/{project}/peers/{name}", operation_id = "peer_update", tag = "peers", params(WaitQuery),
    responses((status = 200, body = Peer)))]
async fn update(
    cx: Context,
    Path((project, name)): Path<(Name, Name)>,
    Query(query): Query<WaitQuery>,
    seen: IfMatch,
    Json(body): Json<Update<PeerSpec>>,
) -> Result<One<Peer>, Failure> {
    let seen = seen
        .generation(app::peer::get(cx.core(), &cx.caller, &project, &name))
        .await?;
    let changed =
        app::peer::update(cx.core(), &cx.caller, &project, &name, body.spec, seen).await?;
    Ok(One::ok(wait::settled(&cx, query.wait, changed).await))
}

/// Deletes a peer: closes every endpoint to the device.
#[utoipa::path(delete, path = "/v1/projects/{project}/peers/{name}", operation_id = "peer_delete", tag = "peers", params(WaitQuery),
    responses(
        (status = 200, body = Peer, description = "It is gone: when each endpoint was asked, and when it had applied it"),
        (status = 202, body = Peer, description = "It is being deleted"), (status = 204, description = "It is gone")))]
async fn delete(
    cx: Context,
    Path((project, name)): Path<(Name, Name)>,
    Query(query): Query<WaitQuery>,
    seen: IfMatch,
) -> Result<Response, Failure> {
    let seen = seen
        .generation(app::peer::get(cx.core(), &cx.caller, &project, &name))
        .await?;
    let left = app::peer::delete(cx.core(), &cx.caller, &project, &name, seen).await?;
    Ok(wait::deleted(&cx, query.wait, left).await)
}
