//! The WireGuard endpoint of a network: which process it should be, and its peers.

use ipnet::IpNet;
use rhyzome_model::network::{NetworkObserved, NetworkPlacement};
use rhyzome_model::peer::PeerPlacement;
use rhyzome_wireguard::endpoint::{self, Backend, EndpointOptions, Running, SpawnError, Status};
use rhyzome_wireguard::key::PublicKey;
use rhyzome_wireguard::peers::{Changes, Peer, PeerSet, plan};

use crate::error::Error;
use crate::layout::{Layout, TUNNEL};
use crate::process::{self, Process};
use crate::record::{self, PeerRecord, Shelf};
use crate::router;
use crate::settings::Settings;

/// What WireGuard adds to a packet: 40 bytes of IPv6, 8 of UDP, 32 of its own.
const OVERHEAD: u16 = 80;
/// What IPv6 takes at least (RFC 8200), and what fits an ordinary way through the internet.
const MTU: (u16, u16) = (1280, 1420);

fn options(layout: &Layout, spec: &NetworkPlacement) -> EndpointOptions {
    EndpointOptions {
        dir: layout.endpoint(),
        interface: TUNNEL.to_owned(),
        namespace: Some(layout.namespace.path()),
        listen_port: spec.endpoint_port,
        mtu: spec.mtu.saturating_sub(OVERHEAD).clamp(MTU.0, MTU.1),
        addresses: Vec::new(),
        routes: vec![spec.peers_ipv4.into(), spec.peers_ipv6.into()],
        wg_link: None,
    }
}

/// Starts it where it does not run as asked.
pub(crate) async fn ensure(
    layout: &Layout,
    spec: &NetworkPlacement,
    settings: &Settings,
) -> Result<Running, Error> {
    record::make_folder(&layout.endpoint())?;
    if router::find_inside(layout, TUNNEL).await?.is_none() {
        // One that runs has its interface in a namespace that is not the network's any more.
        endpoint::stop(&layout.endpoint())
            .await
            .map_err(Error::EndpointStop)?;
    }
    let options = options(layout, spec);
    endpoint::ensure(&options, &settings.endpoint_program)
        .await
        .map_err(Error::Endpoint)
}

/// What it says of itself, without peers, and its process; or why it does not run as asked.
pub(crate) async fn look(
    layout: &Layout,
    spec: &NetworkPlacement,
) -> Result<Result<(Status, Process), String>, Error> {
    let found = running(layout, spec).await?;
    Ok(found.map(|(running, process)| (running.status, process)))
}

/// The peers in force, of those that are asked about; none where it does not run as asked.
pub(crate) async fn peers(
    layout: &Layout,
    spec: &NetworkPlacement,
    of: Option<&[PublicKey]>,
) -> Result<Option<PeerSet>, Error> {
    let Ok((mut running, _)) = running(layout, spec).await? else {
        return Ok(None);
    };
    let status = match of {
        Some(keys) => running.control.status_of(keys).await,
        None => running.control.status().await,
    };
    Ok(Some(in_force(&status.map_err(Error::Control)?)))
}

/// Or why it does not run as asked.
async fn running(
    layout: &Layout,
    spec: &NetworkPlacement,
) -> Result<Result<(Running, Process), String>, Error> {
    let running = match endpoint::find(&layout.endpoint()).await {
        Ok(Some(running)) => running,
        Ok(None) => return Ok(Err("the WireGuard endpoint does not run".to_owned())),
        Err(SpawnError::Unresponsive { pid, source, .. }) => {
            let why = format!("the WireGuard endpoint (process {pid}) runs, but: {source}");
            return Ok(Err(why));
        }
        Err(error) => return Err(Error::Endpoint(error)),
    };
    let wanted = options(layout, spec);
    let told = EndpointOptions {
        dir: wanted.dir.clone(),
        ..running.status.options.clone()
    };
    if told != wanted {
        let why = "the WireGuard endpoint runs with other options than it should";
        return Ok(Err(why.to_owned()));
    }
    let pid = running.status.pid;
    let process = find_below(&layout.folder)?
        .into_iter()
        .find(|process| u32::try_from(process.pid) == Ok(pid));
    Ok(match process {
        Some(process) => Ok((running, process)),
        None => Err(format!(
            "the WireGuard endpoint says that it is process {pid}, which is none of this network"
        )),
    })
}

/// All of a folder's.
pub(crate) fn find_below(folder: &std::path::Path) -> Result<Vec<Process>, Error> {
    process::find(|arguments| {
        // `… wireguard-endpoint FOLDER`
        matches!(arguments, [.., verb, dir] if verb == b"wireguard-endpoint" && process::is_below(dir, folder))
    })
}

pub(crate) async fn stop(layout: &Layout) -> Result<(), Error> {
    endpoint::stop(&layout.endpoint())
        .await
        .map_err(Error::EndpointStop)?;
    for process in find_below(&layout.folder)? {
        process.stop().await?;
    }
    Ok(())
}

pub(crate) fn observed(status: &Status) -> NetworkObserved {
    let kind = match status.backend {
        Backend::Userspace => "userspace",
    };
    NetworkObserved {
        endpoint_key: status.public_key.to_string(),
        endpoint_kind: kind.to_owned(),
    }
}

pub(crate) fn key(spec: &PeerPlacement) -> Result<PublicKey, Error> {
    spec.public_key
        .parse()
        .map_err(|e| Error::Key(spec.public_key.clone(), e))
}

fn wanted(spec: &PeerPlacement) -> Result<Peer, Error> {
    Ok(Peer::new(
        key(spec)?,
        [
            IpNet::from(std::net::IpAddr::V4(spec.ipv4)),
            std::net::IpAddr::V6(spec.ipv6).into(),
        ],
    ))
}

/// The peers as recorded. Where two have the same key, the one with the smaller id.
fn recorded(layout: &Layout) -> Result<PeerSet, Error> {
    peer_set(record::list(&layout.folder, Shelf::Peers)?)
}

/// Those of some keys.
fn recorded_of(layout: &Layout, keys: &[PublicKey]) -> Result<PeerSet, Error> {
    let texts: Vec<_> = keys.iter().map(PublicKey::to_string).collect();
    let mention = |record: &str| texts.iter().any(|key| record.contains(key));
    peer_set(record::select(&layout.folder, Shelf::Peers, mention)?)
}

fn peer_set(records: Vec<PeerRecord>) -> Result<PeerSet, Error> {
    let mut peers = PeerSet::new();
    for record in &records {
        let peer = wanted(&record.spec)?;
        peers.entry(peer.public_key).or_insert(peer);
    }
    Ok(peers)
}

fn in_force(status: &Status) -> PeerSet {
    status
        .peers
        .iter()
        .map(|peer| {
            (
                peer.public_key,
                Peer::new(peer.public_key, peer.allowed_ips.iter().copied()),
            )
        })
        .collect()
}

/// Brings the peers in force to those recorded, by difference. They are when this returns, except for
/// those that the endpoint refused, which are named with the reason.
pub(crate) async fn sync(
    layout: &Layout,
    running: &mut Running,
) -> Result<Vec<(String, String)>, Error> {
    let status = running.control.status().await.map_err(Error::Control)?;
    let changes = plan(&in_force(&status), &recorded(layout)?);
    if changes.is_empty() {
        return Ok(Vec::new());
    }
    apply(running, &changes).await
}

/// Those that the endpoint refused are named with the reason.
async fn apply(running: &mut Running, changes: &Changes) -> Result<Vec<(String, String)>, Error> {
    let applied = running
        .control
        .apply(changes)
        .await
        .map_err(Error::Control)?;
    Ok(applied
        .failed
        .into_iter()
        .map(|failure| (failure.public_key, failure.reason))
        .collect())
}

/// Brings the peers of some keys to those recorded, the others left alone. They are when this returns,
/// except for those that the endpoint refused, which are named with the reason. `new` is where no more is
/// asked than that these are there: then the records are not read, unless others have the keys.
pub(crate) async fn settle(
    layout: &Layout,
    running: &mut Running,
    keys: &[PublicKey],
    new: Option<&[&PeerPlacement]>,
) -> Result<Vec<(String, String)>, Error> {
    let changes = match new.map(only).transpose()?.flatten() {
        Some(new) => {
            let there = in_force_of(running, keys).await?;
            match there.iter().all(|(key, peer)| new.get(key) == Some(peer)) {
                true => plan(&there, &new),
                false => as_recorded(layout, running, keys).await?,
            }
        }
        None => as_recorded(layout, running, keys).await?,
    };
    if changes.is_empty() {
        return Ok(Vec::new());
    }
    apply(running, &changes).await
}

/// What is in force is not asked of those that go: with a thousand peers, that would be most of the work.
async fn as_recorded(
    layout: &Layout,
    running: &mut Running,
    keys: &[PublicKey],
) -> Result<Changes, Error> {
    let recorded = recorded_of(layout, keys)?;
    let mut changes = Changes::default();
    if !recorded.is_empty() {
        let stay: Vec<_> = recorded.keys().copied().collect();
        changes = plan(&in_force_of(running, &stay).await?, &recorded);
    }
    let go = keys.iter().filter(|key| !recorded.contains_key(key));
    changes.remove.extend(go);
    Ok(changes)
}

/// None where two have the same key.
fn only(specs: &[&PeerPlacement]) -> Result<Option<PeerSet>, Error> {
    let mut peers = PeerSet::new();
    for spec in specs {
        let peer = wanted(spec)?;
        peers.insert(peer.public_key, peer);
    }
    Ok((peers.len() == specs.len()).then_some(peers))
}

/// The peers of some keys, as they are in force.
pub(crate) async fn in_force_of(
    running: &mut Running,
    keys: &[PublicKey],
) -> Result<PeerSet, Error> {
    let status = running.control.status_of(keys).await;
    Ok(in_force(&status.map_err(Error::Control)?))
}

/// Whether a peer is in force as it should be.
pub(crate) fn has(in_force: &PeerSet, spec: &PeerPlacement) -> bool {
    wanted(spec).is_ok_and(|peer| in_force.get(&peer.public_key) == Some(&peer))
}
