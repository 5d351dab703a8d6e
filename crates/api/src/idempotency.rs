//! `Idempotency-Key` on every POST: the same request again gets the first one's answer and does
//! nothing.
//!
//! Keys and answers are rows, so they hold across restarts. Only what was done is kept:
//! after a refusal or a failure the request may be sent again with its key. A secret is never kept; its
//! repetition is refused. The work goes on when the caller hangs up, or the answer that they come back
//! for would be missing.

use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::header::{CONTENT_TYPE, ETAG, HeaderName, HeaderValue};
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http_body_util::BodyExt;
use rhyzome_app::idempotency::{self as keys, Begin, Begun};
use rhyzome_store::idempotency::Answer;
use sha2::{Digest, Sha256};
use tokio::time::{Instant, sleep};
use tracing::Instrument;

use crate::context::{Api, Context};
use crate::extract;
use crate::problem::{Failure, Refused};
use crate::wait::{Wait, WaitQuery};

/// The request's header.
pub const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// The answer's header that says that it is an earlier one's.
pub const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// How long a repetition waits for the first request, besides its own `?wait=`.
const PATIENCE: Duration = Duration::from_secs(10);
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// Marks an answer that shows a secret, as an extension of the response.
#[derive(Debug, Clone, Copy)]
pub struct Secret;

pub async fn idempotent(
    State(api): State<Api>,
    request: Request,
    next: Next,
) -> Result<Response, Failure> {
    if request.method() != Method::POST {
        return Ok(next.run(request).await);
    }
    let Some(key) = key(request.headers())? else {
        return Ok(next.run(request).await);
    };
    let (mut parts, body) = request.into_parts();
    let cx =
        <Context as axum::extract::FromRequestParts<Api>>::from_request_parts(&mut parts, &api)
            .await?;
    let body = extract::body(body).await?;
    let hash = request_hash(parts.uri.path(), &body);
    let patience = PATIENCE + waits(&parts.uri);
    let begun = match begin(&cx, &key, &hash, patience).await? {
        Known::New(begun) => begun,
        Known::Earlier(earlier) => return Ok(earlier),
    };
    let request = Request::from_parts(parts, Body::from(body));
    let work = async move {
        let response = keys::during(&begun, next.run(request)).await;
        finish(begun, response).await
    };
    let work = rhyzome_app::audit::carried(work).in_current_span();
    match api.detached.spawn(work).await {
        Ok(answer) => answer,
        Err(_) => Err(Refused::Panicked.into()),
    }
}

/// A request's key: 1 to 128 visible ASCII characters.
///
/// # Errors
/// It is something else.
pub fn key(headers: &HeaderMap) -> Result<Option<String>, Refused> {
    let Some(value) = headers.get(&IDEMPOTENCY_KEY) else {
        return Ok(None);
    };
    match value.to_str() {
        Ok(key) if (1..=128).contains(&key.len()) && key.bytes().all(|c| c.is_ascii_graphic()) => {
            Ok(Some(key.to_owned()))
        }
        _ => Err(Refused::Invalid {
            field: "Idempotency-Key".to_owned(),
            detail: "an Idempotency-Key has 1 to 128 visible ASCII characters".to_owned(),
        }),
    }
}

/// Path and body make a request; how long its caller waits does not.
fn request_hash(path: &str, body: &[u8]) -> String {
    let mut hash = Sha256::new();
    hash.update(path.as_bytes());
    hash.update([0]);
    hash.update(body);
    hash.finalize()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// How long the caller is ready to wait. A query that is wrong is refused by the handler.
fn waits(uri: &Uri) -> Duration {
    let query = extract::query::<WaitQuery>(uri)
        .ok()
        .and_then(|query| query.wait);
    query.map_or(Duration::ZERO, Wait::time)
}

/// What is known of a request.
enum Known {
    /// It is the first with its key.
    New(Begun),
    /// This was the answer to the first one.
    Earlier(Response),
}

async fn begin(cx: &Context, key: &str, hash: &str, patience: Duration) -> Result<Known, Failure> {
    let deadline = Instant::now() + patience;
    loop {
        match keys::begin(cx.core(), &cx.caller, key, hash).await? {
            Begin::New(begun) => return Ok(Known::New(begun)),
            Begin::Replay(answer) => return Ok(Known::Earlier(replay(answer))),
            Begin::Lost(subject) => {
                let value = keys::answer(cx.core(), &cx.caller, &subject).await?;
                return Ok(Known::Earlier(replay(Answer {
                    status: StatusCode::OK.as_u16(),
                    etag: None,
                    body: Some(value.to_string()),
                })));
            }
            Begin::InProgress if Instant::now() < deadline && !cx.api.stopping.is_cancelled() => {
                sleep(LOOK_AGAIN).await;
            }
            Begin::InProgress => return Err(Refused::InProgress.into()),
        }
    }
}

fn replay(answer: Answer) -> Response {
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::OK);
    let mut response = (status, answer.body.unwrap_or_default()).into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(REPLAYED, HeaderValue::from_static("true"));
    if let Some(value) = answer
        .etag
        .and_then(|etag| HeaderValue::from_str(&etag).ok())
    {
        headers.insert(ETAG, value);
    }
    response
}

/// Keeps the answer of what was done, and forgets the key of what was not.
async fn finish(begun: Begun, response: Response) -> Result<Response, Failure> {
    if !response.status().is_success() {
        keys::abandon(begun).await?;
        return Ok(response);
    }
    let (parts, body) = response.into_parts();
    let body = body
        .collect()
        .await
        .map_or_else(|_| Bytes::new(), |body| body.to_bytes());
    let etag = parts
        .headers
        .get(ETAG)
        .and_then(|value| value.to_str().ok());
    let secret = parts.extensions.get::<Secret>().is_some();
    let answer = Answer {
        status: parts.status.as_u16(),
        etag: etag.map(str::to_owned),
        body: (!secret).then(|| String::from_utf8_lossy(&body).into_owned()),
    };
    keys::finish(begun, &answer).await?;
    Ok(Response::from_parts(parts, Body::from(body)))
}
