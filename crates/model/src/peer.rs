//! Peers: one device of one person, which reaches exactly the networks it was given.

use std::net::{Ipv4Addr, Ipv6Addr};

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{Name, NetworkId, PeerId};

/// What is asked of a peer. Its private key is made on the device and never sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PeerSpec {
    /// The device's WireGuard public key: 32 bytes in base64. Cannot be changed later.
    #[schema(example = "mEpV0Ix8Qw9tq8Yy6nqkK1uYp3oZ7bqkT0bF0d3w0V0=")]
    pub public_key: String,
    /// The names of the networks that it may reach.
    #[serde(default)]
    pub networks: Vec<Name>,
}

/// A peer as the router of one of its networks is told to keep it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerPlacement {
    pub peer: PeerId,
    pub network: NetworkId,
    /// 32 bytes in base64.
    pub public_key: String,
    pub ipv4: Ipv4Addr,
    pub ipv6: Ipv6Addr,
}
