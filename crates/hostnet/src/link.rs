//! Links, addresses and routes of the calling thread's network namespace, through rtnetlink. Every
//! change may be repeated: what is as asked already is left alone.

mod address;
mod fdb;
mod route;
mod tunnel;

use std::fs::File;
use std::os::fd::AsRawFd;

use futures::TryStreamExt;
use netlink_packet_route::link::{InfoKind, LinkAttribute, LinkFlags, LinkInfo, LinkMessage, Prop};
use nix::errno::Errno;
use rtnetlink::{LinkBridge, LinkUnspec, LinkVeth};
use tokio::task::JoinHandle;

pub use fdb::{EVERYBODY, Forwarding};
pub use route::Route;
pub use tunnel::{PortFlags, Vxlan};

/// The longest name of a link, in bytes (`IFNAMSIZ` less the terminating zero, linux/if.h).
pub const NAME_MAX: usize = 15;

#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    #[error("cannot open a netlink socket")]
    Open(#[source] std::io::Error),
    #[error("cannot {action} {subject}")]
    Request {
        action: &'static str,
        subject: String,
        #[source]
        source: Box<rtnetlink::Error>,
    },
}

impl LinkError {
    fn errno(&self) -> Option<Errno> {
        let Self::Request { source, .. } = self else {
            return None;
        };
        match &**source {
            rtnetlink::Error::NetlinkError(message) => {
                message.code.map(|code| Errno::from_raw(code.get().abs()))
            }
            _ => None,
        }
    }

    /// Whether what was to be changed is not there.
    pub fn is_missing(&self) -> bool {
        matches!(
            self.errno(),
            Some(Errno::ENODEV | Errno::ENOENT | Errno::ESRCH | Errno::EADDRNOTAVAIL)
        )
    }

    fn is_there_already(&self) -> bool {
        self.errno() == Some(Errno::EEXIST)
    }
}

/// A link as the kernel says it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    pub index: u32,
    pub name: String,
    pub up: bool,
    pub mtu: u32,
    /// The index of the bridge that it is a port of.
    pub controller: Option<u32>,
    /// The index of the other end of a pair, in that end's namespace.
    pub peer: Option<u32>,
    /// The free text that goes with it (IFLA_IFALIAS).
    pub alias: Option<String>,
    pub altnames: Vec<String>,
    /// As in `bridge` or `veth`; none for physical ones.
    pub kind: Option<String>,
    /// Of a VXLAN device.
    pub vxlan: Option<Vxlan>,
    /// Of a bridge's port.
    pub port_flags: Option<PortFlags>,
    pub mac: Option<[u8; 6]>,
}

/// What to change of a link; what is none stays.
#[derive(Clone, Debug, Default)]
pub struct Change<'a> {
    pub name: Option<&'a str>,
    pub alias: Option<&'a str>,
    pub mtu: Option<u32>,
    pub up: Option<bool>,
    /// The index of the bridge that it becomes a port of.
    pub controller: Option<u32>,
    pub mac: Option<[u8; 6]>,
    /// The network namespace that it is moved into.
    pub namespace: Option<&'a File>,
}

/// A netlink connection to the network namespace of the thread that opened it.
pub struct Links {
    handle: rtnetlink::Handle,
    connection: JoinHandle<()>,
}

impl Drop for Links {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

fn failed(
    action: &'static str,
    subject: impl ToString,
) -> impl FnOnce(rtnetlink::Error) -> LinkError {
    let subject = subject.to_string();
    move |source| LinkError::Request {
        action,
        subject,
        source: Box::new(source),
    }
}

/// Success also where it was so already.
fn or_there_already(result: Result<(), LinkError>) -> Result<bool, LinkError> {
    match result {
        Ok(()) => Ok(true),
        Err(e) if e.is_there_already() => Ok(false),
        Err(e) => Err(e),
    }
}

/// Success also where it was gone already.
fn or_missing(result: Result<(), LinkError>) -> Result<bool, LinkError> {
    match result {
        Ok(()) => Ok(true),
        Err(e) if e.is_missing() => Ok(false),
        Err(e) => Err(e),
    }
}

impl Links {
    pub fn open() -> Result<Self, LinkError> {
        let (connection, handle, _) = rtnetlink::new_connection().map_err(LinkError::Open)?;
        Ok(Self {
            handle,
            connection: tokio::spawn(connection),
        })
    }

    pub async fn list(&self) -> Result<Vec<Link>, LinkError> {
        let messages: Vec<LinkMessage> = self
            .handle
            .link()
            .get()
            .execute()
            .try_collect()
            .await
            .map_err(failed("list", "links"))?;
        Ok(messages.into_iter().map(parse).collect())
    }

    /// The link of a name; alternative names do not count.
    pub async fn find(&self, name: &str) -> Result<Option<Link>, LinkError> {
        let request = self.handle.link().get().match_name(name).execute();
        let found: Result<Vec<LinkMessage>, LinkError> = request
            .try_collect()
            .await
            .map_err(failed("find the link", name));
        match found {
            Ok(messages) => Ok(messages
                .into_iter()
                .map(parse)
                .find(|link| link.name == name)),
            Err(e) if e.is_missing() => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// A bridge, down, that is quick and silent: no spanning tree, no pause before forwarding, no
    /// multicast snooping (which needs a querier that a segment has none of), no packet filter of the
    /// host's inside.
    pub async fn add_bridge(&self, name: &str) -> Result<bool, LinkError> {
        let message = LinkBridge::new(name)
            // Before Linux 6.2 what is up cannot be given another name.
            .down()
            .stp_state(netlink_packet_route::link::BridgeStpState::Disabled)
            .forward_delay(0)
            .mcast_snooping(false)
            .nf_call_iptables(false)
            .nf_call_ip6tables(false)
            .nf_call_arptables(false)
            .build();
        let result = self.handle.link().add(message).execute().await;
        or_there_already(result.map_err(failed("add the bridge", name)))
    }

    /// A pair of links, down: what goes into one comes out of the other.
    pub async fn add_veth(&self, name: &str, peer: &str) -> Result<bool, LinkError> {
        let result = self
            .handle
            .link()
            .add(LinkVeth::new(name, peer).build())
            .execute()
            .await;
        or_there_already(result.map_err(failed("add the pair of links", name)))
    }

    pub async fn change(&self, index: u32, change: Change<'_>) -> Result<(), LinkError> {
        let mut message = LinkUnspec::new_with_index(index);
        if let Some(name) = change.name {
            message = message.name(name);
        }
        if let Some(alias) = change.alias {
            message = message.alias(alias);
        }
        if let Some(mtu) = change.mtu {
            message = message.mtu(mtu);
        }
        if let Some(mac) = change.mac {
            message = message.address(mac.to_vec());
        }
        if let Some(controller) = change.controller {
            message = message.controller(controller);
        }
        if let Some(namespace) = change.namespace {
            message = message.setns_by_fd(namespace.as_raw_fd());
        }
        message = match change.up {
            Some(true) => message.up(),
            Some(false) => message.down(),
            None => message,
        };
        let request = self.handle.link().change(message.build());
        request
            .execute()
            .await
            .map_err(failed("change link number", index))
    }

    pub async fn delete(&self, index: u32) -> Result<bool, LinkError> {
        let result = self.handle.link().del(index).execute().await;
        or_missing(result.map_err(failed("delete link number", index)))
    }

    /// Deletes the link of a name, if there is one.
    pub async fn delete_named(&self, name: &str) -> Result<bool, LinkError> {
        match self.find(name).await? {
            Some(link) => self.delete(link.index).await,
            None => Ok(false),
        }
    }

    pub async fn add_altname(&self, index: u32, altname: &str) -> Result<bool, LinkError> {
        let result = self
            .handle
            .link()
            .property_add(index)
            .alt_ifname(&[altname])
            .execute()
            .await;
        or_there_already(result.map_err(failed("add the name", altname)))
    }

    pub async fn delete_altname(&self, index: u32, altname: &str) -> Result<bool, LinkError> {
        let result = self
            .handle
            .link()
            .property_del(index)
            .alt_ifname(&[altname])
            .execute()
            .await;
        or_missing(result.map_err(failed("delete the name", altname)))
    }
}

fn parse(message: LinkMessage) -> Link {
    let mut link = Link {
        index: message.header.index,
        name: String::new(),
        up: message.header.flags.contains(LinkFlags::Up),
        mtu: 0,
        controller: None,
        peer: None,
        alias: None,
        altnames: Vec::new(),
        kind: None,
        vxlan: None,
        port_flags: None,
        mac: None,
    };
    for attribute in message.attributes {
        match attribute {
            LinkAttribute::IfName(name) => link.name = name,
            LinkAttribute::Mtu(mtu) => link.mtu = mtu,
            LinkAttribute::Controller(index) => link.controller = Some(index),
            LinkAttribute::Link(index) => link.peer = Some(index),
            LinkAttribute::IfAlias(alias) => link.alias = Some(alias),
            LinkAttribute::Address(octets) => link.mac = octets.try_into().ok(),
            LinkAttribute::PropList(props) => {
                link.altnames = props
                    .into_iter()
                    .filter_map(|prop| match prop {
                        Prop::AltIfName(name) => Some(name),
                        _ => None,
                    })
                    .collect();
            }
            LinkAttribute::LinkInfo(infos) => {
                link.vxlan = tunnel::vxlan(&infos);
                link.port_flags = tunnel::port_flags(&infos);
                link.kind = infos.into_iter().find_map(kind);
            }
            _ => {}
        }
    }
    link
}

fn kind(info: LinkInfo) -> Option<String> {
    match info {
        LinkInfo::Kind(InfoKind::Other(kind)) => Some(kind),
        LinkInfo::Kind(kind) => Some(kind.to_string()),
        _ => None,
    }
}
