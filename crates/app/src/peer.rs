//! Peers: given networks and taken from them by difference; taken means that the endpoint said so.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, Ipv6Addr};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rhyzome_model::address::{overlap_ipv4, overlap_ipv6, router_ipv4};
use rhyzome_model::peer::PeerSpec;
use rhyzome_model::quota::QuotaKind;
use rhyzome_model::resource::{Peer, PeerNetwork, PeerStatus, PeerSummary};
use rhyzome_model::{Name, NetworkId, PeerId, ProjectId};
use rhyzome_store::network::Network;
use rhyzome_store::placement::{Row, State};
use rhyzome_store::{Conn, peer, placement};

use crate::authorize::{Caller, Operation, authorize};
use crate::work::Work;
use crate::{
    Core, Error, IfMatch, Kind, Listed, PageRequest, Result, network, placing, quota, resolve,
    status,
};

pub async fn create(
    core: &Core,
    caller: &Caller,
    project: &Name,
    name: Name,
    spec: PeerSpec,
) -> Result<Peer> {
    authorize(caller, Operation::PeerCreate, Some(project))?;
    check_key(&spec.public_key)?;
    let mut work = core.begin().await?;
    work.refuse_unconfirmed().await?;
    let project_id = resolve::project(&mut work, project).await?;
    if peer::get(&mut work, project_id, &name).await?.is_some() {
        return Err(Error::name_taken("peer", &name));
    }
    quota::check(&mut work, project_id, &[(QuotaKind::Peers, 1)]).await?;
    if let Some(other) = peer::with_key(&mut work, project_id, &spec.public_key).await? {
        let why = format!("the peer {other} has this key already; a key belongs to one device");
        return Err(Error::invalid("spec.public_key", why));
    }
    let networks = networks_of(&mut work, project_id, &spec).await?;
    let (ipv4, ipv6) = allocate(&mut work, project, &name).await?;
    let id = PeerId(core.uuid());
    let now = work.now;
    let row = peer::NewPeer {
        id,
        project: project_id,
        name: &name,
        spec: &spec,
        ipv4,
        ipv6,
        user: caller.person,
    };
    peer::insert(&mut work, &row, now).await?;
    let made = existing(&mut work, project_id, &name).await?;
    for network in &networks {
        peer::give(&mut work, id, network.id).await?;
        work.want_peer(&made, network).await?;
    }
    tell(&mut work, &made, "created").await?;
    work.commit().await?;
    get(core, caller, project, &name).await
}

pub async fn get(core: &Core, caller: &Caller, project: &Name, name: &Name) -> Result<Peer> {
    authorize(caller, Operation::PeerRead, Some(project))?;
    let mut conn = core.store.read().await?;
    let project = resolve::project(&mut conn, project).await?;
    let found = peer::get(&mut conn, project, name).await?;
    let row = found.ok_or_else(|| Error::not_found("peer", name))?;
    view(core, &mut conn, row).await
}

pub async fn list(
    core: &Core,
    caller: &Caller,
    project: &Name,
    page: &PageRequest,
) -> Result<Listed<PeerSummary>> {
    authorize(caller, Operation::PeerRead, Some(project))?;
    let mut conn = core.store.read().await?;
    let project = resolve::project(&mut conn, project).await?;
    let rows = peer::list(&mut conn, project, &resolve::after(page)).await?;
    let (rows, next) = resolve::listed(rows, page, |row| row.meta.name.to_string());
    let placements =
        resolve::placements(&mut conn, placement::Listed::Peers, project, page).await?;
    let before = core.silent_before();
    let summarize = |row: peer::Peer| {
        let own = placements
            .get(&row.id.0)
            .map(Vec::as_slice)
            .unwrap_or_default();
        PeerSummary {
            phase: status::phase(row.deleting, own, before),
            meta: row.meta,
            ipv4: row.ipv4,
            networks: row.spec.networks,
        }
    };
    Ok((rows.into_iter().map(summarize).collect(), next))
}

/// Changes which networks a peer may reach.
pub async fn update(
    core: &Core,
    caller: &Caller,
    project: &Name,
    name: &Name,
    spec: PeerSpec,
    if_match: IfMatch,
) -> Result<Peer> {
    authorize(caller, Operation::PeerUpdate, Some(project))?;
    let mut work = core.begin().await?;
    let project_id = resolve::project(&mut work, project).await?;
    let found = existing(&mut work, project_id, name).await?;
    resolve::check_match(&found.meta, if_match)?;
    if found.deleting {
        return Err(Error::new(
            Kind::InUse,
            format!("the peer {name} is being deleted"),
        ));
    }
    if spec.public_key != found.spec.public_key {
        let why = "a peer's key cannot be changed; make a new peer for another device";
        return Err(Error::invalid("spec.public_key", why));
    }
    let wanted = networks_of(&mut work, project_id, &spec).await?;
    let had: BTreeSet<NetworkId> = peer::networks(&mut work, found.id)
        .await?
        .into_iter()
        .collect();
    let now = work.now;
    if spec != found.spec {
        peer::update(&mut work, found.id, &spec, now).await?;
        tell(&mut work, &found, "updated").await?;
    }
    for network in &wanted {
        if !had.contains(&network.id) {
            peer::give(&mut work, found.id, network.id).await?;
        }
        work.want_peer(&found, network).await?;
    }
    let kept: BTreeSet<NetworkId> = wanted.iter().map(|network| network.id).collect();
    for row in placement::of_resource(&mut work, found.id.0).await? {
        if row.network.is_some_and(|network| !kept.contains(&network)) {
            work.unwant(&row).await?;
        }
    }
    for network in had.difference(&kept) {
        peer::take(&mut work, found.id, *network).await?;
    }
    work.commit().await?;
    get(core, caller, project, name).await
}

/// Begins to delete a peer. Returns it while an endpoint has not acknowledged that, none when all have.
pub async fn delete(
    core: &Core,
    caller: &Caller,
    project: &Name,
    name: &Name,
    if_match: IfMatch,
) -> Result<Option<Peer>> {
    authorize(caller, Operation::PeerDelete, Some(project))?;
    let mut work = core.begin().await?;
    let project_id = resolve::project(&mut work, project).await?;
    let found = existing(&mut work, project_id, name).await?;
    resolve::check_match(&found.meta, if_match)?;
    if !found.deleting {
        begin_to_delete(&mut work, &found).await?;
    }
    // Before the commit: an endpoint that is quick would be missing from it later.
    let left = match peer::get(&mut work, project_id, name).await? {
        Some(row) => Some(view(core, &mut work, row).await?),
        None => None,
    };
    if !found.deleting {
        work.commit().await?;
    }
    Ok(left)
}

/// Has a peer taken from its networks' endpoints; returns what each of them has to confirm.
pub(crate) async fn begin_to_delete(work: &mut Work, found: &peer::Peer) -> Result<Vec<Row>> {
    let now = work.now;
    peer::set_deleting(work, found.id, now).await?;
    tell(work, found, "deleting").await?;
    let placements = placement::of_resource(work, found.id.0).await?;
    for row in &placements {
        work.unwant(row).await?;
    }
    for network in peer::networks(work, found.id).await? {
        peer::take(work, found.id, network).await?;
    }
    if placements.is_empty() {
        forget(work, found).await?;
    }
    Ok(placements)
}

/// Forgets a peer whose placements are gone.
pub(crate) async fn forget(work: &mut Work, row: &peer::Peer) -> Result<()> {
    tell(work, row, "deleted").await?;
    Ok(peer::delete(work, row.id).await?)
}

async fn existing(work: &mut Work, project: ProjectId, name: &Name) -> Result<peer::Peer> {
    peer::get(work, project, name)
        .await?
        .ok_or_else(|| Error::not_found("peer", name))
}

/// A WireGuard public key: 32 bytes, not all of them zero, as base64.
fn check_key(text: &str) -> Result<()> {
    let bytes = STANDARD
        .decode(text)
        .map_err(|_| Error::invalid("spec.public_key", "a public key is 32 bytes in base64"))?;
    if bytes.len() != 32 {
        let why = format!("a public key has 32 bytes; this one has {}", bytes.len());
        return Err(Error::invalid("spec.public_key", why));
    }
    if bytes.iter().all(|byte| *byte == 0) {
        return Err(Error::invalid("spec.public_key", "this key is all zero"));
    }
    Ok(())
}

/// The networks that a spec names: they are there, and no two overlap, since one device routes to all.
async fn networks_of(work: &mut Work, project: ProjectId, spec: &PeerSpec) -> Result<Vec<Network>> {
    let mut networks: Vec<Network> = Vec::new();
    for name in &spec.networks {
        let network = resolve::usable_network(work, project, name).await?;
        for other in &networks {
            if other.id == network.id {
                return Err(Error::invalid(
                    "spec.networks",
                    format!("{name} is named twice"),
                ));
            }
            if overlap_ipv4(other.ipv4, network.ipv4) || overlap_ipv6(other.ipv6, network.ipv6) {
                let why = format!(
                    "{name} and {} overlap, so one peer cannot reach both",
                    other.meta.name
                );
                return Err(Error::invalid("spec.networks", why));
            }
        }
        networks.push(network);
    }
    Ok(networks)
}

async fn allocate(work: &mut Work, project: &Name, name: &Name) -> Result<(Ipv4Addr, Ipv6Addr)> {
    let core = work.core().clone();
    for (ipv4, ipv6) in core
        .seed
        .peer((core.site.peers_ipv4, core.peers_ipv6), project, name)
    {
        if !peer::address_taken(work, ipv4).await? {
            return Ok((ipv4, ipv6));
        }
    }
    Err(Error::new(
        Kind::NoCapacity,
        format!("no address is free in {}", core.site.peers_ipv4),
    ))
}

pub(crate) async fn tell(work: &mut Work, row: &peer::Peer, what: &str) -> Result<()> {
    work.tell((row.project, "peer"), &row.meta, what, "").await
}

async fn view(core: &Core, conn: &mut Conn, row: peer::Peer) -> Result<Peer> {
    let placements = placement::of_resource(conn, row.id.0).await?;
    let before = core.silent_before();
    let phase = status::phase(row.deleting, &placements, before);
    let mut networks = Vec::new();
    for placement in &placements {
        networks.extend(peer_network(core, conn, placement).await?);
    }
    networks.sort_by(|a, b| a.network.cmp(&b.network));
    let status = PeerStatus {
        phase,
        observed_generation: status::observed_generation(row.meta.generation, phase),
        ipv4: row.ipv4,
        ipv6: row.ipv6,
        networks,
        conditions: status::conditions(&placements, before),
    };
    Ok(Peer {
        meta: row.meta,
        user: row.user,
        spec: row.spec,
        status,
    })
}

async fn peer_network(core: &Core, conn: &mut Conn, row: &Row) -> Result<Option<PeerNetwork>> {
    let Some(id) = row.network else {
        return Ok(None);
    };
    let found = network::with_endpoint(conn, id).await?;
    Ok(found.map(|(network, endpoint)| PeerNetwork {
        ipv4: network.ipv4,
        ipv6: network.ipv6,
        mtu: tunnel_mtu(network.mtu),
        domain: placing::domain(core, &network),
        dns: router_ipv4(network.ipv4),
        network: network.meta.name,
        endpoint,
        ready: row.wanted && row.state == State::Ready,
        asked_at: row.asked_at,
        applied_at: row
            .applied_at
            .filter(|_| row.observed_generation == row.generation),
    }))
}

/// The largest packet inside a tunnel over a path of 1500: less the outer IPv6 and UDP headers and
/// WireGuard's own (40 + 8 + 32), and never more than the segment carries.
fn tunnel_mtu(segment: u16) -> u16 {
    segment.min(1420)
}
