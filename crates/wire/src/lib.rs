//! The HTTP API's JSON shapes that are no resource: envelopes, requests, problems. Shared by the
//! server (`api`) and the typed client, so that neither needs the other's libraries.
//!
//! Resources themselves are in `rhyzome_model::resource`.

pub mod console;
mod problem;
pub mod request;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

pub use problem::Problem;

/// A page of a list, in the order of names. Ask for the next with `?after=<next>`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Page<T> {
    pub items: Vec<T>,
    /// Where the next page begins; none at the end. To be given back as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}
