//! The network between hosts, as this host sees it: where its tunnels end, and what fits through them.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::unix::fs::MetadataExt;
use std::sync::{Mutex, PoisonError};

use crate::{LinkError, Links};

/// What VXLAN puts around an IP packet: its own header, Ethernet's, UDP's, and IP's (RFC 7348).
const AROUND: u32 = 8 + 14 + 8;
/// The smallest MTU that IPv6 allows (RFC 8200).
const LEAST: u32 = 1280;

/// Where tunnels end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// As the operator wrote.
    Given(IpAddr),
    /// At the address by which this host reaches its core, at `HOST:PORT`.
    Towards(String),
    /// Nowhere: there are no others.
    Nowhere,
}

/// The end of this host's tunnels, looked for when asked and kept until asked again.
#[derive(Debug)]
pub struct Underlay {
    end: End,
    found: Mutex<Option<IpAddr>>,
}

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    pub address: Option<IpAddr>,
    /// The largest IP packet on a segment that is tunnelled from there, in bytes.
    pub mtu: Option<u16>,
    /// Whether nobody said which address that is.
    pub guessed: bool,
    /// For people: what it is and how it was found, or why there is none.
    pub said: String,
}

impl Found {
    fn none(said: impl Into<String>) -> Self {
        Self {
            address: None,
            mtu: None,
            guessed: false,
            said: said.into(),
        }
    }
}

impl Underlay {
    pub fn new(end: End) -> Self {
        Self {
            end,
            found: Mutex::default(),
        }
    }

    /// Looks anew.
    pub async fn look(&self) -> Found {
        let found = match &self.end {
            End::Given(address) => on_link(*address, "as tunnel_address says").await,
            End::Towards(core) => towards(core).await,
            End::Nowhere => Found::none("none"),
        };
        *self.found.lock().unwrap_or_else(PoisonError::into_inner) = found.address;
        found
    }

    /// What was found last.
    pub async fn address(&self) -> Option<IpAddr> {
        let kept = *self.found.lock().unwrap_or_else(PoisonError::into_inner);
        match kept {
            Some(address) => Some(address),
            None => self.look().await.address,
        }
    }
}

async fn towards(core: &str) -> Found {
    let Some(address) = own_address(core).await else {
        return Found::none(format!(
            "none: how this host reaches {core} is not known now; tunnel_address says it"
        ));
    };
    if address.is_loopback() {
        return Found::none(
            "none: the core is reached over the loopback; set tunnel_address if other hosts are to be reached",
        );
    }
    let how = "the address towards the core; tunnel_address sets another";
    Found {
        guessed: true,
        ..on_link(address, how).await
    }
}

/// The address that packets to somewhere come from. Sends nothing.
async fn own_address(there: &str) -> Option<IpAddr> {
    let mut addresses = tokio::net::lookup_host(there).await.ok()?;
    addresses.find_map(|there: SocketAddr| {
        let any: IpAddr = if there.is_ipv4() {
            [0; 4].into()
        } else {
            [0; 16].into()
        };
        let socket = UdpSocket::bind((any, 0)).ok()?;
        socket.connect(there).ok()?;
        Some(socket.local_addr().ok()?.ip())
    })
}

async fn on_link(address: IpAddr, how: &str) -> Found {
    match link_of(address).await {
        Ok(Some((name, mtu))) => {
            let around = AROUND + if address.is_ipv4() { 20 } else { 40 };
            let fits = mtu.saturating_sub(around);
            if fits < LEAST {
                return Found::none(format!(
                    "none: the MTU of {name}, {mtu}, leaves {fits} for a packet, and {LEAST} are needed"
                ));
            }
            Found {
                address: Some(address),
                mtu: Some(u16::try_from(fits).unwrap_or(u16::MAX)),
                guessed: false,
                said: format!("{address} on {name}, MTU {mtu} ({how})"),
            }
        }
        Ok(None) => Found::none(format!(
            "none: no link of this host has the address {address}"
        )),
        Err(error) => Found::none(format!("none: {error}")),
    }
}

/// The link that an address is on, and its MTU.
async fn link_of(address: IpAddr) -> Result<Option<(String, u32)>, LinkError> {
    let links = Links::open()?;
    let addresses = links.all_addresses().await?;
    let index = addresses
        .into_iter()
        .find(|(_, net)| net.addr() == address)
        .map(|(index, _)| index);
    let all = links.list().await?;
    let link = all.into_iter().find(|link| Some(link.index) == index);
    Ok(link.map(|link| (link.name, link.mtu)))
}

/// Why no tunnel can end at an address; none where one can.
pub fn unsuitable(address: IpAddr) -> Option<String> {
    let link_local = match address {
        IpAddr::V4(address) => address.is_link_local() || address.is_broadcast(),
        IpAddr::V6(address) => address.is_unicast_link_local(),
    };
    (link_local || address.is_loopback() || address.is_unspecified() || address.is_multicast())
        .then(|| format!("{address} is no address that other hosts could reach this one at"))
}

/// Names the running kernel and the network namespace of the calling process: components that say the
/// same share their links.
pub fn host_id() -> String {
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let namespace = std::fs::metadata("/proc/thread-self/ns/net").map_or(0, |file| file.ino());
    format!("{}:{namespace}", boot.trim())
}
