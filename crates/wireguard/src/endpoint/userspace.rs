//! gotatun on a TUN device: the endpoint's backend where the kernel has no WireGuard.
//!
//! A peer that stays is changed in place, so it keeps its session, and forgets where it was last
//! seen only if its configured endpoint changes. (The UAPI recreates a peer on every `set`.)

use gotatun::device::uapi::UapiServer;
use gotatun::device::{DefaultDeviceTransports, Device, DeviceBuilder, Error as DeviceError};
use ipnet::IpNet;
use ipnetwork::IpNetwork;

use super::control::PeerStatus;
use super::interface::{self, InterfaceError, Presence};
use super::options::EndpointOptions;
use crate::device::{UDP_BUFFER, network};
use crate::key::{PrivateKey, PublicKey};
use crate::peers::{Peer, PeerSet};

/// Why there is no WireGuard interface.
#[derive(Debug, thiserror::Error)]
pub enum UserspaceError {
    /// The interface cannot be made.
    #[error("the network has no interface for it")]
    Interface(#[source] InterfaceError),
    /// The UDP port cannot be listened on, most often because another program does.
    #[error("the UDP port {port} cannot be used")]
    Port {
        /// The port.
        port: u16,
        /// Why.
        #[source]
        source: DeviceError,
    },
}

/// A running userspace interface.
pub(super) struct Userspace {
    device: Device<DefaultDeviceTransports>,
    presence: Presence,
}

impl Userspace {
    /// Makes the interface, with its addresses and routes, and listens. It has no peers yet.
    pub(super) async fn start(
        options: &EndpointOptions,
        key: &PrivateKey,
        uapi: UapiServer,
    ) -> Result<Self, UserspaceError> {
        let interface = interface::open(options).await;
        let interface = interface.map_err(UserspaceError::Interface)?;
        let port = options.listen_port;
        let wrong = |source| UserspaceError::Port { port, source };
        let device = DeviceBuilder::new()
            .with_default_udp()
            .udp_recv_buffer_size(UDP_BUFFER)
            .udp_send_buffer_size(UDP_BUFFER)
            .with_ip(interface.tun)
            .with_private_key(key.secret())
            .with_listen_port(port)
            .with_uapi(uapi)
            .build()
            .await
            .map_err(wrong)?;
        // A device that is built without peers does not listen; clearing its peers makes it.
        device.clear_peers().await.map_err(wrong)?;
        Ok(Self {
            device,
            presence: interface.presence,
        })
    }

    /// Puts `after` in force where `before` was; the peers in `reset` lose their sessions even if
    /// they stay. When this returns, nothing passes any more for a peer that is gone.
    pub(super) async fn apply(&self, before: &PeerSet, after: &PeerSet, reset: &[PublicKey]) {
        let work = async |device: &mut gotatun::device::configure::DeviceWrite<'_, _>| {
            let gone = before.keys().filter(|key| !after.contains_key(key));
            // What is to go goes, also if it came in through `wg`.
            for key in gone.chain(reset) {
                device.remove_peer(&key.point()).await;
            }
            for (key, peer) in after {
                let old = before.get(key).filter(|_| !reset.contains(key));
                if old == Some(peer) {
                    continue;
                }
                let moved = old.is_none_or(|old| old.endpoint != peer.endpoint);
                let found = device
                    .modify_peer(&key.point(), |change| {
                        change.clear_allowed_ips();
                        change.add_allowed_ips(peer.allowed_ips.iter().map(network));
                        change.set_keepalive(peer.keepalive);
                        change.set_preshared_key(peer.preshared_key.as_ref().map(|k| k.bytes()));
                        if moved {
                            change.set_endpoint(peer.endpoint);
                        }
                    })
                    .await;
                if !found {
                    device.add_peer(device_peer(peer));
                }
            }
        };
        let written = self.device.write(work).await;
        // `write` fails only when it has to open the socket again, which no change of peers asks.
        if let Err(error) = written {
            tracing::error!(%error, "the device was set up again and failed");
        }
    }

    /// The peers of the device itself, whoever set them, by key.
    pub(super) async fn peers(&self) -> Vec<PeerStatus> {
        let mut peers: Vec<PeerStatus> = Vec::new();
        for entry in self.device.peers().await {
            // A key that is no key can only have come in through `wg`.
            let Ok(public_key) = PublicKey::from_bytes(entry.peer.public_key.to_bytes()) else {
                continue;
            };
            let age = entry.stats.last_handshake;
            peers.push(PeerStatus {
                public_key,
                allowed_ips: entry.peer.allowed_ips.iter().map(prefix).collect(),
                preshared_key: entry.peer.preshared_key.is_some(),
                keepalive: entry.peer.keepalive,
                endpoint: entry.peer.endpoint,
                last_handshake_ms: age.map(|a| u64::try_from(a.as_millis()).unwrap_or(u64::MAX)),
                rx_bytes: entry.stats.rx_bytes as u64,
                tx_bytes: entry.stats.tx_bytes as u64,
            });
        }
        peers.sort_by_key(|peer| peer.public_key);
        peers
    }

    /// Returns when the device cannot go on, for instance because its interface was removed.
    pub(super) async fn failed(&mut self) {
        tokio::select! {
            () = self.device.wait() => {}
            () = self.presence.ended() => {}
        }
    }

    pub(super) async fn stop(self) {
        self.device.stop().await;
    }
}

fn device_peer(peer: &Peer) -> gotatun::device::Peer {
    let mut made = gotatun::device::Peer::new(peer.public_key.point());
    made.endpoint = peer.endpoint;
    made.allowed_ips = peer.allowed_ips.iter().map(network).collect();
    made.preshared_key = peer.preshared_key.as_ref().map(|key| key.bytes());
    made.keepalive = peer.keepalive;
    made
}

fn prefix(net: &IpNetwork) -> IpNet {
    IpNet::new(net.ip(), net.prefix()).expect("a prefix has a valid length")
}
