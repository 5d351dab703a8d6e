//! The HTTP face of the core, and the binary `rhyzome-api`.
//!
//! A request passes, from outside to inside: [`outermost`] (id, log, figures, problems), then [`limits`],
//! then [`context::authenticated`] (who is calling), then [`idempotency`] (POSTs that may be repeated), then
//! one short handler of [`v1`], which takes apart what was sent, calls one use case of `rhyzome_app` and
//! puts the answer together. What may be done, and what it means, is decided there and not here.

pub mod acme;
pub mod address;
pub mod backup;
pub mod certificate;
pub mod clock;
pub mod command;
pub mod configuration;
pub mod context;
pub mod db_move;
pub mod docs;
pub mod etag;
pub mod extract;
pub mod gateway;
pub mod grpc;
pub mod idempotency;
pub mod limits;
pub mod logs;
pub mod metrics;
pub mod openapi;
pub mod operational;
pub mod outermost;
pub mod page;
pub mod problem;
pub mod serve;
pub mod sse;
pub mod start;
pub mod throttle;
pub mod v1;
pub mod wait;

use axum::Router;
use axum::middleware::{from_fn, from_fn_with_state};
use utoipa_axum::router::OpenApiRouter;

pub use context::Api;

/// All routes with all layers.
pub fn router(api: Api) -> Router {
    let (closed, _) = OpenApiRouter::new()
        .merge(v1::router())
        .merge(operational::closed())
        .split_for_parts();
    let closed = closed
        .route_layer(from_fn(limits::during))
        .route_layer(from_fn_with_state(api.clone(), idempotency::idempotent))
        .route_layer(from_fn_with_state(api.clone(), limits::waits))
        .route_layer(from_fn_with_state(api.clone(), context::authenticated));
    // Layers of what has no callers yet, but secrets that can be guessed.
    let (entrance, _) = v1::open().split_for_parts();
    let entrance = entrance
        .route_layer(from_fn_with_state(api.clone(), context::unknown))
        .route_layer(from_fn_with_state(api.clone(), limits::guesses));
    let (open, _) = operational::open().split_for_parts();
    open.merge(entrance)
        .merge(closed)
        .fallback(context::nothing_here)
        .method_not_allowed_fallback(context::no_such_method)
        .layer(from_fn_with_state(api.clone(), limits::limited))
        .layer(from_fn(limits::heads))
        .layer(from_fn_with_state(api.clone(), outermost::outermost))
        .with_state(api)
}
