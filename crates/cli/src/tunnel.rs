//! Choosing the way to an instance: which peer of this device, which network, which address.

use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rhyzome_model::Name;
use rhyzome_model::resource::{Instance, Peer};
use rhyzome_wireguard::config::{ClientConfig, ConfigError};
#[cfg(target_os = "linux")]
use rhyzome_wireguard::tunnel::kernel::Holder;
use rhyzome_wireguard::tunnel::{ConnectError, HandshakeError, StartError, Tunnel};

use crate::args::WaitArgs;
use crate::failure::Failure;
use crate::naming;
use crate::peer::keys::Store;
use crate::peer::{config, verbs};
use crate::session::{Cx, Session};
use crate::wait;

/// How long an endpoint has to acknowledge a peer before a tunnel is tried.
const ACKNOWLEDGED: WaitArgs = WaitArgs {
    no_wait: false,
    timeout: Duration::from_secs(60),
};

/// After how long people are told what is waited for.
const SILENCE: Duration = Duration::from_secs(2);

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the instance {0} is in no network")]
    NoNetwork(Name),
    #[error("no peer of this device reaches the instance {instance} (in {networks})")]
    NoPeer {
        instance: Name,
        networks: String,
        peers: Vec<Name>,
    },
    #[error("several peers of this device reach the instance {instance}: {peers}")]
    SeveralPeers { instance: Name, peers: String },
    #[error("the peer {peer} does not reach the instance {instance} (in {networks})")]
    NotReached {
        peer: Name,
        instance: Name,
        networks: String,
    },
    #[error("this machine's name {0:?} makes no name for a peer")]
    NoDeviceName(String),
    #[error("{} is not a WireGuard configuration that can be used here", .path.display())]
    Config { path: PathBuf, source: ConfigError },
    #[error("{address} is in none of the networks of {}: {networks}", .path.display())]
    Outside {
        path: PathBuf,
        address: IpAddr,
        networks: String,
    },
    #[error("the tunnel cannot be started")]
    Start(#[source] StartError),
    #[error("{0}")]
    Silent(HandshakeError),
    #[error("no connection through the tunnel")]
    Connect(#[source] ConnectError),
}

impl Error {
    pub fn advice(&self) -> Option<String> {
        match self {
            Self::NoPeer {
                networks, peers, ..
            } => {
                let network = networks.split(", ").next().unwrap_or_default();
                Some(match peers.first() {
                    Some(peer) => format!(
                        "`rhyzome peer update {peer} --add-network {network}`, or say `--create-peer`"
                    ),
                    None => format!(
                        "`rhyzome peer create NAME --network {network}` makes this device a peer; \
                         `--create-peer` does so on the way"
                    ),
                })
            }
            Self::SeveralPeers { .. } => Some("choose one with `--peer NAME`".to_owned()),
            Self::NotReached { peer, networks, .. } => {
                let network = networks.split(", ").next().unwrap_or_default();
                Some(format!(
                    "`rhyzome peer update {peer} --add-network {network}`"
                ))
            }
            Self::Silent(_) | Self::Connect(ConnectError::NoHandshake { .. }) => Some(
                "is the endpoint's UDP port open on the way, and is this peer still known? \
                 `rhyzome peer show NAME` says whether the endpoint has it"
                    .to_owned(),
            ),
            _ => None,
        }
    }
}

/// Which peer of this device to go as.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Device {
    /// The peer to go as; by default the only one of this device that reaches the instance.
    #[arg(long, value_name = "NAME")]
    #[arg(add = clap_complete::ArgValueCandidates::new(crate::complete::peers))]
    pub peer: Option<Name>,
    /// If no peer of this device reaches the instance, make this device one, called as the machine.
    #[arg(long, conflicts_with = "peer")]
    pub create_peer: bool,
}

/// Which peer of this device to go as, or another configuration.
#[derive(Debug, Default, clap::Args)]
pub struct As {
    #[command(flatten)]
    pub device: Device,
    /// Use this WireGuard configuration, as `rhyzome peer config` writes it, and no core.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["peer", "create_peer"])]
    pub config: Option<PathBuf>,
}

/// A way to an instance.
pub struct Way {
    pub config: ClientConfig,
    pub address: IpAddr,
    /// The instance's name in the DNS of its network.
    pub dns_name: String,
    /// The peer that this device goes as.
    pub peer: Name,
}

/// Reads a configuration that leads to an address from a file.
pub fn read(path: &Path, address: IpAddr) -> Result<ClientConfig, Failure> {
    let text = std::fs::read_to_string(path);
    let text = text.map_err(|source: io::Error| Failure::Read {
        path: path.to_owned(),
        source,
    })?;
    let wrong = |source| Error::Config {
        path: path.to_owned(),
        source,
    };
    let config = ClientConfig::parse(&text).map_err(wrong)?;
    let reached = || config.peers.iter().flat_map(|peer| &peer.allowed_ips);
    if !reached().any(|network| network.contains(&address)) {
        let networks: Vec<String> = reached().map(ToString::to_string).collect();
        let outside = Error::Outside {
            path: path.to_owned(),
            address,
            networks: networks.join(", "),
        };
        return Err(outside.into());
    }
    Ok(config)
}

/// Starts a tunnel and waits until its endpoints have answered; says so, where that takes a while.
pub async fn start(cx: &Cx, config: &ClientConfig, bound: Duration) -> Result<Tunnel, Failure> {
    let tunnel = begin(config).await.map_err(Error::Start)?;
    wait_handshake(cx, config, &tunnel, bound)
        .await
        .map_err(Error::Silent)?;
    Ok(tunnel)
}

/// What this program is run with to hold a tunnel's namespace.
#[cfg(target_os = "linux")]
pub const HOLDER: &str = "tunnel-holder";

/// Above the kernel's TCP, where that can be had.
#[cfg(target_os = "linux")]
async fn begin(config: &ClientConfig) -> Result<Tunnel, StartError> {
    // The running program itself, also where its file was replaced meanwhile.
    let holder = Holder {
        path: "/proc/self/exe".into(),
        args: vec![HOLDER.to_owned()],
    };
    Tunnel::start_with(config, &holder).await
}

#[cfg(not(target_os = "linux"))]
async fn begin(config: &ClientConfig) -> Result<Tunnel, StartError> {
    Tunnel::start(config).await
}

async fn wait_handshake(
    cx: &Cx,
    config: &ClientConfig,
    tunnel: &Tunnel,
    bound: Duration,
) -> Result<(), HandshakeError> {
    let mut answered = std::pin::pin!(tunnel.wait_handshake(bound));
    if let Ok(outcome) = tokio::time::timeout(SILENCE, &mut answered).await {
        return outcome;
    }
    let endpoints = config.peers.iter().map(|peer| peer.endpoint.to_string());
    let endpoints = endpoints.collect::<Vec<_>>().join(", ");
    cx.output
        .note(&format!("waiting for an answer of {endpoints}"));
    answered.await
}

/// Finds the way to an instance through one of its networks.
pub async fn find(cx: &Cx, instance: &Name, device: &Device) -> Result<Way, Failure> {
    let session = cx.session()?;
    let instance = session.scope.instance().get(instance).await?;
    to(cx, &session, &instance, device).await
}

/// Finds the way to an instance that is known already.
pub async fn to(
    cx: &Cx,
    session: &Session<'_>,
    instance: &Instance,
    device: &Device,
) -> Result<Way, Failure> {
    if instance.status.interfaces.is_empty() {
        return Err(Error::NoNetwork(instance.meta.name.clone()).into());
    }
    let store = Store::of(cx, session).await?;
    let peer = match &device.peer {
        Some(name) => session.scope.peer().get(name).await?,
        None => match only(instance, known(session, &store).await?) {
            Err(Error::NoPeer { .. }) if device.create_peer => {
                create(session, &store, instance).await?
            }
            other => other?,
        },
    };
    let peer = wait::ready(session, &session.scope.peer(), peer, ACKNOWLEDGED).await?;
    way(&store, &peer, instance)
}

fn way(store: &Store, peer: &Peer, instance: &Instance) -> Result<Way, Failure> {
    let missing = || Failure::NoKey {
        what: format!("the private key of the peer {}", peer.meta.name),
        path: store.path(&peer.meta.name),
    };
    let key = store.find(&peer.meta.name)?.ok_or_else(missing)?;
    let found = instance.status.interfaces.iter().find_map(|interface| {
        let mut networks = peer.status.networks.iter();
        networks
            .find(|network| network.network == interface.network)
            .map(|network| (interface, network))
    });
    let (interface, network) = found.ok_or_else(|| Error::NotReached {
        peer: peer.meta.name.clone(),
        instance: instance.meta.name.clone(),
        networks: networks(instance),
    })?;
    let config = config::build(key, peer, &[network])?;
    Ok(Way {
        config,
        address: interface.ipv4.into(),
        dns_name: interface.dns_name.clone(),
        peer: peer.meta.name.clone(),
    })
}

/// The peers of this project whose keys are on this device.
async fn known(session: &Session<'_>, store: &Store) -> Result<Vec<Peer>, Failure> {
    let mut peers = Vec::new();
    for name in store.names() {
        match session.scope.peer().get(&name).await {
            Ok(peer) => {
                let here = store.find(&name)?.map(|key| key.public_key().to_string());
                if here.as_ref() == Some(&peer.spec.public_key) {
                    peers.push(peer);
                }
            }
            Err(e) if e.is_not_found() => {}
            Err(e) => return Err(e.into()),
        }
    }
    Ok(peers)
}

/// The only peer that reaches the instance.
fn only(instance: &Instance, peers: Vec<Peer>) -> Result<Peer, Error> {
    let reaches = |peer: &Peer| {
        let mut interfaces = instance.status.interfaces.iter();
        interfaces.any(|interface| peer.spec.networks.contains(&interface.network))
    };
    let names: Vec<Name> = peers.iter().map(|peer| peer.meta.name.clone()).collect();
    let mut able: Vec<Peer> = peers.into_iter().filter(reaches).collect();
    let name = instance.meta.name.clone();
    match able.len() {
        0 => Err(Error::NoPeer {
            instance: name,
            networks: networks(instance),
            peers: names,
        }),
        1 => Ok(able.remove(0)),
        _ => {
            let names: Vec<_> = able.iter().map(|peer| peer.meta.name.to_string()).collect();
            Err(Error::SeveralPeers {
                instance: name,
                peers: names.join(", "),
            })
        }
    }
}

/// Makes this device a peer of the instance's first network; one that it is already gets the network.
async fn create(
    session: &Session<'_>,
    store: &Store,
    instance: &Instance,
) -> Result<Peer, Failure> {
    let host = nix::unistd::gethostname()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    let name = naming::nearest(&host).ok_or(Error::NoDeviceName(host))?;
    let Some(interface) = instance.status.interfaces.first() else {
        return Err(Error::NoNetwork(instance.meta.name.clone()).into());
    };
    let network = interface.network.clone();
    match verbs::create(session, store, &name, vec![network.clone()], ACKNOWLEDGED).await {
        Err(Failure::PeerHere { .. }) => {
            session
                .output
                .note(&format!("the peer {name} gets the network {network}"));
            verbs::update(session, &name, &[network], &[], ACKNOWLEDGED).await
        }
        Ok(peer) => {
            session
                .output
                .note(&format!("this device is the peer {name} now"));
            Ok(peer)
        }
        Err(e) => Err(e),
    }
}

fn networks(instance: &Instance) -> String {
    let names: Vec<_> = instance
        .status
        .interfaces
        .iter()
        .map(|i| i.network.to_string())
        .collect();
    names.join(", ")
}
