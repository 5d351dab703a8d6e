//! Components: the programs that make things real on hosts.

use axum::http::StatusCode;
use rhyzome_app as app;
use rhyzome_model::Name;
use rhyzome_model::component::ComponentSpec;
use rhyzome_model::resource::{Component, ComponentSummary};
use rhyzome_wire::Page;
use rhyzome_wire::request::{Update, UpgradeComponent, UpgradeSource};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::context::{Api, Context};
use crate::etag::{IfMatch, One};
use crate::extract::{Json, NoQuery, Path, Query};
use crate::page::{PageQuery, page};
use crate::problem::Failure;

pub fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(get, update, delete))
        .routes(routes!(revoke))
        .routes(routes!(upgrade))
}

/// Lists components, by name.
#[utoipa::path(get, path = "/v1/components", operation_id = "component_list", tag = "components", params(PageQuery),
    responses((status = 200, body = Page<ComponentSummary>)))]
async fn list(
    cx: Context,
    Query(query): Query<PageQuery>,
) -> Result<axum::Json<Page<ComponentSummary>>, Failure> {
    Ok(page(
        app::component::list(cx.core(), &cx.caller, &query.request()).await?,
    ))
}

/// Shows one component, with its host and what is promised on it.
#[utoipa::path(get, path = "/v1/components/{name}", operation_id = "component_get", tag = "components",
    responses((status = 200, body = Component)))]
async fn get(
    cx: Context,
    Path(name): Path<Name>,
    _none: NoQuery,
) -> Result<One<Component>, Failure> {
    Ok(One::ok(
        app::component::get(cx.core(), &cx.caller, &name).await?,
    ))
}

/// Replaces what can be changed of a component: its labels.
#[utoipa::path(put, path = "/v1/components/{name}", operation_id = "component_update", tag = "components",
    responses((status = 200, body = Component)))]
async fn update(
    cx: Context,
    Path(name): Path<Name>,
    _none: NoQuery,
    seen: IfMatch,
    Json(body): Json<Update<ComponentSpec>>,
) -> Result<One<Component>, Failure> {
    let seen = seen
        .generation(app::component::get(cx.core(), &cx.caller, &name))
        .await?;
    Ok(One::ok(
        app::component::update(cx.core(), &cx.caller, &name, body.spec, seen).await?,
    ))
}

/// Forgets a component on which nothing is placed, or which was revoked.
#[utoipa::path(delete, path = "/v1/components/{name}", operation_id = "component_delete", tag = "components",
    responses((status = 204, description = "It is gone")))]
async fn delete(
    cx: Context,
    Path(name): Path<Name>,
    _none: NoQuery,
    seen: IfMatch,
) -> Result<StatusCode, Failure> {
    let seen = seen
        .generation(app::component::get(cx.core(), &cx.caller, &name))
        .await?;
    app::component::delete(cx.core(), &cx.caller, &name, seen).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Revokes a component: its session ends, and it can never connect again.
#[utoipa::path(post, path = "/v1/components/{name}/revoke", operation_id = "component_revoke", tag = "components",
    responses((status = 200, body = Component)))]
async fn revoke(
    cx: Context,
    Path(name): Path<Name>,
    _none: NoQuery,
) -> Result<One<Component>, Failure> {
    Ok(One::ok(
        app::component::revoke(cx.core(), &cx.caller, &name).await?,
    ))
}

/// Asks a component to run another program, which it fetches from the core. If that gets no session with the core,
/// the one from before runs again. How far it is, the component shows.
#[utoipa::path(post, path = "/v1/components/{name}/upgrade", operation_id = "component_upgrade", tag = "components",
    responses((status = 200, body = Component)))]
async fn upgrade(
    cx: Context,
    Path(name): Path<Name>,
    _none: NoQuery,
    Json(body): Json<UpgradeComponent>,
) -> Result<One<Component>, Failure> {
    let request = app::upgrade::UpgradeRequest {
        source: match body.to {
            UpgradeSource::Program { project, digest } => {
                app::upgrade::Source::Blob { project, digest }
            }
            UpgradeSource::Previous => app::upgrade::Source::Previous,
        },
        within: body.within,
    };
    Ok(One::ok(
        app::upgrade::begin(cx.core(), &cx.caller, &name, request).await?,
    ))
}
