//! What both ends tell gotatun in the same way.

#[cfg(target_os = "linux")]
pub(crate) mod link;

use ipnet::IpNet;
use ipnetwork::IpNetwork;

/// Asked for from the kernel, which gives as much as `net.core.rmem_max` lets it. Measured: the
/// default of 208 KiB costs 40% of the throughput.
pub(crate) const UDP_BUFFER: usize = 7 << 20;

/// The same prefix in the type of the WireGuard implementation.
pub(crate) fn network(net: &IpNet) -> IpNetwork {
    IpNetwork::new(net.network(), net.prefix_len()).expect("a prefix has a valid length")
}
