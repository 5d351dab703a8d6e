//! A client's WireGuard configuration, as the WireGuard apps and `wg-quick` read it.
//!
//! One interface with one address pair, and one `[Peer]` for each network that it reaches. Only
//! what Rhyzome writes can be expressed: no listening port, no routing table, and no commands to
//! run, which a reader would have to trust. The format is that of `wg-quick(8)` and `wg(8)`.

mod parse;

use std::fmt::{self, Write};
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

use ipnet::IpNet;
use zeroize::Zeroizing;

use crate::key::{PresharedKey, PrivateKey, PublicKey};

pub use parse::{ConfigError, Problem};

/// Seconds between a client's keepalives: often enough for the address translators on the way,
/// and an endpoint learns soon where a client went.
pub const KEEPALIVE: u16 = 25;

/// The smallest MTU a link may have that carries IPv6 (RFC 8200, section 5), in bytes.
pub const MIN_MTU: u16 = 1280;

/// The MTU of a client's interface if its configuration has none, in bytes.
pub const DEFAULT_MTU: u16 = 1420;

/// The largest MTU a configuration may ask for, in bytes.
pub const MAX_MTU: u16 = 9000;

/// The configuration of one client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientConfig {
    /// The device's own key.
    pub private_key: PrivateKey,
    /// The device's own addresses, usually one of each family, each with its prefix length.
    pub addresses: Vec<IpNet>,
    /// Name servers to use while the interface is up.
    pub dns: Vec<IpAddr>,
    /// Domains to search while the interface is up.
    pub search: Vec<String>,
    /// The interface's MTU in bytes, between [`MIN_MTU`] and [`MAX_MTU`].
    pub mtu: Option<u16>,
    /// The networks' endpoints.
    pub peers: Vec<PeerConfig>,
}

/// One network's endpoint, as a client sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerConfig {
    /// The endpoint's public key.
    pub public_key: PublicKey,
    /// A secret shared with the endpoint, besides the keys.
    pub preshared_key: Option<PresharedKey>,
    /// Where the endpoint listens.
    pub endpoint: HostPort,
    /// What is reached through it.
    pub allowed_ips: Vec<IpNet>,
    /// Seconds between keepalives, usually [`KEEPALIVE`]; none means never.
    pub keepalive: Option<u16>,
}

impl ClientConfig {
    /// Reads the text of a `wg-quick` file.
    ///
    /// # Errors
    /// The first thing that is wrong, with its line and key.
    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        parse::parse(text)
    }

    /// The configuration as the text of a `wg-quick` file, private key included.
    pub fn to_text(&self) -> Zeroizing<String> {
        let mut text = Zeroizing::new(String::new());
        // Keys are appended by themselves so that no unwiped copy is made on the way.
        text.push_str("[Interface]\nPrivateKey = ");
        text.push_str(&self.private_key.to_base64());
        text.push('\n');
        line(&mut text, "Address", &list(&self.addresses));
        let dns = self.dns.iter().map(ToString::to_string);
        let names: Vec<String> = dns.chain(self.search.iter().cloned()).collect();
        line(&mut text, "DNS", &list(&names));
        if let Some(mtu) = self.mtu {
            line(&mut text, "MTU", &mtu.to_string());
        }
        for peer in &self.peers {
            peer.write(&mut text);
        }
        text
    }
}

impl PeerConfig {
    fn write(&self, text: &mut String) {
        text.push_str("\n[Peer]\n");
        line(text, "PublicKey", &self.public_key.to_string());
        if let Some(key) = &self.preshared_key {
            text.push_str("PresharedKey = ");
            text.push_str(&key.to_base64());
            text.push('\n');
        }
        line(text, "Endpoint", &self.endpoint.to_string());
        line(text, "AllowedIPs", &list(&self.allowed_ips));
        if let Some(keepalive) = self.keepalive {
            line(text, "PersistentKeepalive", &keepalive.to_string());
        }
    }
}

fn line(text: &mut String, key: &str, value: &str) {
    if !value.is_empty() {
        writeln!(text, "{key} = {value}").expect("writing to a string cannot fail");
    }
}

fn list(values: &[impl ToString]) -> String {
    let values: Vec<String> = values.iter().map(ToString::to_string).collect();
    values.join(", ")
}

/// A host, by name or address, and a port.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct HostPort {
    host: String,
    port: u16,
}

/// Why something is not a host and port.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HostPortError {
    /// There is no `:port` at the end.
    #[error("no port: expected HOST:PORT, or [IPV6]:PORT")]
    NoPort,
    /// The port is not a number from 1 to 65535.
    #[error("'{port}' is not a port from 1 to 65535")]
    Port {
        /// The text after the last colon.
        port: String,
    },
    /// The host is neither an address nor a name.
    #[error("'{host}' is neither an address nor a host name")]
    Host {
        /// The text before the last colon.
        host: String,
    },
}

impl HostPort {
    /// A host (a name, an IPv4 address, or an IPv6 address without brackets) and a port.
    ///
    /// # Errors
    /// A host that is neither an address nor a name; port 0.
    pub fn new(host: &str, port: u16) -> Result<Self, HostPortError> {
        let name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
        let is_name = !host.is_empty() && host.len() <= 253 && host.chars().all(name);
        if !is_name && host.parse::<Ipv6Addr>().is_err() {
            return Err(HostPortError::Host {
                host: host.to_owned(),
            });
        }
        if port == 0 {
            return Err(HostPortError::Port {
                port: port.to_string(),
            });
        }
        Ok(Self {
            host: host.to_owned(),
            port,
        })
    }

    /// The name or address, IPv6 without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.port
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

impl FromStr for HostPort {
    type Err = HostPortError;

    fn from_str(text: &str) -> Result<Self, HostPortError> {
        let (host, port) = text.rsplit_once(':').ok_or(HostPortError::NoPort)?;
        let bare = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
        // Without brackets the last part of an IPv6 address would be taken for the port.
        if host.contains(':') && bare.is_none() {
            return Err(HostPortError::NoPort);
        }
        let number = port.parse().map_err(|_| HostPortError::Port {
            port: port.to_owned(),
        })?;
        Self::new(bare.unwrap_or(host), number)
    }
}

#[cfg(test)]
mod tests;
