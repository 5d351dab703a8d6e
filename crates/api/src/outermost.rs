//! The layer around every request, known route or not: its id, its span, the access log and the
//! figures, a handler's panic, and the writing of problems.
//!
//! What is logged of a request: method, path without the query, operation, status, time, caller. Never
//! a header or a body: tokens are in them.

use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::time::Instant;

use axum::body::Body;
use axum::extract::{MatchedPath, Request, State};
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderName, HeaderValue};
use axum::http::{Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures::FutureExt;
use rhyzome_app as app;
use rhyzome_wire::Problem;
use tracing::Instrument;

use crate::address;
use crate::context::Api;
use crate::limits::Limit;
use crate::problem::{Failure, Refused};

/// The header that every answer carries.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Where a request came from: as the listener saw it or, from a trusted proxy, as that one said. The port
/// is 0 then.
#[derive(Debug, Clone, Copy)]
pub struct Remote(pub SocketAddr);

/// The id of a request, also in what it leads to.
#[derive(Debug, Clone)]
pub struct RequestId(pub String);

pub async fn outermost(State(api): State<Api>, mut request: Request, next: Next) -> Response {
    if let Some(Remote(remote)) = request.extensions().get().copied() {
        let origin = address::origin(&api.proxy, remote, request.headers());
        request.extensions_mut().insert(Remote(origin));
    }
    let id = request_id(&request);
    request.extensions_mut().insert(RequestId(id.clone()));
    let mut access = Access::begin(&api, &request);
    let span = tracing::info_span!("request", request_id = %id);
    async {
        let run = AssertUnwindSafe(next.run(request)).catch_unwind();
        let response = match run.await {
            Ok(response) => response,
            Err(_) => Failure::from(Refused::Panicked).into_response(),
        };
        let response = finish(response, &id);
        access.end(&response);
        response
    }
    .instrument(span)
    .await
}

/// A proxy's id is kept, if it can do no harm in a log.
fn request_id(request: &Request) -> String {
    let given = request
        .headers()
        .get(REQUEST_ID)
        .and_then(|value| value.to_str().ok());
    let harmless = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'_' | b'.');
    match given {
        Some(id) if (8..=64).contains(&id.len()) && id.bytes().all(harmless) => id.to_owned(),
        _ => uuid::Uuid::now_v7().to_string(),
    }
}

/// Writes the problem, if there is one, and the headers of every answer.
fn finish(mut response: Response, id: &str) -> Response {
    if let Some(mut problem) = response.extensions_mut().remove::<Problem>() {
        problem.request_id = Some(id.to_owned());
        let text = serde_json::to_vec(&problem).unwrap_or_default();
        let headers = response.headers_mut();
        headers.insert(
            CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        headers.insert(CONTENT_LENGTH, HeaderValue::from(text.len()));
        *response.body_mut() = Body::from(text);
    }
    let headers = response.headers_mut();
    headers.insert(
        "x-content-type-options",
        HeaderValue::from_static("nosniff"),
    );
    if let Ok(value) = HeaderValue::from_str(id) {
        headers.insert(REQUEST_ID, value);
    }
    response
}

/// One request in the access log; also one whose caller went away before the answer.
struct Access {
    api: Api,
    began: Instant,
    method: Method,
    path: String,
    operation: String,
    remote: Option<SocketAddr>,
    ended: bool,
}

impl Access {
    fn begin(api: &Api, request: &Request) -> Self {
        let route = request
            .extensions()
            .get::<MatchedPath>()
            .map(MatchedPath::as_str);
        let operation = api.metrics.operation(request.method(), route);
        api.metrics.began();
        Self {
            api: api.clone(),
            began: Instant::now(),
            method: request.method().clone(),
            path: request.uri().path().to_owned(),
            operation,
            remote: request.extensions().get::<Remote>().map(|remote| remote.0),
            ended: false,
        }
    }

    fn end(&mut self, response: &Response) {
        if let Some(limit) = response.extensions().get::<Limit>() {
            self.api.metrics.refused(*limit);
        }
        let caller = response.extensions().get::<app::Caller>();
        self.write(
            Some(response.status()),
            caller.map(|caller| caller.name.as_str()),
        );
    }

    fn write(&mut self, status: Option<StatusCode>, caller: Option<&str>) {
        self.ended = true;
        let took = self.began.elapsed();
        // 499 as proxies log it: nobody waited for the answer.
        let status = status.map_or(499, |status| status.as_u16());
        self.api.metrics.ended(&self.operation, status, took);
        tracing::info!(
            method = %self.method,
            path = self.path,
            operation = self.operation,
            status,
            took_ms = took.as_secs_f64() * 1e3,
            caller,
            remote = self.remote.map(tracing::field::display),
            "request"
        );
    }
}

impl Drop for Access {
    fn drop(&mut self) {
        if !self.ended {
            self.write(None, None);
        }
    }
}
