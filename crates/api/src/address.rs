//! Where a request comes from: the connection's other end or, where that is a proxy of the operator's,
//! whom the proxy names.
//!
//! A header that says so is believed from the listed addresses alone, and only the one header that the
//! operator named: the other would be passed on by the proxy as whoever asks wrote it.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use axum::http::header::{FORWARDED, HeaderMap};
use ipnet::IpNet;

use crate::configuration::{Proxy, ProxyHeader};

/// Whom one can tell apart: an IPv4 address, or the /64 of an IPv6 one, all of which are one
/// subscriber's.
pub fn subscriber(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => {
            let prefix = address.to_bits() & !u128::from(u64::MAX);
            IpAddr::V6(Ipv6Addr::from_bits(prefix))
        }
    }
}

/// Whether an address is in one of these.
pub fn is_in(nets: &[IpNet], address: IpAddr) -> bool {
    let address = address.to_canonical();
    nets.iter().any(|net| net.contains(&address))
}

/// Where a request comes from. The nearest address that is no proxy's counts: what stands before it in
/// the header, anybody may have written.
pub fn origin(proxy: &Proxy, remote: SocketAddr, headers: &HeaderMap) -> SocketAddr {
    let mut nearest = remote;
    for hop in hops(proxy.header, headers).into_iter().rev() {
        if !is_in(&proxy.trusted, nearest.ip()) {
            break;
        }
        match hop {
            Some(address) => nearest = SocketAddr::new(address, 0),
            None => break,
        }
    }
    nearest
}

/// All that the header names, the furthest first; none for what is no address.
fn hops(header: ProxyHeader, headers: &HeaderMap) -> Vec<Option<IpAddr>> {
    let values = match header {
        ProxyHeader::XForwardedFor => headers.get_all("x-forwarded-for"),
        ProxyHeader::Forwarded => headers.get_all(FORWARDED),
    };
    let elements = values
        .iter()
        .flat_map(|value| value.to_str().unwrap_or_default().split(','));
    match header {
        ProxyHeader::XForwardedFor => elements.map(node).collect(),
        ProxyHeader::Forwarded => elements.map(forwarded_for).collect(),
    }
}

/// The `for` of one element of `Forwarded` (RFC 7239 § 4).
fn forwarded_for(element: &str) -> Option<IpAddr> {
    let mut pairs = element.split(';').filter_map(|pair| pair.split_once('='));
    let (_, value) = pairs.find(|(name, _)| name.trim().eq_ignore_ascii_case("for"))?;
    node(value.trim().trim_matches('"'))
}

/// An address, with a port or without; IPv6 in brackets or not.
fn node(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    if let Ok(address) = text.parse::<IpAddr>() {
        return Some(address.to_canonical());
    }
    if let Ok(address) = text.parse::<SocketAddr>() {
        return Some(address.ip().to_canonical());
    }
    let inner = text.strip_prefix('[')?.strip_suffix(']')?;
    inner.parse::<IpAddr>().ok().map(|ip| ip.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(remote: &str, header: ProxyHeader, values: &[&str], expect: &str) {
        let proxy = Proxy {
            trusted: vec![
                "10.0.0.0/24".parse().expect("a net"),
                "fd00::/64".parse().expect("a net"),
            ],
            header,
        };
        let mut headers = HeaderMap::new();
        for value in values {
            let name = match header {
                ProxyHeader::XForwardedFor => "x-forwarded-for",
                ProxyHeader::Forwarded => "forwarded",
            };
            headers.append(name, value.parse().expect("a value"));
        }
        headers.append(
            match header {
                ProxyHeader::XForwardedFor => "forwarded",
                ProxyHeader::Forwarded => "x-forwarded-for",
            },
            "for=198.51.100.99".parse().expect("a value"),
        );
        let remote = SocketAddr::new(remote.parse().expect("one"), 7);
        let found = origin(&proxy, remote, &headers);
        assert_eq!(found.ip().to_string(), expect, "{remote} {values:?}");
    }

    #[test]
    fn what_a_stranger_writes_of_itself_is_not_believed() {
        let x = ProxyHeader::XForwardedFor;
        check("203.0.113.5", x, &["192.0.2.1"], "203.0.113.5");
        check("203.0.113.5", x, &[], "203.0.113.5");
    }

    #[test]
    fn a_proxy_is_believed_up_to_the_first_that_is_none() {
        let x = ProxyHeader::XForwardedFor;
        check("10.0.0.1", x, &["192.0.2.1"], "192.0.2.1");
        check("::ffff:10.0.0.1", x, &["192.0.2.1"], "192.0.2.1");
        check("10.0.0.1", x, &["198.51.100.1, 192.0.2.1"], "192.0.2.1");
        check(
            "10.0.0.1",
            x,
            &["198.51.100.1", "192.0.2.1 , 10.0.0.2"],
            "192.0.2.1",
        );
        check("10.0.0.1", x, &["2001:db8::1"], "2001:db8::1");
        check("10.0.0.1", x, &["192.0.2.1:4711"], "192.0.2.1");
        check("10.0.0.1", x, &[], "10.0.0.1");
        check("10.0.0.1", x, &["192.0.2.1, unknown"], "10.0.0.1");
        check("10.0.0.1", x, &["10.0.0.9"], "10.0.0.9");
    }

    #[test]
    fn forwarded_is_read_as_its_standard_says() {
        let f = ProxyHeader::Forwarded;
        check("fd00::1", f, &["for=192.0.2.43"], "192.0.2.43");
        check(
            "fd00::1",
            f,
            &["proto=http;For=\"[2001:db8:cafe::17]:4711\";by=203.0.113.43"],
            "2001:db8:cafe::17",
        );
        check(
            "fd00::1",
            f,
            &["for=198.51.100.1, for=\"192.0.2.43:8080\""],
            "192.0.2.43",
        );
        check("fd00::1", f, &["for=_hidden"], "fd00::1");
        check("192.0.2.9", f, &["for=198.51.100.1"], "192.0.2.9");
    }
}
