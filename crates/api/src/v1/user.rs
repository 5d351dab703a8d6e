//! People of the site, for those who run it.

use axum::http::StatusCode;
use rhyzome_app as app;
use rhyzome_model::Name;
use rhyzome_model::user::{Revocation, User, UserSpec};
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
}

/// Lists the people of the site, by name.
#[utoipa::path(get, path = "/v1/users", operation_id = "user_list", tag = "people", params(PageQuery),
    responses((status = 200, body = Page<User>)))]
async fn list(
    cx: Context,
    Query(query): Query<PageQuery>,
) -> Result<axum::Json<Page<User>>, Failure> {
    Ok(page(
        app::user::list(cx.core(), &cx.caller, &query.request()).await?,
    ))
}

/// Shows one person: what they are in projects, and what they lost in some.
#[utoipa::path(get, path = "/v1/users/{name}", operation_id = "user_get", tag = "people",
    responses((status = 200, body = User)))]
async fn get(cx: Context, Path(name): Path<Name>, _none: NoQuery) -> Result<One<User>, Failure> {
    Ok(One::ok(app::user::get(cx.core(), &cx.caller, &name).await?))
}

/// Keeps somebody out, or lets them in again. Who is kept out has no sessions, tokens and peers any more; the answer says which
/// endpoints have confirmed that.
#[utoipa::path(put, path = "/v1/users/{name}", operation_id = "user_update", tag = "people", params(WaitQuery),
    responses((status = 200, body = User)))]
async fn update(
    cx: Context,
    Path(name): Path<Name>,
    Query(query): Query<WaitQuery>,
    seen: IfMatch,
    Json(body): Json<Update<UserSpec>>,
) -> Result<One<User>, Failure> {
    let seen = seen
        .generation(app::user::get(cx.core(), &cx.caller, &name))
        .await?;
    let changed = app::user::update(cx.core(), &cx.caller, &name, body.spec, seen).await?;
    let look = || app::user::get(cx.core(), &cx.caller, &name);
    let is_confirmed = |user: &User| user.revocations.iter().all(Revocation::is_confirmed);
    Ok(One::ok(
        wait::until(&cx, query.wait, changed, look, is_confirmed).await,
    ))
}

/// Removes somebody from the site, with all that they have on it.
#[utoipa::path(delete, path = "/v1/users/{name}", operation_id = "user_delete", tag = "people",
    responses((status = 204, description = "They are not known any more")))]
async fn delete(
    cx: Context,
    Path(name): Path<Name>,
    _none: NoQuery,
    seen: IfMatch,
) -> Result<StatusCode, Failure> {
    let seen = seen
        .generation(app::user::get(cx.core(), &cx.caller, &name))
        .await?;
    app::user::delete(cx.core(), &cx.caller, &name, seen).await?;
    Ok(StatusCode::NO_CONTENT)
}
