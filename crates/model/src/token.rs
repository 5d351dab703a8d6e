//! API tokens, which programs show.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::role::Role;

/// What is asked of an API token. It can be revoked, and is never changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ApiTokenSpec {
    /// One of a project's roles for a project's token, one of the site's for the site's.
    pub role: Role,
    /// How long it is good for, in seconds from now: 60 to 31622400, a year. For ever, if none is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_in: Option<u32>,
}
