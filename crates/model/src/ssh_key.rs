//! SSH public keys of a project, for its instances' users.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SshKeySpec {
    /// One line as in `authorized_keys`, without options: type, base64, comment.
    #[schema(example = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ… me@laptop")]
    pub public_key: String,
}
