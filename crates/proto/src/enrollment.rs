//! Joining: what a component without a certificate says.

use std::fmt;

use rhyzome_model::Name;
use rhyzome_model::component::ComponentKind;

use crate::invalid::{Invalid, text};
use crate::pb;
use crate::placement::component_kind;

/// A component's wish to join. `Debug` does not show the token.
#[derive(Clone, PartialEq, Eq)]
pub struct Join {
    /// The whole text of the one-time token.
    pub token: String,
    /// PKCS #10 in DER.
    pub csr: Vec<u8>,
    pub kind: ComponentKind,
    pub name: Option<Name>,
    pub hostname: String,
}

impl fmt::Debug for Join {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Join")
            .field("kind", &self.kind)
            .field("name", &self.name)
            .field("hostname", &self.hostname)
            .finish_non_exhaustive()
    }
}

impl From<Join> for pb::JoinRequest {
    fn from(join: Join) -> Self {
        Self {
            token: join.token,
            csr: join.csr,
            kind: pb::ComponentKind::from(join.kind).into(),
            name: join.name.map(Into::into),
            hostname: join.hostname,
        }
    }
}

impl TryFrom<pb::JoinRequest> for Join {
    type Error = Invalid;

    fn try_from(join: pb::JoinRequest) -> Result<Self, Invalid> {
        Ok(Self {
            token: join.token,
            csr: join.csr,
            kind: component_kind("kind", join.kind)?,
            name: join.name.map(|name| text("name", &name)).transpose()?,
            hostname: join.hostname,
        })
    }
}
