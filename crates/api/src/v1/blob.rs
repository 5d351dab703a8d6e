//! The bytes of images, named by their SHA-256.

mod range;

use std::io;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::header::{
    ACCEPT_RANGES, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, HeaderValue,
};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use rhyzome_app as app;
use rhyzome_app::upload::{Appended, Part};
use rhyzome_model::image::Blob;
use rhyzome_model::{Digest, Name, Size};
use tokio_stream::{Stream, StreamExt};
use tokio_util::io::{ReaderStream, StreamReader};
use tracing::Instrument as _;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::context::{Api, Context};
use crate::extract::{NoQuery, Path};
use crate::problem::{Failure, Refused};

/// How long an upload may pause.
const STALLED: Duration = Duration::from_secs(60);
/// Bytes a piece of a download has.
const PIECE: usize = 128 << 10;

pub fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(upload, download, head))
}

/// Uploads bytes in one request. They are kept if their SHA-256 is the digest in the path; an upload that breaks off can be gone on with as [`upload_append`](#operation/upload_append) says.
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
    let part = Part {
        digest,
        size: length(&headers)?,
        offset: 0,
        anew: true,
    };
    let known = app::image::blob(cx.core(), &cx.caller, &project, digest)
        .await
        .is_ok();
    let Appended::Wholly(blob) = receive(cx, project, part, body).await? else {
        return Err(Refused::Broken.into());
    };
    let status = if known {
        StatusCode::OK
    } else {
        StatusCode::CREATED
    };
    Ok((status, axum::Json(blob)))
}

/// Says whether the project has bytes, and how many they are.
#[utoipa::path(head, path = "/v1/projects/{project}/blobs/{digest}", operation_id = "blob_head", tag = "images",
    responses((status = 200, description = "It has them")))]
async fn head(
    cx: Context,
    Path((project, digest)): Path<(Name, Digest)>,
    _none: NoQuery,
) -> Result<Response, Failure> {
    let blob = app::image::blob(cx.core(), &cx.caller, &project, digest).await?;
    app::image::blob_asked_for(cx.core(), digest).await?;
    let mut response = StatusCode::OK.into_response();
    describe(response.headers_mut(), digest, blob.size.as_bytes());
    Ok(response)
}

/// Downloads bytes: all of them, or the range that `Range` names.
#[utoipa::path(get, path = "/v1/projects/{project}/blobs/{digest}", operation_id = "blob_download", tag = "images",
    params(("Range" = Option<String>, Header, description = "One range, as `bytes=1024-`")),
    responses(
        (status = 200, description = "All bytes", content_type = "application/octet-stream"),
        (status = 206, description = "The range", content_type = "application/octet-stream"),
        (status = 416, description = "There are no such bytes")))]
async fn download(
    cx: Context,
    Path((project, digest)): Path<(Name, Digest)>,
    _none: NoQuery,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    let blob = app::image::blob(cx.core(), &cx.caller, &project, digest).await?;
    let size = blob.size.as_bytes();
    let Ok(asked) = range::asked(&headers, &etag(digest), size) else {
        let mut response = StatusCode::RANGE_NOT_SATISFIABLE.into_response();
        header(
            response.headers_mut(),
            CONTENT_RANGE,
            format!("bytes */{size}"),
        );
        return Ok(response);
    };
    let (start, end) = asked.unwrap_or((0, size));
    let bytes = app::blob::read(cx.core(), digest, (start, end)).await?;
    let body = Body::from_stream(ReaderStream::with_capacity(bytes, PIECE));
    let mut response = body.into_response();
    describe(response.headers_mut(), digest, end - start);
    if asked.is_some() {
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
        let range = format!("bytes {start}-{}/{size}", end - 1);
        header(response.headers_mut(), CONTENT_RANGE, range);
    }
    Ok(response)
}

fn etag(digest: Digest) -> String {
    format!("\"sha256:{digest}\"")
}

fn describe(headers: &mut HeaderMap, digest: Digest, length: u64) {
    header(headers, ETAG, etag(digest));
    header(headers, CONTENT_LENGTH, length.to_string());
    header(headers, ACCEPT_RANGES, "bytes".to_owned());
    header(headers, CONTENT_TYPE, "application/octet-stream".to_owned());
}

fn header(headers: &mut HeaderMap, name: axum::http::HeaderName, value: String) {
    let value = HeaderValue::try_from(value).expect("digits and plain words");
    headers.insert(name, value);
}

/// Receives a body. Goes on without the caller, to keep what came before a connection broke.
pub(super) async fn receive(
    cx: Context,
    project: Name,
    part: Part,
    body: Body,
) -> Result<Appended, Failure> {
    let detached = cx.api.detached.clone();
    let bytes = StreamReader::new(pieces(body));
    let work =
        async move { app::upload::append(cx.core(), &cx.caller, &project, part, bytes).await };
    let work = app::audit::carried(work).in_current_span();
    match detached.spawn(work).await {
        Ok(appended) => Ok(appended?),
        Err(_) => Err(Refused::Panicked.into()),
    }
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
