//! gotatun on a TUN device: the endpoint's backend where the kernel has no WireGuard.
//!
//! A peer that stays is changed in place, so it keeps its session, and forgets where it was last
//! seen only if its configured endpoint changes. (The UAPI recreates a peer on every `set`.)

use gotatun::device::uapi::UapiServer;
use gotatun::device::{DefaultDeviceTransports, Device, DeviceBuilder, Error as DeviceError};
use gotatun::tun::tun;
use gotatun::tun::tun_async_device::{Error as TunError, TunDevice};
use ipnet::IpNet;
use ipnetwork::IpNetwork;
use rtnetlink::Handle;
use tokio::runtime::Handle as Runtime;

use super::control::PeerStatus;
use super::netns::{NamespaceError, within};
use super::options::EndpointOptions;
use crate::key::{PrivateKey, PublicKey};
use crate::peers::{Peer, PeerSet};

/// Asked for from the kernel, which gives as much as `net.core.rmem_max` lets it. Measured: the
/// default of 208 KiB costs 40% of the throughput.
pub(crate) const UDP_BUFFER: usize = 7 << 20;

/// Why there is no WireGuard interface.
#[derive(Debug, thiserror::Error)]
pub enum UserspaceError {
    /// The namespace cannot be entered.
    #[error("no way into the network's namespace")]
    Namespace(#[source] NamespaceError),
    /// The TUN device cannot be made.
    #[error("the TUN device {interface} cannot be made")]
    Tun {
        /// The interface's name.
        interface: String,
        /// Why.
        #[source]
        source: TunError,
    },
    /// The interface is made but cannot be found by its name.
    #[error("the interface {interface} is not there")]
    Index {
        /// The interface's name.
        interface: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// There is no netlink socket for the namespace.
    #[error("no netlink socket in the network's namespace")]
    Netlink(#[source] std::io::Error),
    /// An address cannot be set.
    #[error("{interface} cannot have the address {address}")]
    Address {
        /// The interface's name.
        interface: String,
        /// The address.
        address: IpNet,
        /// Why.
        #[source]
        source: rtnetlink::Error,
    },
    /// A route cannot be set.
    #[error("{prefix} cannot be routed into {interface}")]
    Route {
        /// The interface's name.
        interface: String,
        /// The route's destination.
        prefix: IpNet,
        /// Why.
        #[source]
        source: rtnetlink::Error,
    },
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
}

impl Userspace {
    /// Makes the interface, with its addresses and routes, and listens. It has no peers yet.
    pub(super) async fn start(
        options: &EndpointOptions,
        key: &PrivateKey,
        uapi: UapiServer,
    ) -> Result<Self, UserspaceError> {
        let tun = open_tun(options).await?;
        let port = options.listen_port;
        let wrong = |source| UserspaceError::Port { port, source };
        let device = DeviceBuilder::new()
            .with_default_udp()
            .udp_recv_buffer_size(UDP_BUFFER)
            .udp_send_buffer_size(UDP_BUFFER)
            .with_ip(tun)
            .with_private_key(key.secret())
            .with_listen_port(port)
            .with_uapi(uapi)
            .build()
            .await
            .map_err(wrong)?;
        // A device that is built without peers does not listen; clearing its peers makes it.
        device.clear_peers().await.map_err(wrong)?;
        Ok(Self { device })
    }

    /// Puts `after` in force where `before` was; the peers in `reset` lose their sessions even if
    /// they stay. When this returns, nothing passes any more for a peer that is gone.
    pub(super) async fn apply(&self, before: &PeerSet, after: &PeerSet, reset: &[PublicKey]) {
        let work = async |device: &mut gotatun::device::configure::DeviceWrite<'_, _>| {
            for key in before.keys() {
                if !after.contains_key(key) || reset.contains(key) {
                    device.remove_peer(&key.point()).await;
                }
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
        self.device.wait().await;
    }

    pub(super) async fn stop(self) {
        self.device.stop().await;
    }
}

async fn open_tun(options: &EndpointOptions) -> Result<TunDevice, UserspaceError> {
    let interface = &options.interface;
    let runtime = Runtime::current();
    let opened = within(options.namespace.as_deref(), || {
        // The descriptors are registered with the runtime of the thread that waits for this one.
        let _entered = runtime.enter();
        let mut config = tun::Configuration::default();
        config.tun_name(interface).mtu(options.mtu).up();
        let tun = tun::create_as_async(&config)
            .map_err(TunError::OpenTun)
            .and_then(TunDevice::from_tun_device)
            .map_err(|source| UserspaceError::Tun {
                interface: interface.clone(),
                source,
            })?;
        let index = nix::net::if_::if_nametoindex(interface.as_str()).map_err(|errno| {
            UserspaceError::Index {
                interface: interface.clone(),
                source: errno.into(),
            }
        })?;
        let netlink = rtnetlink::new_connection().map_err(UserspaceError::Netlink)?;
        Ok((tun, index, netlink))
    });
    let (tun, index, (connection, netlink, _)) = opened.map_err(UserspaceError::Namespace)??;
    let connection = tokio::spawn(connection);
    let addressed = address(&netlink, index, options).await;
    connection.abort();
    addressed.map(|()| tun)
}

async fn address(
    netlink: &Handle,
    index: u32,
    options: &EndpointOptions,
) -> Result<(), UserspaceError> {
    for address in &options.addresses {
        let add = netlink.address();
        let add = add.add(index, address.addr(), address.prefix_len());
        or_there(add.execute().await).map_err(|source| UserspaceError::Address {
            interface: options.interface.clone(),
            address: *address,
            source,
        })?;
    }
    for prefix in &options.routes {
        or_there(route(netlink, index, prefix).await).map_err(|source| UserspaceError::Route {
            interface: options.interface.clone(),
            prefix: *prefix,
            source,
        })?;
    }
    Ok(())
}

async fn route(netlink: &Handle, index: u32, prefix: &IpNet) -> Result<(), rtnetlink::Error> {
    let length = prefix.prefix_len();
    let message = match prefix {
        IpNet::V4(net) => rtnetlink::RouteMessageBuilder::<std::net::Ipv4Addr>::new()
            .destination_prefix(net.network(), length)
            .output_interface(index)
            .build(),
        IpNet::V6(net) => rtnetlink::RouteMessageBuilder::<std::net::Ipv6Addr>::new()
            .destination_prefix(net.network(), length)
            .output_interface(index)
            .build(),
    };
    netlink.route().add(message).execute().await
}

/// An address brings a route of its own, which may be one of those asked for.
fn or_there(done: Result<(), rtnetlink::Error>) -> Result<(), rtnetlink::Error> {
    match done {
        Err(rtnetlink::Error::NetlinkError(message))
            if message.raw_code() == -(nix::errno::Errno::EEXIST as i32) =>
        {
            Ok(())
        }
        other => other,
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

/// The same prefix in the type of the WireGuard implementation.
pub(crate) fn network(net: &IpNet) -> IpNetwork {
    IpNetwork::new(net.network(), net.prefix_len()).expect("a prefix has a valid length")
}

fn prefix(net: &IpNetwork) -> IpNet {
    IpNet::new(net.ip(), net.prefix()).expect("a prefix has a valid length")
}
