//! API tokens, of a project and of the site.

use axum::Extension;
use axum::http::StatusCode;
use rhyzome_app as app;
use rhyzome_model::Name;
use rhyzome_model::resource::ApiToken;
use rhyzome_model::token::ApiTokenSpec;
use rhyzome_wire::Page;
use rhyzome_wire::request::{Create, MintedToken};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::context::{Api, Context};
use crate::etag::{IfMatch, One};
use crate::extract::{Json, NoQuery, Path, Query};
use crate::idempotency::Secret;
use crate::page::{PageQuery, page};
use crate::problem::Failure;

type Minted = (StatusCode, Extension<Secret>, axum::Json<MintedToken>);

pub fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(get, delete))
        .routes(routes!(site_list, site_create))
        .routes(routes!(site_get, site_delete))
}

/// Lists a project's API tokens, by name.
#[utoipa::path(get, path = "/v1/projects/{project}/tokens", operation_id = "token_list", tag = "tokens", params(PageQuery),
    responses((status = 200, body = Page<ApiToken>)))]
async fn list(
    cx: Context,
    Path(project): Path<Name>,
    Query(query): Query<PageQuery>,
) -> Result<axum::Json<Page<ApiToken>>, Failure> {
    listed(&cx, Some(&project), query).await
}

/// Makes an API token of a project. Its secret is shown this once.
#[utoipa::path(post, path = "/v1/projects/{project}/tokens", operation_id = "token_create", tag = "tokens",
    responses((status = 201, body = MintedToken)))]
async fn create(
    cx: Context,
    Path(project): Path<Name>,
    _none: NoQuery,
    Json(body): Json<Create<ApiTokenSpec>>,
) -> Result<Minted, Failure> {
    minted(&cx, Some(&project), body).await
}

/// Shows one API token of a project, without its secret.
#[utoipa::path(get, path = "/v1/projects/{project}/tokens/{name}", operation_id = "token_get", tag = "tokens",
    responses((status = 200, body = ApiToken)))]
async fn get(
    cx: Context,
    Path((project, name)): Path<(Name, Name)>,
    _none: NoQuery,
) -> Result<One<ApiToken>, Failure> {
    one(&cx, Some(&project), &name).await
}

/// Revokes an API token of a project, at once.
#[utoipa::path(delete, path = "/v1/projects/{project}/tokens/{name}", operation_id = "token_delete", tag = "tokens",
    responses((status = 204, description = "It is good no longer")))]
async fn delete(
    cx: Context,
    Path((project, name)): Path<(Name, Name)>,
    _none: NoQuery,
    seen: IfMatch,
) -> Result<StatusCode, Failure> {
    revoked(&cx, Some(&project), &name, seen).await
}

/// Lists the site's own API tokens, by name.
#[utoipa::path(get, path = "/v1/tokens", operation_id = "site_token_list", tag = "tokens", params(PageQuery),
    responses((status = 200, body = Page<ApiToken>)))]
async fn site_list(
    cx: Context,
    Query(query): Query<PageQuery>,
) -> Result<axum::Json<Page<ApiToken>>, Failure> {
    listed(&cx, None, query).await
}

/// Makes an API token of the site. Its secret is shown this once.
#[utoipa::path(post, path = "/v1/tokens", operation_id = "site_token_create", tag = "tokens",
    responses((status = 201, body = MintedToken)))]
async fn site_create(
    cx: Context,
    _none: NoQuery,
    Json(body): Json<Create<ApiTokenSpec>>,
) -> Result<Minted, Failure> {
    minted(&cx, None, body).await
}

/// Shows one API token of the site, without its secret.
#[utoipa::path(get, path = "/v1/tokens/{name}", operation_id = "site_token_get", tag = "tokens",
    responses((status = 200, body = ApiToken)))]
async fn site_get(
    cx: Context,
    Path(name): Path<Name>,
    _none: NoQuery,
) -> Result<One<ApiToken>, Failure> {
    one(&cx, None, &name).await
}

/// Revokes an API token of the site, at once.
#[utoipa::path(delete, path = "/v1/tokens/{name}", operation_id = "site_token_delete", tag = "tokens",
    responses((status = 204, description = "It is good no longer")))]
async fn site_delete(
    cx: Context,
    Path(name): Path<Name>,
    _none: NoQuery,
    seen: IfMatch,
) -> Result<StatusCode, Failure> {
    revoked(&cx, None, &name, seen).await
}

async fn listed(
    cx: &Context,
    project: Option<&Name>,
    query: PageQuery,
) -> Result<axum::Json<Page<ApiToken>>, Failure> {
    let listed = app::token::list(cx.core(), &cx.caller, project, &query.request()).await?;
    Ok(page(listed))
}

async fn minted(
    cx: &Context,
    project: Option<&Name>,
    body: Create<ApiTokenSpec>,
) -> Result<Minted, Failure> {
    let Create { name, spec } = body;
    let minted = app::token::create(cx.core(), &cx.caller, project, name, spec).await?;
    let shown = MintedToken {
        token: minted.token,
        secret: minted.secret.reveal(),
    };
    Ok((StatusCode::CREATED, Extension(Secret), axum::Json(shown)))
}

async fn one(cx: &Context, project: Option<&Name>, name: &Name) -> Result<One<ApiToken>, Failure> {
    let token = app::token::get(cx.core(), &cx.caller, project, name).await?;
    Ok(One::ok(token))
}

async fn revoked(
    cx: &Context,
    project: Option<&Name>,
    name: &Name,
    seen: IfMatch,
) -> Result<StatusCode, Failure> {
    let seen = seen
        .generation(app::token::get(cx.core(), &cx.caller, project, name))
        .await?;
    app::token::delete(cx.core(), &cx.caller, project, name, seen).await?;
    Ok(StatusCode::NO_CONTENT)
}
