//! What an operator writes about the router, in `/etc/config/rhyzome`:
//!
//! ```text
//!   config component 'main'              config nic 'trunk'
//!       option core 'https://core:7443'      option device 'eth1'
//!       option token 'rzj_…'                 option mac '52:54:00:00:00:01'
//! ```
//!
//! All that is wrong is said at once, with the option and its line. Where files are is no option.

mod options;
mod token;

use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use rhyzome_component::CoreUrl;
use rhyzome_model::Name;
use rhyzome_model::mac::MacAddr;
use rhyzome_model::segment::Segmentation;
use rhyzome_uci::{Package, ReadError};

use options::Options;
pub use token::{ForgetError, forget};

/// Where it is on a router.
pub const PATH: &str = "/etc/config/rhyzome";

/// Of VXLAN (RFC 7348).
const TUNNEL_PORT: u16 = 4789;
const ENDPOINT_PORTS: (u16, u16) = (51820, 52819);

/// A configuration that is in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Configuration {
    /// Where the core listens for components; none where it is as it was joined.
    pub core: Option<CoreUrl>,
    /// Good for joining, once.
    pub token: Option<Token>,
    /// The name to ask for when joining.
    pub name: Option<Name>,
    /// What carries networks between the hypervisors and the router; none where all that can is meant.
    pub segmentation: Option<Segmentation>,
    /// The address or name at which members reach the router.
    pub public_address: Option<String>,
    /// The UDP ports for networks' WireGuard endpoints, first and last.
    pub endpoint_ports: (u16, u16),
    /// The largest IP packet that fits the router's segments, in bytes.
    pub mtu: u16,
    /// The firewall zone that leads outside.
    pub uplink_zone: String,
    /// Where tunnels to hypervisors end; none where it is the address by which the core is reached.
    pub tunnel_address: Option<IpAddr>,
    /// The UDP port of all tunnels.
    pub tunnel_port: u16,
    /// Leads to the core, and outside.
    pub uplink: Option<Nic>,
    /// Carries the networks' VLANs.
    pub trunk: Option<Nic>,
}

/// A join token. It is not shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

/// A network card, or a bridge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Nic {
    pub device: String,
    /// By which the card gets the device's name before the networks start.
    pub mac: Option<MacAddr>,
    /// Where the device is a bridge with VLANs: the ports of it that networks are on, tagged.
    pub ports: Vec<String>,
}

#[derive(Debug, thiserror::Error)]
pub enum ConfigurationError {
    #[error("{path} cannot be read")]
    Read {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("{path} cannot be understood, and so cannot be by OpenWrt")]
    Uci { path: PathBuf, source: ReadError },
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Wrong(Vec<Problem>),
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{path}, line {line}: {what}")]
pub struct Problem {
    path: PathBuf,
    /// From 1.
    line: usize,
    what: String,
}

impl Configuration {
    /// Reads and checks a file.
    ///
    /// # Errors
    /// [`ConfigurationError`], with all that is wrong.
    pub fn read(path: &Path) -> Result<Self, ConfigurationError> {
        let text = std::fs::read_to_string(path).map_err(|source| ConfigurationError::Read {
            path: path.to_owned(),
            source,
        })?;
        Self::of(path, &text)
    }

    fn of(path: &Path, text: &str) -> Result<Self, ConfigurationError> {
        let name = "rhyzome".parse().expect("it is a package's name");
        let (package, places) =
            Package::read_placed(name, text).map_err(|source| ConfigurationError::Uci {
                path: path.to_owned(),
                source,
            })?;
        let mut options = Options::new(path, &package, &places);
        let read = Self::take(&mut options);
        match options.finish() {
            problems if problems.is_empty() => Ok(read),
            problems => Err(ConfigurationError::Wrong(problems)),
        }
    }

    fn take(options: &mut Options<'_>) -> Self {
        let (uplink, trunk) = (Nic::take(options, "uplink"), Nic::take(options, "trunk"));
        options.section("component", "main");
        let token: Option<Token> = options.parsed("token");
        let core: Option<CoreUrl> = options.parsed("core");
        if token.is_some() && core.is_none() {
            options.complain("token", "needs option core, as 'https://core.example:7443'");
        }
        let endpoint_ports = options.checked("endpoint_ports", ports);
        let mtu = options.checked("mtu", mtu);
        let tunnel_port = options.parsed("tunnel_port");
        Self {
            core,
            token,
            name: options.parsed("name"),
            segmentation: options.parsed("segmentation"),
            public_address: options.parsed("public_address"),
            endpoint_ports: endpoint_ports.unwrap_or(ENDPOINT_PORTS),
            mtu: mtu.unwrap_or(1500),
            uplink_zone: options.parsed("uplink_zone").unwrap_or("wan".to_owned()),
            tunnel_address: options.parsed("tunnel_address"),
            tunnel_port: tunnel_port.unwrap_or(TUNNEL_PORT),
            uplink,
            trunk,
        }
    }
}

impl Nic {
    fn take(options: &mut Options<'_>, name: &'static str) -> Option<Self> {
        if !options.section("nic", name) {
            return None;
        }
        let device = options.checked("device", device);
        if device.is_none() {
            options.complain("device", "is needed: the name of the network device");
        }
        Some(Self {
            device: device.unwrap_or_default(),
            mac: options.parsed("mac"),
            ports: options.items("ports"),
        })
    }
}

impl Token {
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

impl FromStr for Token {
    type Err = std::convert::Infallible;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self(text.to_owned()))
    }
}

fn ports(text: &str) -> Result<(u16, u16), String> {
    let parts = text.split_once('-');
    let parts = parts.and_then(|(first, last)| Some((first.parse().ok()?, last.parse().ok()?)));
    match parts {
        Some((first, last)) if first > 0 && first <= last => Ok((first, last)),
        _ => Err(format!(
            "{text:?} is no range of ports from 1 on, as 51820-52819"
        )),
    }
}

fn mtu(text: &str) -> Result<u16, String> {
    match text.parse() {
        Ok(mtu @ 1360..=9000) => Ok(mtu),
        _ => Err(format!(
            "{text:?} is not between 1360 (what WireGuard needs for IPv6) and 9000"
        )),
    }
}

/// IFNAMSIZ, with its zero byte.
const DEVICE_MAX: usize = 15;

fn device(text: &str) -> Result<String, String> {
    let fits = text.len() <= DEVICE_MAX && !text.contains(|c: char| c == '/' || c.is_whitespace());
    match fits {
        true => Ok(text.to_owned()),
        false => Err(format!(
            "{text:?} is no name of a network device: at most {DEVICE_MAX} characters, no space and no slash"
        )),
    }
}

#[cfg(test)]
mod tests;
