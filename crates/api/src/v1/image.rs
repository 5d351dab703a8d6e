//! Images: names for bytes.

use axum::http::StatusCode;
use rhyzome_app as app;
use rhyzome_model::Name;
use rhyzome_model::image::{ImageSpec, ImageVerification, TagFilter};
use rhyzome_model::resource::{Image, ImageSummary};
use rhyzome_wire::Page;
use rhyzome_wire::request::{Create, Update};
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::context::{Api, Context};
use crate::etag::{IfMatch, One};
use crate::extract::{Json, NoQuery, Path, Query};
use crate::page::{Cursor, Limit, PageQuery, page};
use crate::problem::Failure;
use crate::wait::WaitQuery;

/// Which images.
#[derive(Debug, Clone, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct ImageQuery {
    /// How many rows at most: 1 to 1000.
    #[serde(default)]
    #[param(value_type = u32, minimum = 1, maximum = 1000, default = 100, required = false)]
    limit: Limit,
    /// Where the page begins: the `next` of the page before it.
    #[serde(default)]
    #[param(value_type = Option<String>)]
    after: Option<Cursor>,
    /// Only those that this tag points at, or any tag of this family: `debian:12`, or `debian`.
    #[serde(default)]
    #[param(value_type = Option<String>)]
    tag: Option<TagFilter>,
}

pub fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(get, update, delete))
        .routes(routes!(verify, verification))
}

/// Lists a project's images, by name: all, or those that tags point at.
#[utoipa::path(get, path = "/v1/projects/{project}/images", operation_id = "image_list", tag = "images", params(ImageQuery),
    responses((status = 200, body = Page<ImageSummary>)))]
async fn list(
    cx: Context,
    Path(project): Path<Name>,
    Query(query): Query<ImageQuery>,
) -> Result<axum::Json<Page<ImageSummary>>, Failure> {
    let ImageQuery { limit, after, tag } = query;
    let request = PageQuery { limit, after }.request();
    let listed = app::image::list(cx.core(), &cx.caller, &project, tag.as_ref(), &request).await?;
    Ok(page(listed))
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

/// Reads an image's bytes to see whether they are whole. What is damaged is not handed out any more; uploading the same bytes again mends it.
#[utoipa::path(post, path = "/v1/projects/{project}/images/{name}/verify", operation_id = "image_verify", tag = "images", params(WaitQuery),
    responses(
        (status = 200, body = ImageVerification, description = "All were read"),
        (status = 202, body = ImageVerification, description = "They are being read")))]
async fn verify(
    cx: Context,
    Path((project, name)): Path<(Name, Name)>,
    Query(query): Query<WaitQuery>,
) -> Result<(StatusCode, axum::Json<ImageVerification>), Failure> {
    let readings = app::image::verify(cx.core(), &cx.caller, &project, &name).await?;
    if let Some(wait) = query.wait {
        let read = async {
            for mut reading in readings {
                while reading.changed().await.is_ok() {}
            }
        };
        // Over or not: the answer says which.
        let _ = tokio::time::timeout(wait.time(), read).await;
    }
    let found = app::image::verification(cx.core(), &cx.caller, &project, &name).await?;
    let status = if found.running {
        StatusCode::ACCEPTED
    } else {
        StatusCode::OK
    };
    Ok((status, axum::Json(found)))
}

/// Says what came of reading an image's bytes the last time, or how far that is.
#[utoipa::path(get, path = "/v1/projects/{project}/images/{name}/verify", operation_id = "image_verification", tag = "images",
    responses((status = 200, body = ImageVerification)))]
async fn verification(
    cx: Context,
    Path((project, name)): Path<(Name, Name)>,
    _none: NoQuery,
) -> Result<axum::Json<ImageVerification>, Failure> {
    let found = app::image::verification(cx.core(), &cx.caller, &project, &name).await?;
    Ok(axum::Json(found))
}

/// Deletes an image, and the tags that point at it. One that instances were made from is not deleted; the answer names them.
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
