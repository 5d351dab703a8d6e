//! Identities of resources: a UUID each, with a type of its own so that one cannot stand for another.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

/// A text that is no id of the kind asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a {kind}")]
pub struct InvalidId {
    pub kind: &'static str,
    pub text: String,
}

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident = $kind:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
        #[serde(transparent)]
        #[schema(value_type = String, format = "uuid")]
        pub struct $name(pub Uuid);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), self.0)
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;
            fn from_str(text: &str) -> Result<Self, InvalidId> {
                Uuid::parse_str(text)
                    .map(Self)
                    .map_err(|_| InvalidId { kind: $kind, text: text.to_owned() })
            }
        }
    )*};
}

ids! {
    /// A project, the tenant.
    ProjectId = "project id";
    /// A component: one program on one host, with a certificate of its own.
    ComponentId = "component id";
    /// A name for an image inside a project (the bytes are named by their digest).
    ImageId = "image id";
    /// A tag that points at an image.
    ImageTagId = "image tag id";
    /// A network.
    NetworkId = "network id";
    /// A lease: an interface's addresses in a network.
    LeaseId = "lease id";
    /// A peer: one device of one person.
    PeerId = "peer id";
    /// An instance.
    InstanceId = "instance id";
    /// An SSH public key of a project.
    SshKeyId = "SSH key id";
    /// A token for the HTTP API.
    ApiTokenId = "API token id";
    /// A person.
    UserId = "user id";
    /// A code that lets one person into a project.
    InvitationId = "invitation id";
    /// A person who has logged in, on one device.
    SessionId = "session id";
    /// A resource's part on one component.
    PlacementId = "placement id";
    /// A job.
    JobId = "job id";
}

/// The first 40 bits of an id as 10 hexadecimal digits: for names of links and namespaces, which have
/// to fit 15 bytes (`IFNAMSIZ` less the terminating zero, linux/if.h).
///
/// Takes the *last* bytes of the UUID: in version 7 the first ones are the time, which two networks
/// made in the same millisecond share.
pub fn short(id: Uuid) -> String {
    hex::encode(&id.as_bytes()[11..16])
}
