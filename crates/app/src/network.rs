//! Networks: allocated from the site's pools before anything is made.

use ipnet::{Ipv4Net, Ipv6Net};
use rhyzome_model::address::{overlap_ipv4, overlap_ipv6, router_ipv4, router_ipv6};
use rhyzome_model::component::ComponentKind;
use rhyzome_model::network::{NetworkObserved, NetworkSpec};
use rhyzome_model::placement::{Observed, PlacementKind};
use rhyzome_model::resource::{Component, Endpoint, Network, NetworkStatus, NetworkSummary};
use rhyzome_model::segment::Vni;
use rhyzome_model::{Name, NetworkId, ProjectId};
use rhyzome_plan::route::{Router, route};
use rhyzome_store::placement::Row;
use rhyzome_store::{Conn, component, network, placement};

use crate::authorize::{Caller, Operation, authorize};
use crate::work::Work;
use crate::{Core, Error, IfMatch, Kind, Listed, PageRequest, Result, placing, resolve, status};

/// The largest IP packet on a segment where the router's host does not say otherwise. Bytes.
const DEFAULT_MTU: u16 = 1500;

/// UDP ports for endpoints where the router does not say otherwise.
const DEFAULT_PORTS: (u16, u16) = (51820, 52819);

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
    let router = choose_router(&mut work, &spec).await?;
    let at = At {
        project_id,
        project,
        name: &name,
    };
    let row = network::NewNetwork {
        id: NetworkId(core.uuid()),
        project: project_id,
        name: &name,
        spec: &spec,
        router: rhyzome_model::ComponentId(router.meta.id),
        ipv4: allocate_ipv4(&mut work, &at, spec.ipv4).await?,
        ipv6: allocate_ipv6(&mut work, &at, spec.ipv6).await?,
        mtu: choose_mtu(&mut work, &router).await?,
        port: allocate_port(&mut work, &at, &router).await?,
        vni: allocate_vni(&mut work, &at).await?,
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

/// The router that was asked for, or the one that suits best.
async fn choose_router(conn: &mut Conn, spec: &NetworkSpec) -> Result<Component> {
    if let Some(name) = &spec.router {
        let found = component::get(conn, name).await?;
        let takes = |c: &Component| c.kind.takes(PlacementKind::Network) && !c.revoked;
        let found = found.filter(takes).ok_or_else(|| {
            Error::invalid(
                "spec.router",
                format!("there is no network component {name}"),
            )
        })?;
        return match route(&spec.require, &[as_router(&found)]) {
            Ok(_) => Ok(found),
            Err(objections) => Err(no_router(&objections)),
        };
    }
    let mut routers = component::of_kind(conn, ComponentKind::Linux).await?;
    routers.extend(component::of_kind(conn, ComponentKind::Openwrt).await?);
    if routers.is_empty() {
        let why =
            "no network component has joined this site yet: `rhyzome component token --kind linux`";
        return Err(Error::new(Kind::NoCapacity, why));
    }
    let candidates: Vec<Router> = routers.iter().map(as_router).collect();
    match route(&spec.require, &candidates) {
        Ok(id) => routers
            .into_iter()
            .find(|router| router.meta.id == id.0)
            .ok_or_else(|| Error::new(Kind::NoCapacity, "there is no such router")),
        Err(objections) => Err(no_router(&objections)),
    }
}

fn no_router(objections: &[(Name, String)]) -> Error {
    let shown = objections
        .iter()
        .take(8)
        .map(|(name, why)| format!("{name}: {why}"));
    let why = format!(
        "no router can take it: {}",
        shown.collect::<Vec<_>>().join("; ")
    );
    Error::new(Kind::NoCapacity, why)
}

fn as_router(component: &Component) -> Router {
    let (first, last) = component.facts.endpoint_ports.unwrap_or(DEFAULT_PORTS);
    Router {
        id: rhyzome_model::ComponentId(component.meta.id),
        name: component.meta.name.clone(),
        connected: component.connected,
        labels: component.spec.labels.clone(),
        cordon: component.spec.cordon.clone(),
        networks: component.used.networks,
        room: u32::from(last.saturating_sub(first)) + 1,
    }
}

/// The largest IP packet that fits wherever the network may come to: to its router, and through the
/// tunnels to every hypervisor.
async fn choose_mtu(conn: &mut Conn, router: &Component) -> Result<u16> {
    let mut mtu = router.facts.mtu.unwrap_or(DEFAULT_MTU);
    for host in component::of_kind(conn, ComponentKind::Libvirt).await? {
        let reached = host.facts.tunnel_address.is_some() && router.facts.tunnel_address.is_some();
        if let Some(fits) = host.facts.mtu.filter(|_| reached) {
            mtu = mtu.min(fits);
        }
    }
    Ok(mtu)
}

struct At<'a> {
    project_id: ProjectId,
    project: &'a Name,
    name: &'a Name,
}

async fn allocate_ipv4(work: &mut Work, at: &At<'_>, asked: Option<Ipv4Net>) -> Result<Ipv4Net> {
    if let Some(prefix) = asked {
        // Networks of other projects may overlap: the router isolates them, and nobody may learn of them.
        if let Some(other) = network::overlapping_ipv4(work, Some(at.project_id), prefix).await? {
            let why = format!("{prefix} overlaps the network {other} of this project");
            return Err(Error::invalid("spec.ipv4", why));
        }
        if overlap_ipv4(prefix, work.core().site.peers_ipv4) {
            let why = format!(
                "{prefix} overlaps the addresses of peers, {}",
                work.core().site.peers_ipv4
            );
            return Err(Error::invalid("spec.ipv4", why));
        }
        return Ok(prefix);
    }
    let core = work.core().clone();
    for prefix in core
        .seed
        .network_ipv4(core.site.ipv4_pool, at.project, at.name)
    {
        if network::overlapping_ipv4(work, None, prefix)
            .await?
            .is_none()
        {
            return Ok(prefix);
        }
    }
    Err(Error::new(
        Kind::NoCapacity,
        format!("no prefix is free in the pool {}", core.site.ipv4_pool),
    ))
}

async fn allocate_ipv6(work: &mut Work, at: &At<'_>, asked: Option<Ipv6Net>) -> Result<Ipv6Net> {
    if let Some(prefix) = asked {
        if let Some(other) = network::overlapping_ipv6(work, Some(at.project_id), prefix).await? {
            let why = format!("{prefix} overlaps the network {other} of this project");
            return Err(Error::invalid("spec.ipv6", why));
        }
        if overlap_ipv6(prefix, work.core().peers_ipv6) {
            let why = format!(
                "{prefix} overlaps the addresses of peers, {}",
                work.core().peers_ipv6
            );
            return Err(Error::invalid("spec.ipv6", why));
        }
        return Ok(prefix);
    }
    let core = work.core().clone();
    for prefix in core
        .seed
        .network_ipv6(core.ipv6_prefix, at.project, at.name)
    {
        if network::overlapping_ipv6(work, None, prefix)
            .await?
            .is_none()
        {
            return Ok(prefix);
        }
    }
    Err(Error::new(
        Kind::NoCapacity,
        format!("no prefix is free in {}", core.ipv6_prefix),
    ))
}

async fn allocate_port(work: &mut Work, at: &At<'_>, router: &Component) -> Result<u16> {
    let ports = router.facts.endpoint_ports.unwrap_or(DEFAULT_PORTS);
    let id = rhyzome_model::ComponentId(router.meta.id);
    let candidates = work.core().seed.endpoint_port(ports, at.project, at.name);
    for port in candidates {
        if !network::port_taken(work, id, port).await? {
            return Ok(port);
        }
    }
    let why = format!(
        "{} has no UDP port left in {} to {}",
        router.meta.name, ports.0, ports.1
    );
    Err(Error::new(Kind::NoCapacity, why))
}

async fn allocate_vni(work: &mut Work, at: &At<'_>) -> Result<Vni> {
    let candidates = work.core().seed.network_vni(at.project, at.name);
    for vni in candidates {
        if !network::vni_taken(work, vni).await? {
            return Ok(vni);
        }
    }
    Err(Error::new(
        Kind::NoCapacity,
        "the numbers for networks between hosts are used up",
    ))
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
