//! Sessions with the networks' endpoints: getting one, and saying which one there is none with.
//!
//! The device repeats a lost handshake only after five seconds, waits for ever, and knows one
//! address for an endpoint. Here it is made to try again sooner and with the next address, by
//! putting the peer in anew, which drops a session that is of no use anyway.

use std::fmt;
use std::net::SocketAddr;
use std::pin::pin;
use std::time::Duration;

use gotatun::device::Peer;
use ipnet::IpNet;
use tokio::net::lookup_host;
use tokio::sync::Mutex;
use tokio::time::{sleep, timeout};

use super::{ConnectError, StartError, Tunnel};
use crate::config::{HostPort, PeerConfig};
use crate::device::network;
use crate::key::{PresharedKey, PublicKey};

/// How long one attempt may take: longer each time, for paths that are slow and not dead.
const ATTEMPTS: [Duration; 4] = [
    Duration::from_secs(2),
    Duration::from_secs(3),
    Duration::from_secs(5),
    Duration::from_secs(8),
];

/// If nothing at all came from an endpoint for so long after a connection's first packet, it may
/// have forgotten the session, by a restart or because the peer was taken out and put back. That
/// packet is repeated after about three seconds, whoever's TCP it is: this is just before.
const FORGOTTEN: Duration = Duration::from_millis(2500);

/// One network's endpoint.
pub(super) struct Remote {
    pub(super) public_key: PublicKey,
    pub(super) endpoint: HostPort,
    pub(super) allowed_ips: Vec<IpNet>,
    preshared_key: Option<PresharedKey>,
    keepalive: Option<u16>,
    addresses: Vec<SocketAddr>,
    /// Which address is in use. Held while a session is being made, so that it is made once.
    address: Mutex<usize>,
}

/// There is no session with an endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HandshakeError {
    /// The endpoint as configured.
    pub endpoint: HostPort,
    /// The endpoint's public key.
    pub public_key: PublicKey,
    /// The addresses that were tried.
    pub addresses: Vec<SocketAddr>,
    /// How long ago the last handshake was; none if there was none since the tunnel started.
    pub last: Option<Duration>,
    /// How long the tunnel has been running.
    pub running: Duration,
}

impl std::error::Error for HandshakeError {}

impl fmt::Display for HandshakeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let endpoint = self.endpoint.to_string();
        write!(f, "no handshake with the endpoint {endpoint}")?;
        let addresses: Vec<String> = self.addresses.iter().map(ToString::to_string).collect();
        if addresses != [endpoint] {
            write!(f, " ({})", addresses.join(", "))?;
        }
        match self.last {
            Some(last) => write!(f, " since {:.1}s ago", last.as_secs_f32()),
            None => write!(
                f,
                " since the tunnel started {:.1}s ago",
                self.running.as_secs_f32()
            ),
        }
    }
}

impl Remote {
    pub(super) async fn resolve(peer: &PeerConfig) -> Result<Self, StartError> {
        let host = (peer.endpoint.host(), peer.endpoint.port());
        let wrong = |source| StartError::Resolve {
            endpoint: peer.endpoint.clone(),
            source,
        };
        let addresses: Vec<SocketAddr> = lookup_host(host).await.map_err(wrong)?.collect();
        if addresses.is_empty() {
            return Err(wrong(std::io::ErrorKind::AddrNotAvailable.into()));
        }
        Ok(Self {
            public_key: peer.public_key,
            endpoint: peer.endpoint.clone(),
            allowed_ips: peer.allowed_ips.clone(),
            preshared_key: peer.preshared_key.clone(),
            keepalive: peer.keepalive,
            addresses,
            address: Mutex::new(0),
        })
    }

    /// The endpoint as the device knows it, at one of its addresses.
    pub(super) fn device_peer(&self, address: usize) -> Peer {
        let mut peer = Peer::new(self.public_key.point());
        peer.endpoint = Some(self.addresses[address % self.addresses.len()]);
        peer.allowed_ips = self.allowed_ips.iter().map(network).collect();
        peer.preshared_key = self.preshared_key.as_ref().map(PresharedKey::bytes);
        peer.keepalive = self.keepalive;
        peer
    }
}

impl Tunnel {
    /// Waits until there is a session with the endpoint.
    pub(super) async fn handshake(
        &self,
        remote: &Remote,
        bound: Duration,
    ) -> Result<(), HandshakeError> {
        if timeout(bound, self.shake(remote)).await.is_ok() {
            return Ok(());
        }
        Err(HandshakeError {
            endpoint: remote.endpoint.clone(),
            public_key: remote.public_key,
            addresses: remote.addresses.clone(),
            last: self.seen(remote).await.last_handshake,
            running: self.started.elapsed(),
        })
    }

    async fn shake(&self, remote: &Remote) {
        let mut address = remote.address.lock().await;
        let key = remote.public_key.point();
        for attempt in 0.. {
            let bound = ATTEMPTS[ATTEMPTS.len().min(attempt + 1) - 1];
            match timeout(bound, self.device.force_handshake(&key)).await {
                Ok(Ok(())) => return,
                // The socket cannot send: the machine has no network at the moment.
                Ok(Err(error)) => {
                    tracing::debug!(endpoint = %remote.endpoint, %error, "no handshake sent");
                    sleep(ATTEMPTS[0]).await;
                }
                Err(_) => tracing::debug!(endpoint = %remote.endpoint, attempt, "no handshake"),
            }
            // With a session of before the address is right, and the device tries by itself.
            if self.seen(remote).await.last_handshake.is_none() {
                *address += 1;
                self.put_anew(remote, *address).await;
            }
        }
    }

    /// Waits for a connection's answer, and makes a new session once if the endpoint is silent.
    pub(super) async fn answered<T>(
        &self,
        answer: impl Future<Output = Result<T, ConnectError>>,
        remote: &Remote,
    ) -> Result<T, ConnectError> {
        let mut answer = pin!(answer);
        let before = self.seen(remote).await.rx_bytes;
        if let Ok(answer) = timeout(FORGOTTEN, &mut answer).await {
            return answer;
        }
        if self.seen(remote).await.rx_bytes == before {
            let address = remote.address.lock().await;
            self.put_anew(remote, *address).await;
        }
        answer.await
    }

    async fn put_anew(&self, remote: &Remote, address: usize) {
        let replaced = self.device.write(async |device| {
            let peer = remote.device_peer(address);
            device.remove_peer(&peer.public_key).await;
            device.add_peer(peer);
        });
        // `write` fails only when it has to open the socket again, which this does not ask for.
        if let Err(error) = replaced.await {
            tracing::warn!(endpoint = %remote.endpoint, %error, "the endpoint was not put anew");
        }
    }

    async fn seen(&self, remote: &Remote) -> Seen {
        let peers = self.device.peers().await;
        let key = remote.public_key.point();
        let found = peers.into_iter().find(|entry| entry.peer.public_key == key);
        found.map_or(Seen::default(), |entry| Seen {
            last_handshake: entry.stats.last_handshake,
            rx_bytes: entry.stats.rx_bytes,
        })
    }
}

/// What the device has seen of an endpoint.
#[derive(Default)]
struct Seen {
    last_handshake: Option<Duration>,
    rx_bytes: usize,
}
