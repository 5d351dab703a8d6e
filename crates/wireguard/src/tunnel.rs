//! A WireGuard client inside the calling process, with TCP on top: no root, nothing of it on the machine.
//!
//! ```text
//!   TunnelStream ─┐                       ┌── link ──┐
//!   TunnelStream ─┼─ kernel, or else the  ┤          ├── gotatun ── UDP
//!   TunnelStream ─┘  stack (smoltcp)      └──────────┘
//! ```
//!
//! The TCP is the kernel's in a namespace of the tunnel's own, where a holder is given and the system lets
//! it ([`kernel`]), and else a stack in this process, whose sender gives way to every loss and knows no
//! selective acknowledgement: it is slow on paths that lose packets. A stream of the stack reads and writes
//! its socket's buffers under the stack's lock and wakes the driver, which moves packets. Backpressure is
//! TCP's own: a full buffer makes the writer wait, an unread one closes the window. One tunnel serves all the
//! networks of its configuration: a destination belongs to the peer with the longest matching prefix, as in
//! WireGuard.
//!
//! Left out on purpose: UDP, names inside the networks, and listening.

mod handshake;
mod icmp;
#[cfg(target_os = "linux")]
pub mod kernel;
mod link;
mod stack;
mod stream;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use gotatun::device::{Device, DeviceBuilder, Error as DeviceError};
use gotatun::udp::socket::UdpSocketFactory;
use ipnet::IpNet;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::config::{ClientConfig, DEFAULT_MTU, HostPort, MAX_MTU, MIN_MTU};
use crate::device::UDP_BUFFER;
use crate::key::PublicKey;
use handshake::Remote;
use link::{Inlet, Outlet};
use stack::{Shared, StackStream};
use stream::Stream;

pub use handshake::HandshakeError;
pub use stream::TunnelStream;

/// How many connections a tunnel has at once; further ones wait for their turn. Each costs time
/// whenever packets move: a thousand idle ones cost a third of the throughput.
pub const MAX_CONNECTIONS: usize = 512;

type TunnelDevice = Device<(UdpSocketFactory, Inlet, Outlet)>;

/// Why a tunnel did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The configuration has no address for the device.
    #[error("the configuration has no address for this device")]
    NoAddress,
    /// More than one address of a family.
    #[error("the configuration has {0} addresses, a tunnel has one of each family")]
    Addresses(usize),
    /// The MTU is out of range.
    #[error("an MTU of {0} is not between {MIN_MTU} and {MAX_MTU}")]
    Mtu(u16),
    /// No network to reach.
    #[error("the configuration has no [Peer]")]
    NoPeer,
    /// The name of an endpoint has no address.
    #[error("the endpoint {endpoint} has no address")]
    Resolve {
        /// The endpoint.
        endpoint: HostPort,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// There is no UDP socket.
    #[error("no UDP socket for the tunnel")]
    Socket(#[source] DeviceError),
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// No network of the configuration has the address.
    #[error("{0} is in no network of this tunnel")]
    Unreachable(SocketAddr),
    /// The device has no address of the destination's family.
    #[error("{0} cannot be reached: this device has no address of that family")]
    NoSource(SocketAddr),
    /// The destination cannot be connected to, having port 0 for instance.
    #[error("{0} is no destination")]
    Invalid(SocketAddr),
    /// There is no session with the network's endpoint.
    #[error("{destination} was not reached")]
    NoHandshake {
        /// The destination.
        destination: SocketAddr,
        /// Which endpoint, and for how long.
        #[source]
        source: Box<HandshakeError>,
    },
    /// The destination refused: it is there, and nothing listens.
    #[error("{0} refused the connection")]
    Refused(SocketAddr),
    /// A router on the way, or the destination, says by ICMP that it cannot be reached.
    #[error("{0} was reported unreachable by its network")]
    NoRoute(SocketAddr),
    /// The system says something else.
    #[error("no connection to {destination}")]
    System {
        /// The destination.
        destination: SocketAddr,
        /// What it says.
        #[source]
        source: io::Error,
    },
    /// The endpoint answers and the destination does not.
    #[error("{destination} did not answer within {:.1}s", waited.as_secs_f32())]
    TimedOut {
        /// The destination.
        destination: SocketAddr,
        /// How long was waited.
        waited: Duration,
    },
    /// All connections that a tunnel may have were in use all the time.
    #[error("{MAX_CONNECTIONS} connections are open already, none ended within {:.1}s", .0.as_secs_f32())]
    Busy(Duration),
    /// The tunnel was stopped.
    #[error("the tunnel is stopped")]
    Stopped,
}

/// What a tunnel did so far.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TunnelStats {
    /// One entry for each network, in the order of the configuration.
    pub peers: Vec<RemoteStats>,
    /// Connections that are open, or closing.
    pub connections: usize,
    /// Packets from the networks that were dropped because the stack was behind.
    pub dropped: u64,
}

/// What passed between a tunnel and one network's endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteStats {
    /// The endpoint's public key.
    pub public_key: PublicKey,
    /// The endpoint as configured.
    pub endpoint: HostPort,
    /// The address in use.
    pub address: Option<SocketAddr>,
    /// How long ago the last handshake was.
    pub last_handshake: Option<Duration>,
    /// Bytes received from it.
    pub rx_bytes: u64,
    /// Bytes sent to it.
    pub tx_bytes: u64,
}

/// A running tunnel. Dropping it ends it, and all its connections.
pub struct Tunnel {
    device: TunnelDevice,
    remotes: Vec<Remote>,
    tcp: Tcp,
    turns: Arc<Semaphore>,
    started: Instant,
}

/// Whose TCP is above the tunnel.
enum Tcp {
    Stack {
        shared: Arc<Shared>,
        driver: JoinHandle<()>,
    },
    #[cfg(target_os = "linux")]
    Kernel(kernel::Kernel),
}

impl Tcp {
    /// That of this crate.
    fn stack(mtu: u16, addresses: &[IpAddr]) -> (Self, Inlet, Outlet) {
        let link = link::new(mtu);
        let shared = Arc::new(Shared::new(link.wire, addresses, rand::random()));
        let driver = tokio::spawn(stack::drive(Arc::clone(&shared), link.arrivals));
        (Self::Stack { shared, driver }, link.inlet, link.outlet)
    }

    /// The kernel's.
    #[cfg(target_os = "linux")]
    fn kernel(
        holder: &kernel::Holder,
        mtu: u16,
        addresses: &[IpAddr],
    ) -> io::Result<(Self, Inlet, Outlet)> {
        let (kernel, tun) = kernel::Kernel::start(holder, mtu, addresses.to_vec())?;
        let (inlet, outlet) = link::of_tun(link::tun::Tun::new(tun)?, mtu);
        Ok((Self::Kernel(kernel), inlet, outlet))
    }

    /// Breaks all connections.
    fn close(&self) {
        match self {
            Self::Stack { shared, driver } => {
                shared.close();
                driver.abort();
            }
            #[cfg(target_os = "linux")]
            Self::Kernel(kernel) => kernel.close(),
        }
    }

    fn dropped(&self) -> u64 {
        match self {
            Self::Stack { shared, .. } => shared.dropped(),
            // It says so to who sent them, by TCP.
            #[cfg(target_os = "linux")]
            Self::Kernel(_) => 0,
        }
    }

    async fn connect(
        &self,
        destination: SocketAddr,
        turn: OwnedSemaphorePermit,
    ) -> Result<TunnelStream, ConnectError> {
        let stream = match self {
            Self::Stack { shared, .. } => {
                let stream = StackStream::open(Arc::clone(shared), destination, turn)?;
                stream.established().await?;
                Stream::Stack(stream)
            }
            #[cfg(target_os = "linux")]
            Self::Kernel(kernel) => Stream::Kernel(kernel.connect(destination, turn).await?),
        };
        Ok(TunnelStream(stream))
    }
}

impl Tunnel {
    /// Starts a tunnel on the current runtime, with a TCP stack in this process. It sends nothing before
    /// something is to be sent, except the keepalives that the configuration asks for.
    ///
    /// # Errors
    /// A configuration that a tunnel cannot have, an endpoint without an address, no UDP socket.
    pub async fn start(config: &ClientConfig) -> Result<Self, StartError> {
        Self::begin(config, Tcp::stack).await
    }

    /// Starts a tunnel with the kernel's TCP, where the system allows it, and as [`start`](Self::start)
    /// does where not.
    ///
    /// # Errors
    /// As for [`start`](Self::start).
    #[cfg(target_os = "linux")]
    pub async fn start_with(
        config: &ClientConfig,
        holder: &kernel::Holder,
    ) -> Result<Self, StartError> {
        let tcp = |mtu, addresses: &[IpAddr]| {
            Tcp::kernel(holder, mtu, addresses).unwrap_or_else(|why| {
                tracing::debug!(%why, "the kernel's TCP cannot be had: this program's own is used");
                Tcp::stack(mtu, addresses)
            })
        };
        Self::begin(config, tcp).await
    }

    /// Whether the TCP above the tunnel is the kernel's.
    #[cfg(target_os = "linux")]
    pub fn has_kernel_tcp(&self) -> bool {
        matches!(self.tcp, Tcp::Kernel(_))
    }

    async fn begin(
        config: &ClientConfig,
        tcp: impl FnOnce(u16, &[IpAddr]) -> (Tcp, Inlet, Outlet),
    ) -> Result<Self, StartError> {
        let mtu = config.mtu.unwrap_or(DEFAULT_MTU);
        check(config, mtu)?;
        let mut remotes = Vec::with_capacity(config.peers.len());
        for peer in &config.peers {
            remotes.push(Remote::resolve(peer).await?);
        }
        let addresses: Vec<IpAddr> = config.addresses.iter().map(IpNet::addr).collect();
        let (tcp, inlet, outlet) = tcp(mtu, &addresses);
        let device = DeviceBuilder::new()
            .with_default_udp()
            .udp_recv_buffer_size(UDP_BUFFER)
            .udp_send_buffer_size(UDP_BUFFER)
            .with_ip_pair(inlet, outlet)
            .with_private_key(config.private_key.secret())
            .with_peers(remotes.iter().map(|remote| remote.device_peer(0)))
            .build()
            .await
            .map_err(StartError::Socket)?;
        Ok(Self {
            device,
            remotes,
            tcp,
            turns: Arc::new(Semaphore::new(MAX_CONNECTIONS)),
            started: Instant::now(),
        })
    }

    /// Waits until there is a session with the endpoint of every network.
    ///
    /// # Errors
    /// The first endpoint, in the order of the configuration, that did not answer within `bound`.
    pub async fn wait_handshake(&self, bound: Duration) -> Result<(), HandshakeError> {
        let until = Instant::now() + bound;
        for remote in &self.remotes {
            let left = until.saturating_duration_since(Instant::now());
            self.handshake(remote, left).await?;
        }
        Ok(())
    }

    /// Connects to a destination inside one of the networks, waiting for a session with its
    /// endpoint and for a turn if all connections are in use.
    ///
    /// # Errors
    /// Said apart: nowhere to go, no session, refused, unreachable, no answer within `bound`.
    pub async fn connect(
        &self,
        destination: SocketAddr,
        bound: Duration,
    ) -> Result<TunnelStream, ConnectError> {
        let started = Instant::now();
        let remote = self
            .route(destination.ip())
            .ok_or(ConnectError::Unreachable(destination))?;
        let turn = self.turn(bound).await?;
        let left = bound.saturating_sub(started.elapsed());
        let shaken = self.handshake(remote, left).await;
        shaken.map_err(|source| ConnectError::NoHandshake {
            destination,
            source: Box::new(source),
        })?;
        let left = bound.saturating_sub(started.elapsed());
        let connected = self.tcp.connect(destination, turn);
        match timeout(left, self.answered(connected, remote)).await {
            Ok(answer) => answer,
            Err(_) => Err(ConnectError::TimedOut {
                destination,
                waited: started.elapsed(),
            }),
        }
    }

    /// What passed so far.
    pub async fn stats(&self) -> TunnelStats {
        let peers = self.device.peers().await;
        let peers = self.remotes.iter().map(|remote| {
            let key = remote.public_key.point();
            let found = peers.iter().find(|entry| entry.peer.public_key == key);
            RemoteStats {
                public_key: remote.public_key,
                endpoint: remote.endpoint.clone(),
                address: found.and_then(|entry| entry.peer.endpoint),
                last_handshake: found.and_then(|entry| entry.stats.last_handshake),
                rx_bytes: found.map_or(0, |entry| entry.stats.rx_bytes as u64),
                tx_bytes: found.map_or(0, |entry| entry.stats.tx_bytes as u64),
            }
        });
        TunnelStats {
            peers: peers.collect(),
            connections: MAX_CONNECTIONS - self.turns.available_permits(),
            dropped: self.tcp.dropped(),
        }
    }

    /// Waits until every connection is over, those included whose streams were dropped and that
    /// are still delivering what was written: what a program does before it ends, for nobody
    /// goes on with it then. Says whether all were over within `bound`.
    pub async fn drain(&self, bound: Duration) -> bool {
        let all = u32::try_from(MAX_CONNECTIONS).expect("a few hundred");
        timeout(bound, self.turns.acquire_many(all)).await.is_ok()
    }

    /// Ends the tunnel and all its connections, and returns when nothing more is sent.
    pub async fn stop(self) {
        self.tcp.close();
        self.device.suspend().await;
    }

    /// The endpoint that has the address, by the longest prefix.
    fn route(&self, destination: IpAddr) -> Option<&Remote> {
        let prefixes = self.remotes.iter().flat_map(|remote| {
            let nets = remote.allowed_ips.iter();
            nets.map(move |net| (net, remote))
        });
        prefixes
            .filter(|(net, _)| net.contains(&destination))
            .max_by_key(|(net, _)| net.prefix_len())
            .map(|(_, remote)| remote)
    }

    async fn turn(&self, bound: Duration) -> Result<OwnedSemaphorePermit, ConnectError> {
        let turn = Arc::clone(&self.turns).acquire_owned();
        match timeout(bound, turn).await {
            Ok(turn) => turn.map_err(|_| ConnectError::Stopped),
            Err(_) => Err(ConnectError::Busy(bound)),
        }
    }
}

impl Drop for Tunnel {
    fn drop(&mut self) {
        self.tcp.close();
    }
}

impl std::fmt::Debug for Tunnel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let endpoints = self.remotes.iter().map(|remote| &remote.endpoint);
        f.debug_list().entries(endpoints).finish()
    }
}

fn check(config: &ClientConfig, mtu: u16) -> Result<(), StartError> {
    if config.peers.is_empty() {
        return Err(StartError::NoPeer);
    }
    if !(MIN_MTU..=MAX_MTU).contains(&mtu) {
        return Err(StartError::Mtu(mtu));
    }
    let v4 = config.addresses.iter().filter(|net| net.addr().is_ipv4());
    let v4 = v4.count();
    let v6 = config.addresses.len() - v4;
    match (v4, v6) {
        (0, 0) => Err(StartError::NoAddress),
        (0 | 1, 0 | 1) => Ok(()),
        _ => Err(StartError::Addresses(v4 + v6)),
    }
}
