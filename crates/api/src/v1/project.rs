//! Projects, the tenants.

use axum::http::StatusCode;
use rhyzome_app as app;
use rhyzome_model::Name;
use rhyzome_model::resource::Project;
use rhyzome_wire::Page;
use rhyzome_wire::request::CreateProject;
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

/// Lists projects, by name.
#[utoipa::path(get, path = "/v1/projects", operation_id = "project_list", tag = "projects", params(PageQuery),
    responses((status = 200, body = Page<Project>)))]
async fn list(
    cx: Context,
    Query(query): Query<PageQuery>,
) -> Result<axum::Json<Page<Project>>, Failure> {
    Ok(page(
        app::project::list(cx.core(), &cx.caller, &query.request()).await?,
    ))
}

/// Creates a project.
#[utoipa::path(post, path = "/v1/projects", operation_id = "project_create", tag = "projects",
    responses((status = 201, body = Project)))]
async fn create(
    cx: Context,
    _none: NoQuery,
    Json(body): Json<CreateProject>,
) -> Result<One<Project>, Failure> {
    Ok(One::created(
        app::project::create(cx.core(), &cx.caller, body.name).await?,
    ))
}

/// Shows one project.
#[utoipa::path(get, path = "/v1/projects/{project}", operation_id = "project_get", tag = "projects",
    responses((status = 200, body = Project)))]
async fn get(
    cx: Context,
    Path(project): Path<Name>,
    _none: NoQuery,
) -> Result<One<Project>, Failure> {
    Ok(One::ok(
        app::project::get(cx.core(), &cx.caller, &project).await?,
    ))
}

/// Deletes a project that nothing is left in.
#[utoipa::path(delete, path = "/v1/projects/{project}", operation_id = "project_delete", tag = "projects",
    responses((status = 204, description = "It is gone")))]
async fn delete(
    cx: Context,
    Path(project): Path<Name>,
    _none: NoQuery,
    seen: IfMatch,
) -> Result<StatusCode, Failure> {
    let seen = seen
        .generation(app::project::get(cx.core(), &cx.caller, &project))
        .await?;
    app::project::delete(cx.core(), &cx.caller, &project, seen).await?;
    Ok(StatusCode::NO_CONTENT)
}
