//! The TUN device in the network's namespace, with its addresses and routes.
//!
//! It goes with the process that holds it, so whoever makes it sets all that belongs to it. A
//! device that somebody removes says nothing to an idle reader, so the kernel's news of links are
//! listened to as well.

use futures::StreamExt;
use futures::channel::mpsc::UnboundedReceiver;
use gotatun::tun::tun;
use gotatun::tun::tun_async_device::{Error as TunError, TunDevice};
use ipnet::IpNet;
use rtnetlink::packet_core::{NetlinkMessage, NetlinkPayload};
use rtnetlink::packet_route::RouteNetlinkMessage;
use rtnetlink::sys::SocketAddr;
use rtnetlink::{Handle, MulticastGroup};
use tokio::runtime::Handle as Runtime;
use tokio::task::JoinHandle;

use super::netns::{NamespaceError, within};
use super::options::EndpointOptions;
use crate::device::link;

/// Why there is no interface.
#[derive(Debug, thiserror::Error)]
pub enum InterfaceError {
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
}

/// A TUN device, and whether it is still there.
pub(super) struct Interface {
    pub(super) tun: TunDevice,
    pub(super) presence: Presence,
}

/// Listens for the end of an interface.
pub(super) struct Presence {
    index: u32,
    news: News,
    connection: JoinHandle<()>,
}

type News = UnboundedReceiver<(NetlinkMessage<RouteNetlinkMessage>, SocketAddr)>;

impl Presence {
    /// Returns when the interface was removed.
    pub(super) async fn ended(&mut self) {
        while let Some((message, _)) = self.news.next().await {
            let NetlinkPayload::InnerMessage(RouteNetlinkMessage::DelLink(link)) = message.payload
            else {
                continue;
            };
            if link.header.index == self.index {
                return;
            }
        }
        tracing::warn!("no more news of the interface");
        std::future::pending().await
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

/// Makes the interface that the options describe, and brings it up.
pub(super) async fn open(options: &EndpointOptions) -> Result<Interface, InterfaceError> {
    let interface = &options.interface;
    let runtime = Runtime::current();
    let opened = within(options.namespace.as_deref(), || {
        // The descriptors are registered with the runtime of the thread that waits for this one.
        let _entered = runtime.enter();
        let netlink = rtnetlink::new_multicast_connection(&[MulticastGroup::Link])
            .map_err(InterfaceError::Netlink)?;
        let mut config = tun::Configuration::default();
        config.tun_name(interface).mtu(options.mtu).up();
        let tun = tun::create_as_async(&config)
            .map_err(TunError::OpenTun)
            .and_then(TunDevice::from_tun_device)
            .map_err(|source| InterfaceError::Tun {
                interface: interface.clone(),
                source,
            })?;
        let index = nix::net::if_::if_nametoindex(interface.as_str()).map_err(|errno| {
            InterfaceError::Index {
                interface: interface.clone(),
                source: errno.into(),
            }
        })?;
        Ok((tun, index, netlink))
    });
    let (tun, index, (connection, netlink, news)) = opened.map_err(InterfaceError::Namespace)??;
    let presence = Presence {
        index,
        news,
        connection: tokio::spawn(connection),
    };
    address(&netlink, index, options).await?;
    Ok(Interface { tun, presence })
}

async fn address(
    netlink: &Handle,
    index: u32,
    options: &EndpointOptions,
) -> Result<(), InterfaceError> {
    for address in &options.addresses {
        let added = link::add_address(netlink, index, *address).await;
        added.map_err(|source| InterfaceError::Address {
            interface: options.interface.clone(),
            address: *address,
            source,
        })?;
    }
    for prefix in &options.routes {
        let added = link::add_route(netlink, index, prefix).await;
        added.map_err(|source| InterfaceError::Route {
            interface: options.interface.clone(),
            prefix: *prefix,
            source,
        })?;
    }
    Ok(())
}
