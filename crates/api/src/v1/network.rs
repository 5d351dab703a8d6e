//! Networks.

use axum::response::Response;
use rhyzome_app as app;
use rhyzome_model::Name;
use rhyzome_model::network::NetworkSpec;
use rhyzome_model::resource::{Network, NetworkSummary};
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

/// Lists a project's networks, by name.
#[utoipa::path(get, path = "/v1/projects/{project}/networks", operation_id = "network_list", tag = "networks", params(PageQuery),
    responses((status = 200, body = Page<NetworkSummary>)))]
async fn list(
    cx: Context,
    Path(project): Path<Name>,
    Query(query): Query<PageQuery>,
) -> Result<axum::Json<Page<NetworkSummary>>, Failure> {
    Ok(page(
        app::network::list(cx.core(), &cx.caller, &project, &query.request()).await?,
    ))
}

/// Creates a network: a segment, a router and a WireGuard endpoint of its own. The answer has its addresses.
#[utoipa::path(post, path = "/v1/projects/{project}/networks", operation_id = "network_create", tag = "networks", params(WaitQuery),
    responses((status = 201, body = Network)))]
async fn create(
    cx: Context,
    Path(project): Path<Name>,
    Query(query): Query<WaitQuery>,
    Json(body): Json<Create<NetworkSpec>>,
) -> Result<One<Network>, Failure> {
    let Create { name, spec } = body;
    let made = app::network::create(cx.core(), &cx.caller, &project, name, spec).await?;
    Ok(One::created(wait::settled(&cx, query.wait, made).await))
}

/// Shows one network.
#[utoipa::path(get, path = "/v1/projects/{project}/networks/{name}", operation_id = "network_get", tag = "networks", params(WaitQuery),
    responses((status = 200, body = Network)))]
async fn get(
    cx: Context,
    Path((project, name)): Path<(Name, Name)>,
    Query(query): Query<WaitQuery>,
) -> Result<One<Network>, Failure> {
    Ok(One::ok(wait::read(&cx, query.wait, &project, &name).await?))
}

/// Replaces what is asked of a network.
#[utoipa::path(put, path = "/v1/projects/{project}/networks/{name}", operation_id = "network_update", tag = "networks", params(WaitQuery),
    responses((status = 200, body = Network)))]
async fn update(
    cx: Context,
    Path((project, name)): Path<(Name, Name)>,
    Query(query): Query<WaitQuery>,
    seen: IfMatch,
    Json(body): Json<Update<NetworkSpec>>,
) -> Result<One<Network>, Failure> {
    let seen = seen
        .generation(app::network::get(cx.core(), &cx.caller, &project, &name))
        .await?;
    let changed =
        app::network::update(cx.core(), &cx.caller, &project, &name, body.spec, seen).await?;
    Ok(One::ok(wait::settled(&cx, query.wait, changed).await))
}

/// Deletes a network that no instance and no peer uses.
#[utoipa::path(delete, path = "/v1/projects/{project}/networks/{name}", operation_id = "network_delete", tag = "networks", params(WaitQuery),
    responses((status = 202, body = Network, description = "It is being deleted"), (status = 204, description = "It is gone")))]
async fn delete(
    cx: Context,
    Path((project, name)): Path<(Name, Name)>,
    Query(query): Query<WaitQuery>,
    seen: IfMatch,
) -> Result<Response, Failure> {
    let seen = seen
        .generation(app::network::get(cx.core(), &cx.caller, &project, &name))
        .await?;
    let left = app::network::delete(cx.core(), &cx.caller, &project, &name, seen).await?;
    Ok(wait::deleted(&cx, query.wait, left).await)
}
