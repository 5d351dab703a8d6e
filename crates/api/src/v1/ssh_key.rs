//! SSH public keys, for users of a project's instances.

use axum::http::StatusCode;
use rhyzome_app as app;
use rhyzome_model::Name;
use rhyzome_model::resource::SshKey;
use rhyzome_model::ssh_key::SshKeySpec;
use rhyzome_wire::Page;
use rhyzome_wire::request::Create;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::context::{Api, Context};
use crate::etag::{IfMatch, One};
use crate::extract::{Json, NoQuery, Path, Query};
use crate::page::{PageQuery, page};
use crate::problem::Failure;

pub fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(get, delete))
}

/// Lists a project's SSH keys, by name.
#[utoipa::path(get, path = "/v1/projects/{project}/ssh-keys", operation_id = "ssh_key_list", tag = "ssh-keys", params(PageQuery),
    responses((status = 200, body = Page<SshKey>)))]
async fn list(
    cx: Context,
    Path(project): Path<Name>,
    Query(query): Query<PageQuery>,
) -> Result<axum::Json<Page<SshKey>>, Failure> {
    Ok(page(
        app::ssh_key::list(cx.core(), &cx.caller, &project, &query.request()).await?,
    ))
}

/// Adds an SSH public key.
#[utoipa::path(post, path = "/v1/projects/{project}/ssh-keys", operation_id = "ssh_key_create", tag = "ssh-keys",
    responses((status = 201, body = SshKey)))]
async fn create(
    cx: Context,
    Path(project): Path<Name>,
    _none: NoQuery,
    Json(body): Json<Create<SshKeySpec>>,
) -> Result<One<SshKey>, Failure> {
    let Create { name, spec } = body;
    let made = app::ssh_key::create(cx.core(), &cx.caller, &project, name, spec).await?;
    Ok(One::created(made))
}

/// Shows one SSH key.
#[utoipa::path(get, path = "/v1/projects/{project}/ssh-keys/{name}", operation_id = "ssh_key_get", tag = "ssh-keys",
    responses((status = 200, body = SshKey)))]
async fn get(
    cx: Context,
    Path((project, name)): Path<(Name, Name)>,
    _none: NoQuery,
) -> Result<One<SshKey>, Failure> {
    Ok(One::ok(
        app::ssh_key::get(cx.core(), &cx.caller, &project, &name).await?,
    ))
}

/// Deletes an SSH public key.
#[utoipa::path(delete, path = "/v1/projects/{project}/ssh-keys/{name}", operation_id = "ssh_key_delete", tag = "ssh-keys",
    responses((status = 204, description = "It is gone")))]
async fn delete(
    cx: Context,
    Path((project, name)): Path<(Name, Name)>,
    _none: NoQuery,
    seen: IfMatch,
) -> Result<StatusCode, Failure> {
    let seen = seen
        .generation(app::ssh_key::get(cx.core(), &cx.caller, &project, &name))
        .await?;
    app::ssh_key::delete(cx.core(), &cx.caller, &project, &name, seen).await?;
    Ok(StatusCode::NO_CONTENT)
}
