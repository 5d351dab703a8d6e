//! Errors as `application/problem+json` (RFC 9457).

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What went wrong, for programs by `code` and for people by `detail`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Problem {
    /// Always `about:blank`: the code says what it is.
    #[serde(rename = "type")]
    pub kind: String,
    /// The HTTP status' own words.
    pub title: String,
    pub status: u16,
    /// Stable: `not_found`, `name_taken`, `in_use`, `invalid`, `no_capacity`, …
    pub code: String,
    /// A sentence that says what to do about it, where something can be done.
    pub detail: String,
    /// The field of the request that is wrong, as in `spec.memory`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// Find it in the core's log with this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
}
