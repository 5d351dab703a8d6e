//! Events: what happened, as a stream or a page at a time.

use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use rhyzome_app as app;
use rhyzome_model::Name;
use rhyzome_model::event::Event;
use rhyzome_wire::Page;
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::context::{Api, Context};
use crate::extract::{Path, Query};
use crate::page::{Limit, page};
use crate::problem::Failure;
use crate::sse;

pub fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(list_of_site))
}

/// Where to begin, and whether to go on.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct EventQuery {
    /// The id of the last event that the caller has seen; by default all that are kept are told. The
    /// header `Last-Event-ID` goes before it.
    #[serde(default)]
    #[param(minimum = 0)]
    after: i64,
    /// `true`: a stream (`text/event-stream`) that goes on until the caller ends it. `false`: one page.
    #[serde(default = "yes")]
    #[param(default = true, required = false)]
    follow: bool,
    /// How many events a page has at most: 1 to 1000.
    #[serde(default)]
    #[param(value_type = u32, minimum = 1, maximum = 1000, default = 100, required = false)]
    limit: Limit,
}

fn yes() -> bool {
    true
}

/// Tells a project's events, in the order in which they were committed: `id:` is the event's id,
/// `event:` what happened, `data:` the event.
#[utoipa::path(get, path = "/v1/projects/{project}/events", operation_id = "event_list", tag = "events",
    params(EventQuery),
    responses((status = 200, content((Event = "text/event-stream"), (Page<Event> = "application/json")))))]
async fn list(
    cx: Context,
    Path(project): Path<Name>,
    Query(query): Query<EventQuery>,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    answer(cx, Some(project), query, &headers).await
}

/// Tells the events of the whole site, in the order in which they were committed.
#[utoipa::path(get, path = "/v1/events", operation_id = "site_event_list", tag = "events",
    params(EventQuery),
    responses((status = 200, content((Event = "text/event-stream"), (Page<Event> = "application/json")))))]
async fn list_of_site(
    cx: Context,
    Query(query): Query<EventQuery>,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    answer(cx, None, query, &headers).await
}

async fn answer(
    cx: Context,
    project: Option<Name>,
    query: EventQuery,
    headers: &HeaderMap,
) -> Result<Response, Failure> {
    let after = sse::last_event_id(headers)?.unwrap_or(query.after);
    if query.follow {
        return sse::follow(cx, sse::Source::Events(project), after).await;
    }
    let limit = query.limit.get();
    let events = app::event::after(cx.core(), &cx.caller, project.as_ref(), after, limit).await?;
    let full = events.len() == limit as usize;
    let next = events
        .last()
        .filter(|_| full)
        .map(|event| event.id.to_string());
    Ok(page((events, next)).into_response())
}
