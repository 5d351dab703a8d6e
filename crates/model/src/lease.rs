//! Leases: the addresses that the core allocated to an interface, before anything boots.

use std::net::{Ipv4Addr, Ipv6Addr};

use serde::{Deserialize, Serialize};

use crate::{LeaseId, MacAddr, Name, NetworkId};

/// A lease as the router is told to keep it: DHCP answers this MAC with these addresses and nobody
/// else with any; DNS answers the name with them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeasePlacement {
    pub lease: LeaseId,
    pub network: NetworkId,
    /// The instance's name, the first label of its DNS name.
    pub hostname: Name,
    pub mac: MacAddr,
    pub ipv4: Ipv4Addr,
    pub ipv6: Ipv6Addr,
}
