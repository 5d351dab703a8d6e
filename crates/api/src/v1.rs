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
pub mod invitation;
pub mod job;
pub mod login;
pub mod member;
pub mod network;
pub mod peer;
pub mod project;
pub mod quota;
pub mod site;
pub mod ssh_key;
pub mod token;
pub mod upload;
pub mod user;

use utoipa_axum::router::OpenApiRouter;

use crate::context::Api;

/// All that only known callers may ask for.
pub fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .merge(site::router())
        .merge(project::router())
        .merge(quota::router())
        .merge(component::router())
        .merge(token::router())
        .merge(api_token::router())
        .merge(login::router())
        .merge(user::router())
        .merge(member::router())
        .merge(invitation::router())
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

/// What people ask who are not known yet.
pub fn open() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .merge(login::open())
        .merge(invitation::open())
}
