//! Instances: VMs and unikernels.

use axum::response::Response;
use rhyzome_app as app;
use rhyzome_model::Name;
use rhyzome_model::instance::InstanceSpec;
use rhyzome_model::resource::{Instance, InstanceSummary, InstanceWhy};
use rhyzome_wire::Page;
use rhyzome_wire::request::{Create, Stop, Update};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::context::{Api, Context};
use crate::etag::{IfMatch, One};
use crate::extract::{Json, MaybeJson, NoQuery, Path, Query};
use crate::page::{PageQuery, page};
use crate::problem::Failure;
use crate::wait::{self, WaitQuery};

pub fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(get, update, delete))
        .routes(routes!(start))
        .routes(routes!(stop))
        .routes(routes!(reboot))
        .routes(routes!(why))
}

/// Lists a project's instances, by name.
#[utoipa::path(get, path = "/v1/projects/{project}/instances", operation_id = "instance_list", tag = "instances", params(PageQuery),
    responses((status = 200, body = Page<InstanceSummary>)))]
async fn list(
    cx: Context,
    Path(project): Path<Name>,
    Query(query): Query<PageQuery>,
) -> Result<axum::Json<Page<InstanceSummary>>, Failure> {
    Ok(page(
        app::instance::list(cx.core(), &cx.caller, &project, &query.request()).await?,
    ))
}

/// Creates an instance. The answer has its host and its addresses.
#[utoipa::path(post, path = "/v1/projects/{project}/instances", operation_id = "instance_create", tag = "instances", params(WaitQuery),
    responses((status = 201, body = Instance)))]
async fn create(
    cx: Context,
    Path(project): Path<Name>,
    Query(query): Query<WaitQuery>,
    Json(body): Json<Create<InstanceSpec>>,
) -> Result<One<Instance>, Failure> {
    let Create { name, spec } = body;
    let made = app::instance::create(cx.core(), &cx.caller, &project, name, spec).await?;
    Ok(One::created(wait::settled(&cx, query.wait, made).await))
}

/// Shows one instance.
#[utoipa::path(get, path = "/v1/projects/{project}/instances/{name}", operation_id = "instance_get", tag = "instances", params(WaitQuery),
    responses((status = 200, body = Instance)))]
async fn get(
    cx: Context,
    Path((project, name)): Path<(Name, Name)>,
    Query(query): Query<WaitQuery>,
) -> Result<One<Instance>, Failure> {
    Ok(One::ok(wait::read(&cx, query.wait, &project, &name).await?))
}

/// Replaces what is asked of an instance. What only a restart changes is marked in its status.
#[utoipa::path(put, path = "/v1/projects/{project}/instances/{name}", operation_id = "instance_update", tag = "instances", params(WaitQuery),
    responses((status = 200, body = Instance)))]
async fn update(
    cx: Context,
    Path((project, name)): Path<(Name, Name)>,
    Query(query): Query<WaitQuery>,
    seen: IfMatch,
    Json(body): Json<Update<InstanceSpec>>,
) -> Result<One<Instance>, Failure> {
    let seen = seen
        .generation(app::instance::get(cx.core(), &cx.caller, &project, &name))
        .await?;
    let changed =
        app::instance::update(cx.core(), &cx.caller, &project, &name, body.spec, seen).await?;
    Ok(One::ok(wait::settled(&cx, query.wait, changed).await))
}

/// Deletes an instance: stops it, and removes all that it had.
#[utoipa::path(delete, path = "/v1/projects/{project}/instances/{name}", operation_id = "instance_delete", tag = "instances", params(WaitQuery),
    responses((status = 202, body = Instance, description = "It is being deleted"), (status = 204, description = "It is gone")))]
async fn delete(
    cx: Context,
    Path((project, name)): Path<(Name, Name)>,
    Query(query): Query<WaitQuery>,
    seen: IfMatch,
) -> Result<Response, Failure> {
    let seen = seen
        .generation(app::instance::get(cx.core(), &cx.caller, &project, &name))
        .await?;
    let left = app::instance::delete(cx.core(), &cx.caller, &project, &name, seen).await?;
    Ok(wait::deleted(&cx, query.wait, left).await)
}

/// Starts an instance: sets its power to `running`.
#[utoipa::path(post, path = "/v1/projects/{project}/instances/{name}/start", operation_id = "instance_start", tag = "instances", params(WaitQuery),
    responses((status = 200, body = Instance)))]
async fn start(
    cx: Context,
    Path((project, name)): Path<(Name, Name)>,
    Query(query): Query<WaitQuery>,
) -> Result<One<Instance>, Failure> {
    let changed = app::instance::start(cx.core(), &cx.caller, &project, &name).await?;
    Ok(One::ok(wait::settled(&cx, query.wait, changed).await))
}

/// Stops an instance: asks the guest, then forces it when its stop timeout is over.
#[utoipa::path(post, path = "/v1/projects/{project}/instances/{name}/stop", operation_id = "instance_stop", tag = "instances", params(WaitQuery),
    request_body = Option<Stop>,
    responses((status = 200, body = Instance)))]
async fn stop(
    cx: Context,
    Path((project, name)): Path<(Name, Name)>,
    Query(query): Query<WaitQuery>,
    MaybeJson(how): MaybeJson<Stop>,
) -> Result<One<Instance>, Failure> {
    let changed = app::instance::stop(cx.core(), &cx.caller, &project, &name, how.force).await?;
    Ok(One::ok(wait::settled(&cx, query.wait, changed).await))
}

/// Restarts an instance: asks the guest, then forces it when its stop timeout is over.
#[utoipa::path(post, path = "/v1/projects/{project}/instances/{name}/reboot", operation_id = "instance_reboot", tag = "instances", params(WaitQuery),
    responses((status = 200, body = Instance)))]
async fn reboot(
    cx: Context,
    Path((project, name)): Path<(Name, Name)>,
    Query(query): Query<WaitQuery>,
) -> Result<One<Instance>, Failure> {
    let job = app::instance::reboot(cx.core(), &cx.caller, &project, &name).await?;
    wait::ended(&cx, query.wait, &project, job).await?;
    Ok(One::ok(
        app::instance::get(cx.core(), &cx.caller, &project, &name).await?,
    ))
}

/// Says why an instance is where it is, and what it waits for.
#[utoipa::path(get, path = "/v1/projects/{project}/instances/{name}/why", operation_id = "instance_why", tag = "instances",
    responses((status = 200, body = InstanceWhy)))]
async fn why(
    cx: Context,
    Path((project, name)): Path<(Name, Name)>,
    _none: NoQuery,
) -> Result<axum::Json<InstanceWhy>, Failure> {
    Ok(axum::Json(
        app::instance::why(cx.core(), &cx.caller, &project, &name).await?,
    ))
}
