//! Uploads that go on: bytes come in as many requests as it takes.

use axum::body::Body;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use rhyzome_app as app;
use rhyzome_app::upload::{Appended, Part};
use rhyzome_model::image::Upload;
use rhyzome_model::{Digest, Name, Size};
use rhyzome_wire::Page;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::blob::receive;
use crate::context::{Api, Context};
use crate::extract::{NoQuery, Path, Query};
use crate::page::{PageQuery, page};
use crate::problem::{Failure, Refused};

/// The place of the first byte sent, and how many the whole has.
const OFFSET: &str = "upload-offset";
const LENGTH: &str = "upload-length";

pub fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(append, get, delete))
}

/// Lists uploads that were not finished, by digest. They are forgotten if nobody goes on with them for a day.
#[utoipa::path(get, path = "/v1/projects/{project}/uploads", operation_id = "upload_list", tag = "images", params(PageQuery),
    responses((status = 200, body = Page<Upload>)))]
async fn list(
    cx: Context,
    Path(project): Path<Name>,
    Query(query): Query<PageQuery>,
) -> Result<axum::Json<Page<Upload>>, Failure> {
    Ok(page(
        app::upload::list(cx.core(), &cx.caller, &project, &query.request()).await?,
    ))
}

/// Sends bytes from `Upload-Offset` on, of a blob of `Upload-Length` bytes. As many as came are kept, also where the request breaks off; with the last one the blob is there, if its SHA-256 is the digest in the path.
#[utoipa::path(patch, path = "/v1/projects/{project}/uploads/{digest}", operation_id = "upload_append", tag = "images",
    params(("Upload-Offset" = u64, Header, description = "The place of the first byte sent: 0, or the upload's `offset`"),
        ("Upload-Length" = u64, Header, description = "How many bytes the blob has")),
    request_body(content = Vec<u8>, content_type = "application/octet-stream"),
    responses(
        (status = 201, body = rhyzome_model::image::Blob, description = "All are there, and the project has the blob"),
        (status = 202, body = Upload, description = "More are missing")))]
async fn append(
    cx: Context,
    Path((project, digest)): Path<(Name, Digest)>,
    _none: NoQuery,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Failure> {
    let part = Part {
        digest,
        size: Size::bytes(number(&headers, LENGTH)?),
        offset: number(&headers, OFFSET)?,
        anew: false,
    };
    Ok(match receive(cx, project, part, body).await? {
        Appended::Wholly(blob) => (StatusCode::CREATED, axum::Json(blob)).into_response(),
        Appended::Partly(upload) => (StatusCode::ACCEPTED, axum::Json(upload)).into_response(),
    })
}

/// Says how far an upload is.
#[utoipa::path(get, path = "/v1/projects/{project}/uploads/{digest}", operation_id = "upload_get", tag = "images",
    responses((status = 200, body = Upload)))]
async fn get(
    cx: Context,
    Path((project, digest)): Path<(Name, Digest)>,
    _none: NoQuery,
) -> Result<axum::Json<Upload>, Failure> {
    let found = app::upload::get(cx.core(), &cx.caller, &project, digest).await?;
    Ok(axum::Json(found))
}

/// Throws away what has come of an upload.
#[utoipa::path(delete, path = "/v1/projects/{project}/uploads/{digest}", operation_id = "upload_delete", tag = "images",
    responses((status = 204, description = "It is gone")))]
async fn delete(
    cx: Context,
    Path((project, digest)): Path<(Name, Digest)>,
    _none: NoQuery,
) -> Result<StatusCode, Failure> {
    app::upload::delete(cx.core(), &cx.caller, &project, digest).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn number(headers: &HeaderMap, name: &str) -> Result<u64, Refused> {
    let text = headers.get(name).and_then(|value| value.to_str().ok());
    let number = text.and_then(|text| text.trim().parse().ok());
    number.ok_or_else(|| Refused::Invalid {
        field: name.to_owned(),
        detail: format!("the request needs a header {name} with a number of bytes"),
    })
}
