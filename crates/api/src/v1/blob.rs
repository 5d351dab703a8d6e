//! The bytes of images, named by their SHA-256.

use std::io;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::header::CONTENT_LENGTH;
use axum::http::{HeaderMap, StatusCode};
use rhyzome_app as app;
use rhyzome_model::image::Blob;
use rhyzome_model::{Digest, Name, Size};
use tokio_stream::{Stream, StreamExt};
use tokio_util::io::StreamReader;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::context::{Api, Context};
use crate::extract::{NoQuery, Path};
use crate::problem::{Failure, Refused};

/// How long an upload may pause.
const STALLED: Duration = Duration::from_secs(60);

pub fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(upload, head))
}

/// Uploads bytes. They are kept if their SHA-256 is the digest in the path.
#[utoipa::path(put, path = "/v1/projects/{project}/blobs/{digest}", operation_id = "blob_upload", tag = "images",
    request_body(content = Vec<u8>, content_type = "application/octet-stream"),
    responses(
        (status = 201, body = Blob, description = "They are kept"),
        (status = 200, body = Blob, description = "The project had them already")))]
async fn upload(
    cx: Context,
    Path((project, digest)): Path<(Name, Digest)>,
    _none: NoQuery,
    headers: HeaderMap,
    body: Body,
) -> Result<(StatusCode, axum::Json<Blob>), Failure> {
    let size = length(&headers)?;
    let known = app::image::blob(cx.core(), &cx.caller, &project, digest)
        .await
        .is_ok();
    let bytes = StreamReader::new(pieces(body));
    let blob =
        app::image::blob_upload(cx.core(), &cx.caller, &project, (digest, size), bytes).await?;
    let status = if known {
        StatusCode::OK
    } else {
        StatusCode::CREATED
    };
    Ok((status, axum::Json(blob)))
}

/// Says whether the project has bytes.
#[utoipa::path(head, path = "/v1/projects/{project}/blobs/{digest}", operation_id = "blob_head", tag = "images",
    responses((status = 200, description = "It has them")))]
async fn head(
    cx: Context,
    Path((project, digest)): Path<(Name, Digest)>,
    _none: NoQuery,
) -> Result<StatusCode, Failure> {
    app::image::blob(cx.core(), &cx.caller, &project, digest).await?;
    Ok(StatusCode::OK)
}

/// The body as it comes; one that stalls has ended.
fn pieces(body: Body) -> impl Stream<Item = io::Result<Bytes>> + Send {
    body.into_data_stream()
        .timeout(STALLED)
        .map(|piece| match piece {
            Ok(piece) => piece.map_err(io::Error::other),
            Err(_) => Err(io::ErrorKind::TimedOut.into()),
        })
}

fn length(headers: &HeaderMap) -> Result<Size, Refused> {
    let value = headers
        .get(CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok());
    let bytes = value
        .and_then(|text| text.parse().ok())
        .ok_or(Refused::LengthRequired)?;
    Ok(Size::bytes(bytes))
}
