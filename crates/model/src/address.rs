//! Arithmetic on prefixes: which address is the router's, which may be given to an instance.

use std::net::{Ipv4Addr, Ipv6Addr};

use ipnet::{Ipv4Net, Ipv6Net};

/// The router's address: the first one behind the prefix's own.
pub fn router_ipv4(prefix: Ipv4Net) -> Ipv4Addr {
    nth_ipv4(prefix, 1)
}

/// The router's address: the first one behind the prefix's own.
pub fn router_ipv6(prefix: Ipv6Net) -> Ipv6Addr {
    nth_ipv6(prefix, 1)
}

/// The address number `n` of a prefix; number 0 is the prefix's own. Wraps inside the prefix.
pub fn nth_ipv4(prefix: Ipv4Net, n: u32) -> Ipv4Addr {
    let hosts = u32::MAX
        .checked_shr(u32::from(prefix.prefix_len()))
        .unwrap_or(0);
    Ipv4Addr::from(u32::from(prefix.network()) | (n & hosts))
}

/// The address number `n` of a prefix; number 0 is the prefix's own. Wraps inside the prefix.
pub fn nth_ipv6(prefix: Ipv6Net, n: u128) -> Ipv6Addr {
    let hosts = u128::MAX
        .checked_shr(u32::from(prefix.prefix_len()))
        .unwrap_or(0);
    Ipv6Addr::from(u128::from(prefix.network()) | (n & hosts))
}

/// How many addresses of a network's IPv4 prefix instances may have: all but the network's own, the
/// router's and the broadcast address. They are the numbers 2 to this + 1.
pub fn usable_ipv4(prefix: Ipv4Net) -> u32 {
    let all = 1u64 << (32 - u32::from(prefix.prefix_len()));
    u32::try_from(all.saturating_sub(3)).unwrap_or(u32::MAX)
}

/// Whether two prefixes have an address in common.
pub fn overlap_ipv4(a: Ipv4Net, b: Ipv4Net) -> bool {
    a.contains(&b) || b.contains(&a)
}

/// Whether two prefixes have an address in common.
pub fn overlap_ipv6(a: Ipv6Net, b: Ipv6Net) -> bool {
    a.contains(&b) || b.contains(&a)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_router_has_the_first_address_and_instances_the_rest_but_the_last() {
        let net: Ipv4Net = "10.1.2.0/29".parse().expect("a prefix");
        assert_eq!(router_ipv4(net).to_string(), "10.1.2.1");
        assert_eq!(usable_ipv4(net), 5);
        assert_eq!(nth_ipv4(net, 2).to_string(), "10.1.2.2");
        assert_eq!(nth_ipv4(net, usable_ipv4(net) + 1).to_string(), "10.1.2.6");
        let six: Ipv6Net = "fd00:1::/64".parse().expect("a prefix");
        assert_eq!(router_ipv6(six).to_string(), "fd00:1::1");
        assert_eq!(nth_ipv6(six, 0x10).to_string(), "fd00:1::10");
    }
}
