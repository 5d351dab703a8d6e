//! Networks: allocated from the site's pools before anything is made.

mod allocate;
pub(crate) mod card;
mod router;

use rhyzome_model::address::{router_ipv4, router_ipv6};
use rhyzome_model::network::{NetworkObserved, NetworkSpec};
use rhyzome_model::placement::{Observed, PlacementKind};
use rhyzome_model::quota::QuotaKind;
use rhyzome_model::resource::{Endpoint, Network, NetworkSegment, NetworkStatus, NetworkSummary};
use rhyzome_model::segment::Segmentation;
use rhyzome_model::{ComponentId, Name, NetworkId, ProjectId};
use rhyzome_store::placement::Row;
use rhyzome_store::{Conn, component, network, placement};

use crate::authorize::{Caller, Operation, authorize};
use crate::work::Work;
use crate::{
    Core, Error, IfMatch, Kind, Listed, PageRequest, Result, placing, quota, resolve, status,
};

use allocate::At;

pub async fn create(
    core: &Core,
    caller: &Caller,
    project: &Name,
    name: Name,
    spec: NetworkSpec,
) -> Result<Network> {
    authorize(caller, Operation::NetworkCreate, Some(project))?;
    validate(&spec)?;
    let mut work = core.begin().await?;
    work.refuse_unconfirmed().await?;
    let project_id = resolve::project(&mut work, project).await?;
    if network::get(&mut work, project_id, &name).await?.is_some() {
        return Err(Error::name_taken("network", &name));
    }
    quota::check(&mut work, project_id, &[(QuotaKind::Networks, 1)]).await?;
    let at = At {
        project_id,
        project,
        name: &name,
    };
    allocate::check_prefixes(&mut work, &at, &spec).await?;
    let (router, segmentation) = router::choose(&mut work, caller, &spec).await?;
    let vni = allocate::vni(&mut work, &at).await?;
    let row = network::NewNetwork {
        id: NetworkId(core.uuid()),
        project: project_id,
        name: &name,
        spec: &spec,
        router: ComponentId(router.meta.id),
        ipv4: allocate::ipv4(&mut work, &at, spec.ipv4).await?,
        ipv6: allocate::ipv6(&mut work, &at, spec.ipv6).await?,
        mtu: allocate::mtu(&mut work, &router, segmentation).await?,
        port: allocate::port(&mut work, &at, &router).await?,
        vni,
        segment: allocate::segment(&mut work, &at, segmentation, vni).await?,
    };
    let now = work.now;
    network::insert(&mut work, &row, now).await?;
    let made = existing(&mut work, project_id, &name).await?;
    work.want_network(&made).await?;
    tell(&mut work, &made, "created").await?;
    work.commit().await?;
    get(core, caller, project, &name).await
}

pub async fn get(core: &Core, caller: &Caller, project: &Name, name: &Name) -> Result<Network> {
    authorize(caller, Operation::NetworkRead, Some(project))?;
    let mut conn = core.store.read().await?;
    let project = resolve::project(&mut conn, project).await?;
    let row = resolve::network(&mut conn, project, name).await?;
    view(core, &mut conn, row).await
}

pub async fn list(
    core: &Core,
    caller: &Caller,
    project: &Name,
    page: &PageRequest,
) -> Result<Listed<NetworkSummary>> {
    authorize(caller, Operation::NetworkRead, Some(project))?;
    let mut conn = core.store.read().await?;
    let project = resolve::project(&mut conn, project).await?;
    let rows = network::list(&mut conn, project, &resolve::after(page)).await?;
    let (rows, next) = resolve::listed(rows, page, |row| row.meta.name.to_string());
    let placements =
        resolve::placements(&mut conn, placement::Listed::Networks, project, page).await?;
    let before = core.silent_before();
    let summarize = |row: network::Network| {
        let own = placements
            .get(&row.id.0)
            .map(Vec::as_slice)
            .unwrap_or_default();
        NetworkSummary {
            phase: status::phase(row.deleting, own, before),
            meta: row.meta,
            ipv4: row.ipv4,
            ipv6: row.ipv6,
            egress: row.spec.egress,
            router: row.router_name,
        }
    };
    Ok((rows.into_iter().map(summarize).collect(), next))
}

/// Changes what can be changed of a network: whether it has egress.
pub async fn update(
    core: &Core,
    caller: &Caller,
    project: &Name,
    name: &Name,
    spec: NetworkSpec,
    if_match: IfMatch,
) -> Result<Network> {
    authorize(caller, Operation::NetworkUpdate, Some(project))?;
    validate(&spec)?;
    let mut work = core.begin().await?;
    let project_id = resolve::project(&mut work, project).await?;
    let found = resolve::network(&mut work, project_id, name).await?;
    resolve::check_match(&found.meta, if_match)?;
    refuse_while_deleting(&found)?;
    check_fixed(&found, &spec)?;
    let spec = NetworkSpec {
        ipv4: found.spec.ipv4,
        ipv6: found.spec.ipv6,
        router: found.spec.router.clone(),
        require: found.spec.require.clone(),
        ..spec
    };
    let now = work.now;
    if spec != found.spec {
        network::update(&mut work, found.id, &spec, now).await?;
        tell(&mut work, &found, "updated").await?;
    }
    let changed = existing(&mut work, project_id, name).await?;
    // Also where nothing changed: asking again is how one retries what failed.
    work.want_network(&changed).await?;
    work.want_refused_again(found.id).await?;
    work.commit().await?;
    get(core, caller, project, name).await
}

/// Begins to delete a network that nothing uses. Returns it while it is on its way, none when it is gone.
pub async fn delete(
    core: &Core,
    caller: &Caller,
    project: &Name,
    name: &Name,
    if_match: IfMatch,
) -> Result<Option<Network>> {
    authorize(caller, Operation::NetworkDelete, Some(project))?;
    let mut work = core.begin().await?;
    let project_id = resolve::project(&mut work, project).await?;
    let found = resolve::network(&mut work, project_id, name).await?;
    resolve::check_match(&found.meta, if_match)?;
    if let Some((kind, user)) = network::user(&mut work, found.id).await? {
        let why = format!("the {kind} {user} still uses the network {name}");
        return Err(Error::new(Kind::InUse, why));
    }
    if !found.deleting {
        let now = work.now;
        network::set_deleting(&mut work, found.id, now).await?;
        for row in placement::of_resource(&mut work, found.id.0).await? {
            work.unwant(&row).await?;
        }
        tell(&mut work, &found, "deleting").await?;
        work.commit().await?;
    }
    match get(core, caller, project, name).await {
        Ok(network) => Ok(Some(network)),
        Err(error) if error.kind() == Kind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn validate(spec: &NetworkSpec) -> Result<()> {
    spec.validate()
        .map_err(|why| Error::invalid(format!("spec.{}", why.field()), why))
}

pub(crate) fn refuse_while_deleting(network: &network::Network) -> Result<()> {
    if network.deleting {
        let why = format!("the network {} is being deleted", network.meta.name);
        return Err(Error::new(Kind::InUse, why));
    }
    Ok(())
}

/// What was decided at the creation stays: left out or repeated is fine, changed is not.
fn check_fixed(found: &network::Network, spec: &NetworkSpec) -> Result<()> {
    let fixed = |field: &str, same: bool| {
        if same {
            Ok(())
        } else {
            Err(Error::invalid(
                field,
                "this cannot be changed; make a new network",
            ))
        }
    };
    fixed(
        "spec.ipv4",
        spec.ipv4.is_none_or(|prefix| prefix == found.ipv4),
    )?;
    fixed(
        "spec.require",
        spec.require.is_empty() || spec.require == found.spec.require,
    )?;
    fixed(
        "spec.ipv6",
        spec.ipv6.is_none_or(|prefix| prefix == found.ipv6),
    )?;
    fixed(
        "spec.router",
        spec.router
            .as_ref()
            .is_none_or(|name| *name == found.router_name),
    )
}

async fn existing(work: &mut Work, project: ProjectId, name: &Name) -> Result<network::Network> {
    resolve::network(work, project, name).await
}

async fn tell(work: &mut Work, network: &network::Network, what: &str) -> Result<()> {
    work.tell((network.project, "network"), &network.meta, what, "")
        .await
}

/// A network's placements on its router, without its segments.
async fn router_placements(conn: &mut Conn, id: NetworkId) -> Result<Vec<Row>> {
    let rows = placement::of_resource(conn, id.0).await?;
    Ok(rows
        .into_iter()
        .filter(|row| row.kind == PlacementKind::Network)
        .collect())
}

/// What is known of a network's endpoint.
pub(crate) async fn endpoint(
    conn: &mut Conn,
    row: &network::Network,
    placements: &[Row],
) -> Result<Endpoint> {
    let public_key = placements
        .iter()
        .find_map(|placement| match &placement.observed {
            Some(Observed::Network(NetworkObserved { endpoint_key, .. })) => {
                Some(endpoint_key.clone())
            }
            _ => None,
        });
    let router = component::by_id(conn, row.router).await?;
    let address = router
        .and_then(|router| router.facts.public_address)
        .map(|host| {
            if host.contains(':') && !host.starts_with('[') {
                format!("[{host}]:{}", row.port)
            } else {
                format!("{host}:{}", row.port)
            }
        });
    Ok(Endpoint {
        address,
        port: row.port,
        public_key,
    })
}

/// What carries a network, and on which device of its router where that is a VLAN.
async fn segment(conn: &mut Conn, row: &network::Network) -> Result<NetworkSegment> {
    let kind = row.segment.segmentation();
    let trunk = match kind {
        Segmentation::Vlan => component::by_id(conn, row.router)
            .await?
            .and_then(|router| router.facts.trunk),
        Segmentation::Vxlan | Segmentation::Port => None,
    };
    Ok(NetworkSegment {
        kind,
        number: row.segment.number(),
        trunk: trunk.map(|trunk| trunk.device),
    })
}

/// A network and the placements on its router, for whoever needs its endpoint.
pub(crate) async fn with_endpoint(
    conn: &mut Conn,
    id: NetworkId,
) -> Result<Option<(network::Network, Endpoint)>> {
    let Some(row) = network::by_id(conn, id).await? else {
        return Ok(None);
    };
    let placements = router_placements(conn, id).await?;
    let endpoint = endpoint(conn, &row, &placements).await?;
    Ok(Some((row, endpoint)))
}

async fn view(core: &Core, conn: &mut Conn, row: network::Network) -> Result<Network> {
    let mut all = placement::of_resource(conn, row.id.0).await?;
    let own: Vec<Row> = all
        .iter()
        .filter(|row| row.kind == PlacementKind::Network)
        .cloned()
        .collect();
    let between = placement::failed_between(conn, row.id).await?;
    all.extend(
        between
            .into_iter()
            .filter(|row| row.kind == PlacementKind::Vtep),
    );
    let before = core.silent_before();
    let phase = status::phase(row.deleting, &own, before);
    let status = NetworkStatus {
        phase,
        observed_generation: status::observed_generation(row.meta.generation, phase),
        ipv4: row.ipv4,
        ipv6: row.ipv6,
        router_ipv4: router_ipv4(row.ipv4),
        router_ipv6: router_ipv6(row.ipv6),
        domain: placing::domain(core, &row),
        mtu: row.mtu,
        segment: segment(conn, &row).await?,
        endpoint: endpoint(conn, &row, &own).await?,
        router: row.router_name,
        conditions: status::conditions(&all, before),
    };
    Ok(Network {
        meta: row.meta,
        spec: row.spec,
        status,
    })
}
