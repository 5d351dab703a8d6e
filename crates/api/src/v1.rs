//! The endpoints, one file a resource. An operation's id is its resource and its verb.

pub mod api_token;
pub mod audit;
pub mod blob;
pub mod component;
pub mod console;
pub mod event;
pub mod image;
pub mod image_tag;
pub mod instance;
pub mod job;
pub mod network;
pub mod peer;
pub mod project;
pub mod site;
pub mod ssh_key;
pub mod token;
pub mod upload;

use utoipa_axum::router::OpenApiRouter;

use crate::context::Api;

/// All that only known callers may ask for.
pub fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .merge(site::router())
        .merge(project::router())
        .merge(component::router())
        .merge(token::router())
        .merge(api_token::router())
        .merge(network::router())
        .merge(peer::router())
        .merge(blob::router())
        .merge(upload::router())
        .merge(image::router())
        .merge(image_tag::router())
        .merge(instance::router())
        .merge(console::router())
        .merge(ssh_key::router())
        .merge(job::router())
        .merge(event::router())
        .merge(audit::router())
}
