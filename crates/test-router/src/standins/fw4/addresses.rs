//! Addresses, ports and protocols of a rule.

use std::net::IpAddr;

/// An address family; none of a rule means both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    Ipv4,
    Ipv6,
}

impl Family {
    pub const BOTH: [Self; 2] = [Self::Ipv4, Self::Ipv6];

    /// None where the text is no family; `Some(None)` for both.
    pub fn parse(text: &str) -> Option<Option<Self>> {
        match text {
            "any" | "all" | "*" => Some(None),
            "inet" => Some(Some(Self::Ipv4)),
            text if text.contains('4') => Some(Some(Self::Ipv4)),
            text if text.contains('6') => Some(Some(Self::Ipv6)),
            _ => None,
        }
    }

    pub fn nfproto(self) -> &'static str {
        match self {
            Self::Ipv4 => "ipv4",
            Self::Ipv6 => "ipv6",
        }
    }

    pub fn header(self) -> &'static str {
        match self {
            Self::Ipv4 => "ip",
            Self::Ipv6 => "ip6",
        }
    }
}

/// An address or a prefix, or all but it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subnet {
    pub family: Family,
    pub text: String,
    pub inverted: bool,
}

impl Subnet {
    pub fn parse(text: &str) -> Option<Self> {
        let (inverted, text) = match text.trim().strip_prefix('!') {
            Some(text) => (true, text.trim()),
            None => (false, text.trim()),
        };
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits.parse::<u8>().ok()?)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().ok()?;
        let (family, longest) = match address {
            IpAddr::V4(_) => (Family::Ipv4, 32),
            IpAddr::V6(_) => (Family::Ipv6, 128),
        };
        let fits = bits.is_none_or(|bits| bits <= longest);
        fits.then(|| Self {
            family,
            text: text.to_owned(),
            inverted,
        })
    }
}

/// A port or a range of them, as nftables writes it.
pub fn port(text: &str) -> Option<String> {
    let (first, last) = text.split_once(['-', ':']).unwrap_or((text, text));
    let (first, last): (u16, u16) = (first.parse().ok()?, last.parse().ok()?);
    match first == last {
        true => Some(first.to_string()),
        false => (first < last).then(|| format!("{first}-{last}")),
    }
}

/// `tcpudp` is two; nothing is any.
pub fn protocols(text: &str) -> Vec<String> {
    match text.to_lowercase().as_str() {
        "all" | "any" | "*" => Vec::new(),
        "tcpudp" => vec!["tcp".to_owned(), "udp".to_owned()],
        "icmpv6" | "58" => vec!["ipv6-icmp".to_owned()],
        "1" => vec!["icmp".to_owned()],
        "6" => vec!["tcp".to_owned()],
        "17" => vec!["udp".to_owned()],
        other => vec![other.to_owned()],
    }
}

/// A type of ICMP messages for each family that has it, as nftables writes it: a number, or with a code.
pub fn icmp_type(text: &str) -> Option<[Option<String>; 2]> {
    let pair =
        |v4: Option<&str>, v6: Option<&str>| Some([v4.map(str::to_owned), v6.map(str::to_owned)]);
    match text {
        "echo-request" | "ping" => pair(Some("8"), Some("128")),
        "echo-reply" | "pong" => pair(Some("0"), Some("129")),
        "destination-unreachable" => pair(Some("3"), Some("1")),
        "time-exceeded" => pair(Some("11"), Some("3")),
        "parameter-problem" => pair(Some("12"), Some("4")),
        "router-solicitation" => pair(Some("10"), Some("133")),
        "router-advertisement" => pair(Some("9"), Some("134")),
        "packet-too-big" => pair(None, Some("2")),
        "neighbour-solicitation" | "neighbor-solicitation" => pair(None, Some("135")),
        "neighbour-advertisement" | "neighbor-advertisement" => pair(None, Some("136")),
        _ => {
            let (number, code) = text.split_once('/').unwrap_or((text, ""));
            let number: u8 = number.parse().ok()?;
            let written = match code {
                "" => number.to_string(),
                code => format!("{number} . {}", code.parse::<u8>().ok()?),
            };
            Some([Some(written.clone()), Some(written)])
        }
    }
}
