//! Images: names for bytes.

use axum::http::StatusCode;
use rhyzome_app as app;
use rhyzome_model::Name;
use rhyzome_model::image::ImageSpec;
use rhyzome_model::resource::{Image, ImageSummary};
use rhyzome_wire::Page;
use rhyzome_wire::request::{Create, Update};
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
        .routes(routes!(get, update, delete))
}

/// Lists a project's images, by name.
#[utoipa::path(get, path = "/v1/projects/{project}/images", operation_id = "image_list", tag = "images", params(PageQuery),
    responses((status = 200, body = Page<ImageSummary>)))]
async fn list(
    cx: Context,
    Path(project): Path<Name>,
    Query(query): Query<PageQuery>,
) -> Result<axum::Json<Page<ImageSummary>>, Failure> {
    Ok(page(
        app::image::list(cx.core(), &cx.caller, &project, &query.request()).await?,
    ))
}

/// Creates an image: names bytes that were uploaded before. Their format is found by looking at them; what cannot boot is refused.
#[utoipa::path(post, path = "/v1/projects/{project}/images", operation_id = "image_create", tag = "images",
    responses((status = 201, body = Image)))]
async fn create(
    cx: Context,
    Path(project): Path<Name>,
    _none: NoQuery,
    Json(body): Json<Create<ImageSpec>>,
) -> Result<One<Image>, Failure> {
    let Create { name, spec } = body;
    let made = app::image::create(cx.core(), &cx.caller, &project, name, spec).await?;
    Ok(One::created(made))
}

/// Shows one image.
#[utoipa::path(get, path = "/v1/projects/{project}/images/{name}", operation_id = "image_get", tag = "images",
    responses((status = 200, body = Image)))]
async fn get(
    cx: Context,
    Path((project, name)): Path<(Name, Name)>,
    _none: NoQuery,
) -> Result<One<Image>, Failure> {
    Ok(One::ok(
        app::image::get(cx.core(), &cx.caller, &project, &name).await?,
    ))
}

/// Points an image at other bytes. Instances keep the ones that they were made of.
#[utoipa::path(put, path = "/v1/projects/{project}/images/{name}", operation_id = "image_update", tag = "images",
    responses((status = 200, body = Image)))]
async fn update(
    cx: Context,
    Path((project, name)): Path<(Name, Name)>,
    _none: NoQuery,
    seen: IfMatch,
    Json(body): Json<Update<ImageSpec>>,
) -> Result<One<Image>, Failure> {
    let seen = seen
        .generation(app::image::get(cx.core(), &cx.caller, &project, &name))
        .await?;
    let changed =
        app::image::update(cx.core(), &cx.caller, &project, &name, body.spec, seen).await?;
    Ok(One::ok(changed))
}

/// Deletes an image. Instances keep its bytes.
#[utoipa::path(delete, path = "/v1/projects/{project}/images/{name}", operation_id = "image_delete", tag = "images",
    responses((status = 204, description = "It is gone")))]
async fn delete(
    cx: Context,
    Path((project, name)): Path<(Name, Name)>,
    _none: NoQuery,
    seen: IfMatch,
) -> Result<StatusCode, Failure> {
    let seen = seen
        .generation(app::image::get(cx.core(), &cx.caller, &project, &name))
        .await?;
    app::image::delete(cx.core(), &cx.caller, &project, &name, seen).await?;
    Ok(StatusCode::NO_CONTENT)
}
