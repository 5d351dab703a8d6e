//! Members of projects, and what they lose when they go.

use axum::http::StatusCode;
use rhyzome_app as app;
use rhyzome_model::Name;
use rhyzome_model::user::{Member, MemberSpec, Revocation};
use rhyzome_wire::Page;
use rhyzome_wire::request::Update;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::context::{Api, Context};
use crate::etag::{IfMatch, One};
use crate::extract::{Json, NoQuery, Path, Query};
use crate::page::{PageQuery, page};
use crate::problem::Failure;
use crate::wait::{self, WaitQuery};

pub fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(get, update, delete))
        .routes(routes!(revocation))
}

/// Lists a project's members, by name.
#[utoipa::path(get, path = "/v1/projects/{project}/members", operation_id = "member_list", tag = "people", params(PageQuery),
    responses((status = 200, body = Page<Member>)))]
async fn list(
    cx: Context,
    Path(project): Path<Name>,
    Query(query): Query<PageQuery>,
) -> Result<axum::Json<Page<Member>>, Failure> {
    Ok(page(
        app::member::list(cx.core(), &cx.caller, &project, &query.request()).await?,
    ))
}

/// Shows one member.
#[utoipa::path(get, path = "/v1/projects/{project}/members/{name}", operation_id = "member_get", tag = "people",
    responses((status = 200, body = Member)))]
async fn get(
    cx: Context,
    Path((project, name)): Path<(Name, Name)>,
    _none: NoQuery,
) -> Result<One<Member>, Failure> {
    let member = app::member::get(cx.core(), &cx.caller, &project, &name).await?;
    Ok(One::ok(member))
}

/// Gives a member another role. Who becomes a viewer has no peers any more.
#[utoipa::path(put, path = "/v1/projects/{project}/members/{name}", operation_id = "member_update", tag = "people",
    responses((status = 200, body = Member)))]
async fn update(
    cx: Context,
    Path((project, name)): Path<(Name, Name)>,
    _none: NoQuery,
    seen: IfMatch,
    Json(body): Json<Update<MemberSpec>>,
) -> Result<One<Member>, Failure> {
    let seen = seen
        .generation(app::member::get(cx.core(), &cx.caller, &project, &name))
        .await?;
    let changed = app::member::update(cx.core(), &cx.caller, &project, &name, body.spec, seen);
    Ok(One::ok(changed.await?))
}

/// Takes somebody out of a project: their tokens and peers in it are gone, and with their last project their sessions. Members may
/// take out themselves.
#[utoipa::path(delete, path = "/v1/projects/{project}/members/{name}", operation_id = "member_delete", tag = "people", params(WaitQuery),
    responses(
        (status = 200, body = Revocation, description = "It is done, and every endpoint has confirmed it"),
        (status = 202, body = Revocation, description = "It is done, but for the endpoints that have not confirmed it yet")))]
async fn delete(
    cx: Context,
    Path((project, name)): Path<(Name, Name)>,
    Query(query): Query<WaitQuery>,
    seen: IfMatch,
) -> Result<(StatusCode, axum::Json<Revocation>), Failure> {
    let seen = seen
        .generation(app::member::get(cx.core(), &cx.caller, &project, &name))
        .await?;
    let revocation = app::member::delete(cx.core(), &cx.caller, &project, &name, seen).await?;
    let look = || app::member::revocation(cx.core(), &cx.caller, &project, &name);
    let seen = wait::until(&cx, query.wait, revocation, look, Revocation::is_confirmed).await;
    let status = match seen.is_confirmed() {
        true => StatusCode::OK,
        false => StatusCode::ACCEPTED,
    };
    Ok((status, axum::Json(seen)))
}

/// Shows what somebody lost who was in a project, and when each endpoint confirmed it.
#[utoipa::path(get, path = "/v1/projects/{project}/revocations/{name}", operation_id = "revocation_get", tag = "people",
    responses((status = 200, body = Revocation)))]
async fn revocation(
    cx: Context,
    Path((project, name)): Path<(Name, Name)>,
    _none: NoQuery,
) -> Result<axum::Json<Revocation>, Failure> {
    let found = app::member::revocation(cx.core(), &cx.caller, &project, &name).await?;
    Ok(axum::Json(found))
}
