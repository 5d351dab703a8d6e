//! DHCP options beyond those that the TCP/IP stack reads: routes (RFC 3442) and the MTU (RFC 2132, 5.1).

use core::net::Ipv4Addr;

/// Option number of the host's name.
pub const HOST_NAME: u8 = 12;
/// Option number of the interface's MTU.
pub const MTU: u8 = 26;
/// Option number of classless static routes.
pub const CLASSLESS_ROUTES: u8 = 121;

/// A route that a DHCP server gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Route {
    /// First address of the destination.
    pub destination: Ipv4Addr,
    /// Length of the destination's prefix; 0 is the default route.
    pub prefix: u8,
    /// The next hop; unspecified means that the destination is on the link.
    pub router: Ipv4Addr,
}

/// Reads option 121. What comes after the first malformed route is left out.
pub fn classless_routes(mut bytes: &[u8]) -> impl Iterator<Item = Route> {
    core::iter::from_fn(move || {
        let (&prefix, rest) = bytes.split_first()?;
        let significant = usize::from(prefix).div_ceil(8);
        if prefix > 32 || rest.len() < significant + 4 {
            return None;
        }
        let mut destination = [0; 4];
        destination[..significant].copy_from_slice(&rest[..significant]);
        let router: [u8; 4] = *rest[significant..].first_chunk()?;
        bytes = &rest[significant + 4..];
        let mask = u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0);
        let destination = Ipv4Addr::from_bits(u32::from_be_bytes(destination) & mask);
        Some(Route {
            destination,
            prefix,
            router: router.into(),
        })
    })
}

/// Reads option 26. `None` for what is no usable MTU (RFC 2132 wants at least 68).
pub fn mtu(bytes: &[u8]) -> Option<u16> {
    bytes
        .try_into()
        .ok()
        .map(u16::from_be_bytes)
        .filter(|mtu| *mtu >= 68)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(bytes: &[u8], expect: &[(&str, u8, &str)]) {
        let routes: Vec<_> = classless_routes(bytes).collect();
        let expect: Vec<_> = expect
            .iter()
            .map(|(destination, prefix, router)| Route {
                destination: destination.parse().unwrap(),
                prefix: *prefix,
                router: router.parse().unwrap(),
            })
            .collect();
        assert_eq!(routes, expect, "{bytes:?}");
    }

    #[test]
    fn routes_of_every_length_are_read() {
        check(
            &[
                0, 10, 0, 0, 1, 32, 169, 254, 169, 254, 0, 0, 0, 0, 17, 10, 229, 128, 10, 0, 0, 2,
            ],
            &[
                ("0.0.0.0", 0, "10.0.0.1"),
                ("169.254.169.254", 32, "0.0.0.0"),
                ("10.229.128.0", 17, "10.0.0.2"),
            ],
        );
    }

    #[test]
    fn bits_beyond_the_prefix_do_not_count() {
        check(&[9, 10, 255, 10, 0, 0, 1], &[("10.128.0.0", 9, "10.0.0.1")]);
    }

    #[test]
    fn a_cut_or_impossible_route_ends_the_list() {
        check(&[], &[]);
        check(&[24, 10, 0, 0, 10, 0, 0], &[]);
        check(&[33, 10, 0, 0, 0, 0, 10, 0, 0, 1], &[]);
        check(&[8, 10, 10, 0, 0, 1, 24, 1], &[("10.0.0.0", 8, "10.0.0.1")]);
    }

    #[test]
    fn an_mtu_has_two_bytes_and_a_least_value() {
        assert_eq!(mtu(&[0x05, 0x8c]), Some(1420));
        assert_eq!(mtu(&[0, 67]), None);
        assert_eq!(mtu(&[5]), None);
    }
}
