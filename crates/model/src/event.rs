//! Events: what happened, in the order in which it was committed.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{Name, Timestamp};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Event {
    /// The position in the order of events; readers resume behind it.
    pub id: i64,
    pub time: Timestamp,
    /// The project it belongs to; none for what belongs to the site.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub project: Option<Name>,
    /// `instance`, `network`, `peer`, `image`, `component`, `job`, …
    pub resource_kind: String,
    #[schema(value_type = String, format = "uuid")]
    pub resource_id: Uuid,
    /// The resource's name when it happened.
    pub resource_name: String,
    /// What happened: `created`, `updated`, `deleting`, `deleted`, `ready`, `failed`, `drifted`, `mended`, …
    pub what: String,
    /// A sentence for people.
    pub message: String,
}
