//! Reading a `wg-quick` file: sections, keys, comma-separated lists, `#` comments.
//!
//! Keys are matched without regard to case, as `wg` does. What Rhyzome does not write is refused
//! rather than ignored: a `Table` or `PostUp` that has no effect would mislead.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;

use super::{ClientConfig, HostPort, HostPortError, MAX_MTU, MIN_MTU, PeerConfig};
use crate::key::{KeyError, PresharedKey, PrivateKey, PublicKey};

/// What is wrong with a configuration, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    /// The line, from 1; for something missing, the line of the section it is missing from.
    pub line: usize,
    /// The key as it should be written, or the section's name.
    pub key: String,
    /// What is wrong.
    pub problem: Problem,
}

/// What is wrong with one key of a configuration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// A section other than `[Interface]` and `[Peer]`.
    #[error("unknown section, expected [Interface] or [Peer]")]
    UnknownSection,
    /// A key that this section does not have.
    #[error("unknown key")]
    UnknownKey,
    /// A line without `=`.
    #[error("expected KEY = VALUE")]
    NotAPair,
    /// A key before the first section.
    #[error("before the first section")]
    NoSection,
    /// A key or section that stands twice.
    #[error("already given")]
    Repeated,
    /// A key or section that has to be there.
    #[error("missing")]
    Missing,
    /// A key without a value.
    #[error("has no value")]
    Empty,
    /// A value that is no WireGuard key.
    #[error("not a key")]
    Key(#[source] KeyError),
    /// A value that is no `HOST:PORT`.
    #[error("not a host and port")]
    Endpoint(#[source] HostPortError),
    /// A value that is no address with prefix length.
    #[error("'{0}' is not an IP prefix")]
    Prefix(String),
    /// A value that is neither an address nor a domain.
    #[error("'{0}' is neither an address nor a domain")]
    Name(String),
    /// A number outside its range.
    #[error("'{value}' is not a number from {min} to {max}")]
    Number {
        /// The text.
        value: String,
        /// The smallest number allowed.
        min: u16,
        /// The largest number allowed.
        max: u16,
    },
    /// A prefix that another peer has already.
    #[error("{0} belongs to another peer already")]
    Taken(IpNet),
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, {}: {}", self.line, self.key, self.problem)
    }
}

impl std::error::Error for ConfigError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        std::error::Error::source(&self.problem)
    }
}

pub(super) fn parse(text: &str) -> Result<ClientConfig, ConfigError> {
    let mut reader = Reader::default();
    for (index, raw) in text.lines().enumerate() {
        let line = raw.split('#').next().unwrap_or_default().trim();
        if !line.is_empty() {
            reader.line(index + 1, line)?;
        }
    }
    reader.finish()
}

/// What has been read so far; the last peer, or the interface, is the open section.
#[derive(Default)]
struct Reader {
    interface: Option<InterfaceDraft>,
    peers: Vec<PeerDraft>,
    in_peer: bool,
}

#[derive(Default)]
struct InterfaceDraft {
    line: usize,
    private_key: Option<PrivateKey>,
    addresses: Vec<IpNet>,
    dns: Vec<IpAddr>,
    search: Vec<String>,
    mtu: Option<u16>,
}

#[derive(Default)]
struct PeerDraft {
    line: usize,
    public_key: Option<PublicKey>,
    preshared_key: Option<PresharedKey>,
    endpoint: Option<HostPort>,
    allowed_ips: Vec<IpNet>,
    /// `Some(None)` is a keepalive that is written as off.
    keepalive: Option<Option<u16>>,
}

impl Reader {
    fn line(&mut self, number: usize, line: &str) -> Result<(), ConfigError> {
        if line.starts_with('[') {
            return self.section(number, line);
        }
        let (key, value) = line
            .split_once('=')
            .ok_or_else(|| at(number, line, Problem::NotAPair))?;
        let entry = Entry {
            line: number,
            key: key.trim(),
            value: value.trim(),
        };
        if entry.value.is_empty() {
            return Err(entry.wrong(Problem::Empty));
        }
        match (self.peers.last_mut(), self.interface.as_mut()) {
            (Some(peer), _) if self.in_peer => peer.entry(&entry),
            (_, Some(interface)) => interface.entry(&entry),
            _ => Err(entry.wrong(Problem::NoSection)),
        }
    }

    fn section(&mut self, line: usize, name: &str) -> Result<(), ConfigError> {
        if name.eq_ignore_ascii_case("[Peer]") {
            self.in_peer = true;
            self.peers.push(PeerDraft {
                line,
                ..PeerDraft::default()
            });
            return Ok(());
        }
        if !name.eq_ignore_ascii_case("[Interface]") {
            return Err(at(line, name, Problem::UnknownSection));
        }
        if self.interface.is_some() {
            return Err(at(line, "[Interface]", Problem::Repeated));
        }
        self.in_peer = false;
        self.interface = Some(InterfaceDraft {
            line,
            ..InterfaceDraft::default()
        });
        Ok(())
    }

    fn finish(self) -> Result<ClientConfig, ConfigError> {
        let interface = self
            .interface
            .ok_or_else(|| at(1, "[Interface]", Problem::Missing))?;
        let mut peers: Vec<PeerConfig> = Vec::with_capacity(self.peers.len());
        for draft in self.peers {
            let line = draft.line;
            let peer = draft.finish()?;
            if peers.iter().any(|p| p.public_key == peer.public_key) {
                return Err(at(line, "PublicKey", Problem::Repeated));
            }
            let taken = |net: &&IpNet| peers.iter().any(|p| p.allowed_ips.contains(net));
            if let Some(net) = peer.allowed_ips.iter().find(taken) {
                return Err(at(line, "AllowedIPs", Problem::Taken(*net)));
            }
            peers.push(peer);
        }
        Ok(ClientConfig {
            private_key: need(interface.private_key, interface.line, "PrivateKey")?,
            addresses: interface.addresses,
            dns: interface.dns,
            search: interface.search,
            mtu: interface.mtu,
            peers,
        })
    }
}

impl InterfaceDraft {
    fn entry(&mut self, entry: &Entry<'_>) -> Result<(), ConfigError> {
        match entry.key.to_ascii_lowercase().as_str() {
            "privatekey" => entry.once(&mut self.private_key, entry.key_value()?),
            "address" => {
                self.addresses.extend(entry.prefixes(false)?);
                Ok(())
            }
            "dns" => self.names(entry),
            "mtu" => entry.once(&mut self.mtu, entry.number(MIN_MTU, MAX_MTU)?),
            _ => Err(entry.wrong(Problem::UnknownKey)),
        }
    }

    /// Like `wg-quick`: what is no address is a domain to search.
    fn names(&mut self, entry: &Entry<'_>) -> Result<(), ConfigError> {
        for item in entry.items() {
            if let Ok(address) = item.parse() {
                self.dns.push(address);
            } else if HostPort::new(item, 53).is_ok() {
                self.search.push(item.to_owned());
            } else {
                return Err(entry.wrong(Problem::Name(item.to_owned())));
            }
        }
        Ok(())
    }
}

impl PeerDraft {
    fn entry(&mut self, entry: &Entry<'_>) -> Result<(), ConfigError> {
        match entry.key.to_ascii_lowercase().as_str() {
            "publickey" => entry.once(&mut self.public_key, entry.key_value()?),
            "presharedkey" => entry.once(&mut self.preshared_key, entry.key_value()?),
            "endpoint" => {
                let endpoint = entry.value.parse();
                let endpoint = endpoint.map_err(|e| entry.wrong(Problem::Endpoint(e)))?;
                entry.once(&mut self.endpoint, endpoint)
            }
            "allowedips" => {
                for net in entry.prefixes(true)? {
                    if !self.allowed_ips.contains(&net) {
                        self.allowed_ips.push(net);
                    }
                }
                Ok(())
            }
            "persistentkeepalive" => {
                let off = entry.value.eq_ignore_ascii_case("off") || entry.value == "0";
                let seconds = match off {
                    true => None,
                    false => Some(entry.number(1, u16::MAX)?),
                };
                entry.once(&mut self.keepalive, seconds)
            }
            _ => Err(entry.wrong(Problem::UnknownKey)),
        }
    }

    fn finish(self) -> Result<PeerConfig, ConfigError> {
        Ok(PeerConfig {
            public_key: need(self.public_key, self.line, "PublicKey")?,
            preshared_key: self.preshared_key,
            endpoint: need(self.endpoint, self.line, "Endpoint")?,
            allowed_ips: self.allowed_ips,
            keepalive: self.keepalive.flatten(),
        })
    }
}

/// One `KEY = VALUE`.
struct Entry<'a> {
    line: usize,
    key: &'a str,
    value: &'a str,
}

impl<'a> Entry<'a> {
    fn wrong(&self, problem: Problem) -> ConfigError {
        at(self.line, self.key, problem)
    }

    fn once<T>(&self, slot: &mut Option<T>, value: T) -> Result<(), ConfigError> {
        if slot.is_some() {
            return Err(self.wrong(Problem::Repeated));
        }
        *slot = Some(value);
        Ok(())
    }

    fn key_value<T: FromStr<Err = KeyError>>(&self) -> Result<T, ConfigError> {
        self.value.parse().map_err(|e| self.wrong(Problem::Key(e)))
    }

    fn number(&self, min: u16, max: u16) -> Result<u16, ConfigError> {
        let number = self.value.parse().ok();
        number.filter(|n| (min..=max).contains(n)).ok_or_else(|| {
            self.wrong(Problem::Number {
                value: self.value.to_owned(),
                min,
                max,
            })
        })
    }

    fn items(&self) -> impl Iterator<Item = &'a str> {
        let items = self.value.split(',').map(str::trim);
        items.filter(|item| !item.is_empty())
    }

    /// Addresses with or without a prefix length; `truncate` clears the bits of the host.
    fn prefixes(&self, truncate: bool) -> Result<Vec<IpNet>, ConfigError> {
        let mut nets = Vec::new();
        for item in self.items() {
            let net = match item.parse::<IpNet>() {
                Ok(net) => net,
                Err(_) => item
                    .parse::<IpAddr>()
                    .map(IpNet::from)
                    .map_err(|_| self.wrong(Problem::Prefix(item.to_owned())))?,
            };
            nets.push(if truncate { net.trunc() } else { net });
        }
        Ok(nets)
    }
}

fn at(line: usize, key: &str, problem: Problem) -> ConfigError {
    ConfigError {
        line,
        key: key.to_owned(),
        problem,
    }
}

fn need<T>(value: Option<T>, line: usize, key: &str) -> Result<T, ConfigError> {
    value.ok_or_else(|| at(line, key, Problem::Missing))
}
