//! Tags: names that point at images and may be moved.

use axum::http::StatusCode;
use rhyzome_app as app;
use rhyzome_model::Name;
use rhyzome_model::image::{ImageTagSpec, Tag};
use rhyzome_model::resource::ImageTag;
use rhyzome_wire::Page;
use rhyzome_wire::request::Update;
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
        .routes(routes!(set, get, delete))
}

/// Lists the tags of a project's images, in their order.
#[utoipa::path(get, path = "/v1/projects/{project}/image-tags", operation_id = "image_tag_list", tag = "images", params(PageQuery),
    responses((status = 200, body = Page<ImageTag>)))]
async fn list(
    cx: Context,
    Path(project): Path<Name>,
    Query(query): Query<PageQuery>,
) -> Result<axum::Json<Page<ImageTag>>, Failure> {
    Ok(page(
        app::image_tag::list(cx.core(), &cx.caller, &project, &query.request()).await?,
    ))
}

/// Points a tag at an image: makes it, or moves it. Instances keep the image that they were made of.
#[utoipa::path(put, path = "/v1/projects/{project}/image-tags/{tag}", operation_id = "image_tag_set", tag = "images",
    responses(
        (status = 201, body = ImageTag, description = "It is made"),
        (status = 200, body = ImageTag, description = "It was there, and points at the image now")))]
async fn set(
    cx: Context,
    Path((project, tag)): Path<(Name, Tag)>,
    _none: NoQuery,
    seen: IfMatch,
    Json(body): Json<Update<ImageTagSpec>>,
) -> Result<One<ImageTag>, Failure> {
    let seen = seen
        .generation(app::image_tag::get(cx.core(), &cx.caller, &project, &tag))
        .await?;
    let (tag, is_new) =
        app::image_tag::set(cx.core(), &cx.caller, &project, &tag, &body.spec, seen).await?;
    Ok(if is_new {
        One::created(tag)
    } else {
        One::ok(tag)
    })
}

/// Shows one tag, and what it points at.
#[utoipa::path(get, path = "/v1/projects/{project}/image-tags/{tag}", operation_id = "image_tag_get", tag = "images",
    responses((status = 200, body = ImageTag)))]
async fn get(
    cx: Context,
    Path((project, tag)): Path<(Name, Tag)>,
    _none: NoQuery,
) -> Result<One<ImageTag>, Failure> {
    Ok(One::ok(
        app::image_tag::get(cx.core(), &cx.caller, &project, &tag).await?,
    ))
}

/// Deletes a tag. The image that it points at stays.
#[utoipa::path(delete, path = "/v1/projects/{project}/image-tags/{tag}", operation_id = "image_tag_delete", tag = "images",
    responses((status = 204, description = "It is gone")))]
async fn delete(
    cx: Context,
    Path((project, tag)): Path<(Name, Tag)>,
    _none: NoQuery,
    seen: IfMatch,
) -> Result<StatusCode, Failure> {
    let seen = seen
        .generation(app::image_tag::get(cx.core(), &cx.caller, &project, &tag))
        .await?;
    app::image_tag::delete(cx.core(), &cx.caller, &project, &tag, seen).await?;
    Ok(StatusCode::NO_CONTENT)
}
