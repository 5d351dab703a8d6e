//! The address 169.254.169.254 on a segment: a place from which this host answers the instances that it
//! has there itself, and nobody else.
//!
//! ```text
//!              segment's bridge                      namespace of the service
//!   instance ── tap ─┤  ├─ rm… ───────────────────────── eth0 169.254.169.254
//!   router ──────────┤  │      only with this host's taps, only ARP and TCP to port 80
//!   other hosts ─────┘  ╳
//! ```
//!
//! Each segment has a namespace of its own, because the prefixes of two may be the same; the host itself
//! has no address there. Frames for the address go from a tap to this host's service whatever MAC they
//! are sent to, and never anywhere else: a guest that knows no route for it may send them to its router.
//! Frames that claim to come from it pass only from this host's service to a tap. So every hypervisor
//! of a segment has the address, and no two of them hear of each other. Answers live for one hop.

mod rules;

use std::net::{Ipv4Addr, SocketAddrV4, TcpListener};

use ipnet::{IpNet, Ipv4Net};
use rhyzome_model::NetworkId;
use rhyzome_model::id::short;
use rhyzome_model::network::bridge_name;

use crate::link::{Change, Route};
use crate::lock::{self, LockError};
use crate::nft::{self, NftError};
use crate::pair::{Pair, PairError};
use crate::sysctl::{self, SysctlError};
use crate::{LinkError, Links, Mark, Namespace, NamespaceError};

/// Where guests look for what they are told (Amazon EC2's address, and that of all who came after).
pub const ADDRESS: Ipv4Addr = Ipv4Addr::new(169, 254, 169, 254);
pub const PORT: u16 = 80;

/// The MAC of every service: on a segment, a host sees no other than its own.
const MAC: [u8; 6] = [0x02, 0, 169, 254, 169, 254];
const INSIDE: &str = "eth0";
const LOCK: &str = "service";

/// Inside. An answer lives for one hop: what a guest forwards, it forwards no answers to.
const PARAMETERS: [(&str, &str); 4] = [
    ("net/ipv4/ip_default_ttl", "1"),
    ("net/ipv4/ip_forward", "0"),
    ("net/ipv6/conf/all/disable_ipv6", "1"),
    ("net/ipv6/conf/default/disable_ipv6", "1"),
];

#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    #[error("cannot plug the service into the segment")]
    Pair(#[source] PairError),
    #[error("cannot change the links of the service")]
    Link(#[source] LinkError),
    #[error("cannot keep the service's namespace")]
    Namespace(#[source] NamespaceError),
    #[error("cannot set up the service's namespace")]
    Sysctl(#[source] SysctlError),
    #[error("cannot set the rules of the service")]
    Rules(#[source] NftError),
    #[error("cannot have the services of this host for itself")]
    Lock(#[source] LockError),
    #[error("cannot listen at {ADDRESS}")]
    Listen(#[source] std::io::Error),
    #[error("the service of the bridge {0} is not as it was just made: {1}")]
    NotApplied(String, String),
}

/// The services of one component.
#[derive(Clone, Copy, Debug)]
pub struct Services {
    mark: Mark,
}

impl Services {
    pub fn of(mark: Mark) -> Self {
        Self { mark }
    }

    /// The namespace of a network's service; its inode says whether it is still the same one.
    pub fn namespace(&self, network: NetworkId) -> Namespace {
        Namespace::named(format!("rzm-{}-{}", short(network.0), self.mark))
    }

    fn pair(&self, network: NetworkId, mtu: u16) -> Pair {
        Pair {
            namespace: self.namespace(network),
            inside: INSIDE.to_owned(),
            mac: MAC,
            outside: port_name(network),
            alias: format!("rhyzome {} {network}", self.mark),
            mtu: mtu.into(),
        }
    }

    fn table(&self) -> String {
        format!("rhyzome_service_{}", self.mark)
    }

    /// Has the address on a network's segment, which has to be there. Verified.
    ///
    /// # Errors
    /// The step that failed; all of it may be repeated.
    pub async fn ensure(&self, network: NetworkId, mtu: u16) -> Result<(), ServiceError> {
        let _lock = lock::take(LOCK).await.map_err(ServiceError::Lock)?;
        // The rules are there before anything that they are about.
        let ruleset = rules::build(&self.table());
        ruleset.ensure().await.map_err(ServiceError::Rules)?;
        let namespace = self.namespace(network);
        namespace.ensure().await.map_err(ServiceError::Namespace)?;
        let prepared = namespace.run(|| async { prepare() }).await;
        prepared.map_err(ServiceError::Namespace)??;
        let pair = self.pair(network, mtu);
        pair.ensure().await.map_err(ServiceError::Pair)?;
        let addressed = namespace.run(address).await;
        addressed
            .map_err(ServiceError::Namespace)?
            .map_err(ServiceError::Link)?;
        plug(network).await?;
        match self.difference(network, mtu).await? {
            None => Ok(()),
            Some(why) => Err(ServiceError::NotApplied(bridge_name(network), why)),
        }
    }

    /// What of a network's service is not as it should be; none where nothing is.
    pub async fn check(
        &self,
        network: NetworkId,
        mtu: u16,
    ) -> Result<Option<String>, ServiceError> {
        self.difference(network, mtu).await
    }

    async fn difference(
        &self,
        network: NetworkId,
        mtu: u16,
    ) -> Result<Option<String>, ServiceError> {
        let ruleset = rules::build(&self.table());
        let listing = nft::list(ruleset.family(), ruleset.table())
            .await
            .map_err(ServiceError::Rules)?;
        if let Some(why) = ruleset.differs(listing.as_ref()) {
            return Ok(Some(format!("of its rules, {why}")));
        }
        let namespace = self.namespace(network);
        if !namespace.exists() {
            return Ok(Some("its namespace is missing".to_owned()));
        }
        let links = Links::open().map_err(ServiceError::Link)?;
        let bridge = links.find(&bridge_name(network)).await;
        let port = links.find(&port_name(network)).await;
        let bridge = bridge.map_err(ServiceError::Link)?;
        let Some(port) = port.map_err(ServiceError::Link)? else {
            return Ok(Some("its port is missing".to_owned()));
        };
        if !port.up || port.mtu != u32::from(mtu) {
            return Ok(Some("its port is not as it should be".to_owned()));
        }
        if bridge.is_none_or(|bridge| port.controller != Some(bridge.index)) {
            return Ok(Some("its port is not in the segment".to_owned()));
        }
        let inside = self.pair(network, mtu).find_inside().await;
        let Some(inside) = inside.map_err(ServiceError::Pair)? else {
            return Ok(Some("its link is missing".to_owned()));
        };
        let index = inside.index;
        let has = namespace
            .run(move || async move { has_address(index).await })
            .await;
        let has = has
            .map_err(ServiceError::Namespace)?
            .map_err(ServiceError::Link)?;
        Ok((!inside.up || !has).then(|| "its address is missing".to_owned()))
    }

    /// Listens at the address on a network's segment; whoever accepts need not be inside.
    pub async fn listen(&self, network: NetworkId) -> Result<TcpListener, ServiceError> {
        let bind = || async {
            let socket = tokio::net::TcpSocket::new_v4()?;
            // The listener of a process that is just ending may still be there.
            socket.set_reuseport(true)?;
            socket.bind(SocketAddrV4::new(ADDRESS, PORT).into())?;
            socket.listen(256)?.into_std()
        };
        let listener = self.namespace(network).run(bind).await;
        listener
            .map_err(ServiceError::Namespace)?
            .map_err(ServiceError::Listen)
    }

    /// Takes the address off a network's segment; the rules go with the last one. Fine where there is
    /// nothing.
    pub async fn remove(&self, network: NetworkId) -> Result<(), ServiceError> {
        let _lock = lock::take(LOCK).await.map_err(ServiceError::Lock)?;
        let pair = self.pair(network, 0);
        let links = Links::open().map_err(ServiceError::Link)?;
        let port = links
            .find(&pair.outside)
            .await
            .map_err(ServiceError::Link)?;
        if let Some(port) = port.filter(|port| port.alias.as_deref() == Some(&*pair.alias)) {
            links.delete(port.index).await.map_err(ServiceError::Link)?;
        }
        pair.namespace.delete().map_err(ServiceError::Namespace)?;
        if self.namespaces()?.is_empty() {
            self.delete_rules().await?;
        }
        Ok(())
    }

    /// Removes all that this component has.
    pub async fn remove_all(&self) -> Result<(), ServiceError> {
        let _lock = lock::take(LOCK).await.map_err(ServiceError::Lock)?;
        let links = Links::open().map_err(ServiceError::Link)?;
        let ours = format!("rhyzome {} ", self.mark);
        for link in links.list().await.map_err(ServiceError::Link)? {
            let alias = link.alias.as_deref().unwrap_or_default();
            if link.name.starts_with(PORTS) && alias.starts_with(&ours) {
                links.delete(link.index).await.map_err(ServiceError::Link)?;
            }
        }
        for namespace in self.namespaces()? {
            namespace.delete().map_err(ServiceError::Namespace)?;
        }
        self.delete_rules().await
    }

    fn namespaces(&self) -> Result<Vec<Namespace>, ServiceError> {
        let end = format!("-{}", self.mark);
        let mut all = Namespace::list().map_err(ServiceError::Namespace)?;
        all.retain(|it| it.name().starts_with("rzm-") && it.name().ends_with(&end));
        Ok(all)
    }

    async fn delete_rules(&self) -> Result<(), ServiceError> {
        nft::delete("bridge", &self.table())
            .await
            .map(drop)
            .map_err(ServiceError::Rules)
    }
}

/// What the names of all services' ports begin with.
const PORTS: &str = "rm";

/// The service's port of the bridge, on the host: 14 bytes.
fn port_name(network: NetworkId) -> String {
    format!("{PORTS}{}", short(network.0))
}

fn prepare() -> Result<(), ServiceError> {
    for (name, value) in PARAMETERS {
        sysctl::ensure_where_present(name, value).map_err(ServiceError::Sysctl)?;
    }
    Ok(())
}

/// The address alone, and everybody on the segment reached without a router.
async fn address() -> Result<(), LinkError> {
    let links = Links::open()?;
    let Some(link) = links.find(INSIDE).await? else {
        return Ok(());
    };
    let own = IpNet::V4(Ipv4Net::new_assert(ADDRESS, 32));
    links.ensure_addresses(link.index, &[own]).await?;
    let everybody = Route {
        to: IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::UNSPECIFIED, 0)),
        via: None,
        link: link.index,
    };
    links.add_route(everybody).await.map(drop)
}

async fn has_address(index: u32) -> Result<bool, LinkError> {
    let links = Links::open()?;
    let addresses = links.addresses(index).await?;
    let routes = links.routes().await?;
    let routed = routes
        .iter()
        .any(|route| route.link == index && route.to.prefix_len() == 0);
    Ok(routed && addresses.iter().any(|net| net.addr() == ADDRESS))
}

async fn plug(network: NetworkId) -> Result<(), ServiceError> {
    let links = Links::open().map_err(ServiceError::Link)?;
    let bridge = links.find(&bridge_name(network)).await;
    let bridge = bridge.map_err(ServiceError::Link)?;
    let port = links.find(&port_name(network)).await;
    let port = port.map_err(ServiceError::Link)?;
    let Some((bridge, port)) = bridge.zip(port) else {
        let why = "the bridge or the port is missing".to_owned();
        return Err(ServiceError::NotApplied(bridge_name(network), why));
    };
    if port.controller == Some(bridge.index) && port.up {
        return Ok(());
    }
    let plugged = Change {
        controller: Some(bridge.index),
        up: Some(true),
        ..Change::default()
    };
    links
        .change(port.index, plugged)
        .await
        .map_err(ServiceError::Link)
}
