//! What goes wrong, as `application/problem+json` (RFC 9457): the one place that knows status codes.
//!
//! A handler fails with a [`Failure`]: either the use case's own error or a request that was refused
//! before any use case saw it. The response carries the [`Problem`] as an extension; the outermost
//! layer ([`crate::outermost`]) gives it the request's id and writes it.

use std::error::Error;
use std::time::Duration;

use axum::http::StatusCode;
use axum::http::header::{self, HeaderValue};
use axum::response::{IntoResponse, Response};
use rhyzome_app as app;
use rhyzome_wire::Problem;

use crate::limits::Limit;

/// Why a request was not done.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// What the use case said.
    #[error(transparent)]
    App(#[from] app::Error),
    /// The request was refused before any use case saw it.
    #[error(transparent)]
    Refused(#[from] Refused),
}

/// Requests that no use case sees.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    #[error("the body is no JSON: {0}")]
    Malformed(String),
    #[error("{detail}")]
    UnknownField { field: String, detail: String },
    #[error("{detail}")]
    Invalid { field: String, detail: String },
    #[error("there is nothing at this path that you may see")]
    NotFound,
    #[error("this path does not know the method {0}")]
    Method(String),
    #[error("the body has more than {limit} bytes")]
    TooLarge { limit: usize },
    #[error("the body ended before its end")]
    Broken,
    #[error("the body did not arrive in time")]
    TooSlow,
    #[error("the body has to be of the type {wanted}")]
    MediaType { wanted: &'static str },
    #[error("the request needs a Content-Length")]
    LengthRequired,
    #[error("an equal request with this Idempotency-Key is still being worked on")]
    InProgress,
    #[error(
        "the path and the query have more than {} bytes",
        crate::limits::MAX_URI
    )]
    UriTooLong,
    #[error("the headers have more than {} bytes", crate::limits::MAX_HEADERS)]
    HeadersTooLarge,
    #[error("{}; try again in {} s", .limit.detail(), whole_seconds(.pause))]
    TooMany { limit: Limit, pause: Duration },
    #[error("the core failed at this request")]
    Panicked,
}

/// Status, code, and the field that is wrong.
type Named<'a> = (StatusCode, &'static str, Option<&'a str>);

impl Failure {
    /// As the caller sees it, without the request's id.
    pub fn problem(&self) -> Problem {
        let (status, code, field) = match self {
            Self::App(error) => of_app(error),
            Self::Refused(refused) => of_refused(refused),
        };
        let detail = match self {
            Self::App(error) => error.public().to_owned(),
            Self::Refused(refused) => refused.to_string(),
        };
        Problem {
            kind: "about:blank".to_owned(),
            title: status.canonical_reason().unwrap_or("Error").to_owned(),
            status: status.as_u16(),
            code: code.to_owned(),
            detail,
            field: field.map(str::to_owned),
            request_id: None,
        }
    }
}

fn of_refused(refused: &Refused) -> Named<'_> {
    match refused {
        Refused::Malformed(_) => (StatusCode::BAD_REQUEST, "malformed", None),
        Refused::Broken => (StatusCode::BAD_REQUEST, "malformed", None),
        Refused::UnknownField { field, .. } => (
            StatusCode::UNPROCESSABLE_ENTITY,
            "unknown_field",
            Some(field),
        ),
        Refused::Invalid { field, .. } => {
            (StatusCode::UNPROCESSABLE_ENTITY, "invalid", Some(field))
        }
        Refused::NotFound => (StatusCode::NOT_FOUND, "not_found", None),
        Refused::Method(_) => (StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", None),
        Refused::TooLarge { .. } => (StatusCode::PAYLOAD_TOO_LARGE, "too_large", None),
        Refused::MediaType { .. } => (
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "unsupported_media_type",
            None,
        ),
        Refused::TooSlow => (StatusCode::REQUEST_TIMEOUT, "too_slow", None),
        Refused::LengthRequired => (StatusCode::LENGTH_REQUIRED, "length_required", None),
        Refused::InProgress => (StatusCode::CONFLICT, "in_progress", None),
        Refused::UriTooLong => (StatusCode::URI_TOO_LONG, "too_large", None),
        Refused::HeadersTooLarge => (
            StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            "too_large",
            None,
        ),
        Refused::TooMany { limit, .. } => (StatusCode::TOO_MANY_REQUESTS, limit.code(), None),
        Refused::Panicked => (StatusCode::INTERNAL_SERVER_ERROR, "internal", None),
    }
}

fn of_app(error: &app::Error) -> Named<'_> {
    use app::Kind;
    let (status, code) = match error.kind() {
        Kind::NotFound => (StatusCode::NOT_FOUND, "not_found"),
        Kind::NameTaken => (StatusCode::CONFLICT, "name_taken"),
        Kind::InUse => (StatusCode::CONFLICT, "in_use"),
        Kind::WrongState => (StatusCode::CONFLICT, "wrong_state"),
        Kind::Invalid => (StatusCode::UNPROCESSABLE_ENTITY, "invalid"),
        Kind::NoCapacity => (StatusCode::CONFLICT, "no_capacity"),
        Kind::QuotaExceeded => (StatusCode::CONFLICT, "quota_exceeded"),
        Kind::Changed => (StatusCode::PRECONDITION_FAILED, "changed"),
        Kind::Unauthenticated => (StatusCode::UNAUTHORIZED, "unauthenticated"),
        Kind::Forbidden => (StatusCode::FORBIDDEN, "forbidden"),
        Kind::Unsupported => (StatusCode::UNPROCESSABLE_ENTITY, "unsupported"),
        Kind::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, "unavailable"),
        Kind::SecretAlreadyShown => (StatusCode::CONFLICT, "secret_already_shown"),
        Kind::KeyReused => (StatusCode::UNPROCESSABLE_ENTITY, "idempotency_key_reused"),
        Kind::Internal => (StatusCode::INTERNAL_SERVER_ERROR, "internal"),
    };
    (status, code, error.field())
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let problem = self.problem();
        let status =
            StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        if status == StatusCode::INTERNAL_SERVER_ERROR {
            // Within the request's span, which has its id.
            tracing::error!(error = chain(&self), "a request failed");
        }
        let mut response = status.into_response();
        let headers = response.headers_mut();
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(seconds) = self.retry_after(status) {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if let Self::Refused(Refused::TooMany { limit, .. }) = self {
            // For the figures.
            response.extensions_mut().insert(limit);
        }
        response.extensions_mut().insert(problem);
        response
    }
}

impl Failure {
    /// In whole seconds, and at least one.
    fn retry_after(&self, status: StatusCode) -> Option<u64> {
        match self {
            Self::Refused(Refused::TooMany { pause, .. }) => Some(whole_seconds(pause)),
            Self::Refused(Refused::InProgress) => Some(1),
            _ if status == StatusCode::SERVICE_UNAVAILABLE => Some(1),
            _ => None,
        }
    }
}

/// A pause as it is told: at least one second.
pub fn whole_seconds(pause: &Duration) -> u64 {
    let begun = u64::from(pause.subsec_nanos() > 0);
    (pause.as_secs() + begun).max(1)
}

/// An error with all its sources, in one line.
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        text.push_str(": ");
        text.push_str(&source.to_string());
        next = source.source();
    }
    text
}
