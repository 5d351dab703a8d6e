//! For those who run the core: is it alive, is it ready, its figures, its definition.

use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use axum::response::{Html, IntoResponse};
use rhyzome_app as app;
use rhyzome_model::job::JobState;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::context::{Api, Context};
use crate::extract::NoQuery;
use crate::metrics::Observed;
use crate::problem::{Failure, chain};
use crate::{docs, openapi};

/// What everybody may ask.
pub fn open() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(healthz))
        .routes(routes!(readyz))
        .routes(routes!(definition))
        .routes(routes!(documentation))
}

/// What only known callers may ask.
pub fn closed() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(metrics))
}

/// Says that the core runs.
#[utoipa::path(get, path = "/healthz", operation_id = "healthz", tag = "operation", security(()),
    responses((status = 200, body = String, content_type = "text/plain", description = "It runs")))]
async fn healthz() -> &'static str {
    "alive\n"
}

/// Says whether the core can do its work: its database answers, and it is not about to stop.
#[utoipa::path(get, path = "/readyz", operation_id = "readyz", tag = "operation", security(()),
    responses(
        (status = 200, body = String, content_type = "text/plain", description = "It is ready"),
        (status = 503, body = String, content_type = "text/plain", description = "It is not ready")))]
async fn readyz(State(api): State<Api>) -> (StatusCode, &'static str) {
    if api.stopping.is_cancelled() {
        return (StatusCode::SERVICE_UNAVAILABLE, "stopping\n");
    }
    match api.core.store.ready().await {
        Ok(()) => (StatusCode::OK, "ready\n"),
        Err(error) => {
            tracing::warn!(error = chain(&error), "the core is not ready");
            let why = match error {
                rhyzome_store::Error::ReadOnly { .. } => {
                    "the database can only be read: it is a replica, or still recovering\n"
                }
                _ => "the database does not answer\n",
            };
            (StatusCode::SERVICE_UNAVAILABLE, why)
        }
    }
}

/// Shows the core's figures for Prometheus.
#[utoipa::path(get, path = "/metrics", operation_id = "metrics", tag = "operation",
    responses((status = 200, body = String, content_type = "application/openmetrics-text", description = "In the text format of OpenMetrics")))]
async fn metrics(cx: Context, _none: NoQuery) -> Result<impl IntoResponse + use<>, Failure> {
    app::authorize::authorize(&cx.caller, app::Operation::MetricsRead, None)?;
    let observed = observe(cx.core()).await.map_err(app::Error::from)?;
    let text = cx.api.metrics.text(&observed);
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    Ok(([(CONTENT_TYPE, kind)], text))
}

async fn observe(core: &app::Core) -> rhyzome_store::Result<Observed> {
    let mut conn = core.store.read().await?;
    let mut observed = Observed::default();
    for state in JobState::ALL {
        observed
            .jobs
            .push((state, rhyzome_store::job::count(&mut conn, state).await?));
    }
    observed.connected = rhyzome_store::component::connected(&mut conn).await?;
    Ok(observed)
}

/// Shows this definition.
#[utoipa::path(get, path = "/openapi.json", operation_id = "openapi", tag = "operation", security(()),
    responses((status = 200, description = "OpenAPI 3.1", content_type = "application/json")))]
async fn definition() -> impl IntoResponse {
    let headers = [
        (CONTENT_TYPE, "application/json"),
        (CACHE_CONTROL, "no-cache"),
    ];
    (headers, openapi::text())
}

/// Shows this definition for reading.
#[utoipa::path(get, path = "/docs", operation_id = "docs", tag = "operation", security(()),
    responses((status = 200, description = "HTML", content_type = "text/html")))]
async fn documentation() -> impl IntoResponse {
    let policy =
        "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'";
    ([(CONTENT_SECURITY_POLICY, policy)], Html(docs::page()))
}
