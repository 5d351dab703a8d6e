//! SSH public keys of a project, for its instances' users.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::Name;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SshKeySpec {
    /// One line as in `authorized_keys`, without options: type, base64, comment.
    #[schema(example = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ… me@laptop")]
    pub public_key: String,
}

/// A key as an instance has it: what it was when the instance was told of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PinnedKey {
    pub name: Name,
    pub public_key: String,
}
