//! Reads the kernel's command line: `ip=10.0.0.5/24 gw=10.0.0.1 dns=10.0.0.1 ip6=fd00::5/64 gw6=fd00::1 hostname=web
//! network=lab mac=52:54:00:12:34:56`, all of it optional.
//!
//! Nothing in it stops the kernel. What cannot be used is complained about and left out, and IPv4 then comes by DHCP.

use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// RFC 1035, 2.3.4.
const LONGEST_NAME: usize = 63;

/// What was asked for.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Settings<'a> {
    /// The IPv4 configuration; `None` means DHCP.
    pub ipv4: Option<Network<Ipv4Addr>>,
    /// The IPv6 configuration beside the link-local address.
    pub ipv6: Option<Network<Ipv6Addr>>,
    /// A name server. The kernel asks none; it shows it.
    pub dns: Option<IpAddr>,
    /// Its own name.
    pub hostname: Option<&'a str>,
    /// The name of the network that it is in.
    pub network: Option<&'a str>,
    /// Which card to use, where there are several.
    pub mac: Option<[u8; 6]>,
}

/// An address with what is needed to be reached at it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network<A> {
    /// Its own address.
    pub address: A,
    /// Length of the network's prefix.
    pub prefix: u8,
    /// The way out.
    pub gateway: Option<A>,
}

/// What is wrong with the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Complaint<'a> {
    /// A word that means nothing here.
    Unknown(&'a str),
    /// The key came before, and only its first value counts.
    Repeated(&'a str),
    /// The value is not what the key takes.
    Malformed {
        /// The key.
        key: &'static str,
        /// What was given.
        value: &'a str,
        /// What it takes.
        wants: &'static str,
    },
    /// A gateway was given without an address.
    GatewayAlone(&'static str),
    /// The gateway is not in the network of the address. It is used all the same.
    GatewayOutside(&'static str),
    /// IPv4 comes by DHCP because of a complaint before.
    FallsBackToDhcp,
}

impl fmt::Display for Complaint<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown(word) => write!(f, "ignored the unknown word `{word}`"),
            Self::Repeated(word) => write!(f, "ignored `{word}`: the key was given before"),
            Self::Malformed { key, value, wants } => {
                write!(f, "ignored `{key}={value}`: {key} wants {wants}")
            }
            Self::GatewayAlone(key) => write!(
                f,
                "ignored `{key}`: there is no address of its kind to go with it"
            ),
            Self::GatewayOutside(key) => {
                write!(f, "`{key}` lies outside the network of the address")
            }
            Self::FallsBackToDhcp => write!(f, "IPv4 falls back to DHCP"),
        }
    }
}

const IP: usize = 0;
const GW: usize = 1;
const IP6: usize = 2;
const GW6: usize = 3;
const DNS: usize = 4;
const HOSTNAME: usize = 5;
const NETWORK: usize = 6;
const MAC: usize = 7;
const KEYS: [&str; 8] = [
    "ip", "gw", "ip6", "gw6", "dns", "hostname", "network", "mac",
];

/// Reads a command line, and tells `complain` what was wrong with it.
pub fn parse<'a>(line: &'a str, complain: &mut dyn FnMut(Complaint<'a>)) -> Settings<'a> {
    let values = collect(line, complain);
    let ipv4_asked = values[IP].is_some_and(|value| value != "dhcp") || values[GW].is_some();
    let ipv4 = ipv4(values, complain);
    if ipv4_asked && ipv4.is_none() {
        complain(Complaint::FallsBackToDhcp);
    }
    let ipv6 = ipv6(values, complain);
    let mut read = Reader { values, complain };
    Settings {
        ipv4,
        ipv6,
        dns: read.value(DNS, "an address", |text| text.parse().ok()),
        hostname: read.value(
            HOSTNAME,
            "letters, digits, dots and hyphens, at most 63",
            name,
        ),
        network: read.value(NETWORK, "at most 63 bytes", |text| {
            (1..=LONGEST_NAME).contains(&text.len()).then_some(text)
        }),
        mac: read.value(MAC, "six bytes like 52:54:00:12:34:56", mac),
    }
}

/// The value of each key of [`KEYS`].
fn collect<'a>(
    line: &'a str,
    complain: &mut dyn FnMut(Complaint<'a>),
) -> [Option<&'a str>; KEYS.len()] {
    let mut values = [None; KEYS.len()];
    for (position, word) in line.split_ascii_whitespace().enumerate() {
        // Some loaders put the kernel's path before everything else.
        if position == 0 && word.contains('/') && !word.contains('=') {
            continue;
        }
        let key_value = word.split_once('=');
        match key_value.and_then(|(key, _)| KEYS.iter().position(|known| *known == key)) {
            None => complain(Complaint::Unknown(word)),
            Some(key) if values[key].is_some() => complain(Complaint::Repeated(word)),
            Some(key) => values[key] = key_value.map(|(_, value)| value),
        }
    }
    values
}

struct Reader<'a, 'b> {
    values: [Option<&'a str>; KEYS.len()],
    complain: &'b mut dyn FnMut(Complaint<'a>),
}

impl<'a> Reader<'a, '_> {
    fn value<T>(
        &mut self,
        key: usize,
        wants: &'static str,
        read: impl FnOnce(&'a str) -> Option<T>,
    ) -> Option<T> {
        let value = self.values[key]?;
        let result = read(value);
        if result.is_none() {
            (self.complain)(Complaint::Malformed {
                key: KEYS[key],
                value,
                wants,
            });
        }
        result
    }
}

fn ipv4<'a>(
    values: [Option<&'a str>; KEYS.len()],
    complain: &mut dyn FnMut(Complaint<'a>),
) -> Option<Network<Ipv4Addr>> {
    if matches!(values[IP], None | Some("dhcp")) {
        if values[GW].is_some() {
            complain(Complaint::GatewayAlone(KEYS[GW]));
        }
        return None;
    }
    let mut read = Reader { values, complain };
    let (address, prefix) =
        read.value(IP, "an address with its prefix, like 10.0.0.5/24", |text| {
            let (address, prefix) = with_prefix::<Ipv4Addr>(text, 32)?;
            let host = u32::MAX.checked_shr(prefix.into()).unwrap_or(0);
            let own = address.to_bits() & host;
            let is_host = prefix >= 31 || own != 0 && own != host;
            (is_host && usable4(address)).then_some((address, prefix))
        })?;
    let gateway = match values[GW] {
        None => None,
        // Without its way out the machine would be half reachable: then rather all of it by DHCP.
        Some(_) => Some(read.value(GW, "an IPv4 address", |text| {
            text.parse().ok().filter(|ip| usable4(*ip))
        })?),
    };
    let mask = u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0);
    if gateway.is_some_and(|gateway| (gateway.to_bits() ^ address.to_bits()) & mask != 0) {
        complain(Complaint::GatewayOutside(KEYS[GW]));
    }
    Some(Network {
        address,
        prefix,
        gateway,
    })
}

fn ipv6<'a>(
    values: [Option<&'a str>; KEYS.len()],
    complain: &mut dyn FnMut(Complaint<'a>),
) -> Option<Network<Ipv6Addr>> {
    if values[IP6].is_none() && values[GW6].is_some() {
        complain(Complaint::GatewayAlone(KEYS[GW6]));
        return None;
    }
    let mut read = Reader { values, complain };
    let (address, prefix) =
        read.value(IP6, "an address with its prefix, like fd00::5/64", |text| {
            with_prefix::<Ipv6Addr>(text, 128).filter(|(address, _)| usable6(*address))
        })?;
    let gateway = read.value(GW6, "an IPv6 address", |text| {
        text.parse().ok().filter(|ip| usable6(*ip))
    });
    let mask = u128::MAX.checked_shl(128 - u32::from(prefix)).unwrap_or(0);
    let outside = |gateway: Ipv6Addr| (gateway.to_bits() ^ address.to_bits()) & mask != 0;
    if gateway.is_some_and(|gateway| outside(gateway) && !gateway.is_unicast_link_local()) {
        complain(Complaint::GatewayOutside(KEYS[GW6]));
    }
    Some(Network {
        address,
        prefix,
        gateway,
    })
}

fn with_prefix<A: core::str::FromStr>(text: &str, longest: u8) -> Option<(A, u8)> {
    let (address, prefix) = text.split_once('/')?;
    let prefix = prefix
        .parse()
        .ok()
        .filter(|prefix| (1..=longest).contains(prefix))?;
    Some((address.parse().ok()?, prefix))
}

fn usable4(ip: Ipv4Addr) -> bool {
    !ip.is_unspecified() && !ip.is_loopback() && !ip.is_multicast() && !ip.is_broadcast()
}

fn usable6(ip: Ipv6Addr) -> bool {
    !ip.is_unspecified() && !ip.is_loopback() && !ip.is_multicast()
}

fn name(text: &str) -> Option<&str> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'.';
    ((1..=LONGEST_NAME).contains(&text.len()) && text.bytes().all(allowed)).then_some(text)
}

fn mac(text: &str) -> Option<[u8; 6]> {
    let mut bytes = [0; 6];
    let mut parts = text.split([':', '-']);
    for byte in &mut bytes {
        let part = parts.next().filter(|part| part.len() == 2)?;
        *byte = u8::from_str_radix(part, 16).ok()?;
    }
    parts.next().is_none().then_some(bytes)
}

#[cfg(test)]
mod tests;
