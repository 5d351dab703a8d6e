//! What a new network gets: prefixes, a port, numbers. Each is the first free one of what follows from its name.

use ipnet::{Ipv4Net, Ipv6Net};
use rhyzome_model::address::{overlap_ipv4, overlap_ipv6};
use rhyzome_model::component::ComponentKind;
use rhyzome_model::network::NetworkSpec;
use rhyzome_model::resource::Component;
use rhyzome_model::segment::{Segment, Segmentation, Vni};
use rhyzome_model::{ComponentId, Name, ProjectId};
use rhyzome_store::{Conn, component, network};

use crate::work::Work;
use crate::{Error, Kind, Result};

/// The largest IP packet on a segment where the router's host does not say otherwise. Bytes.
const DEFAULT_MTU: u16 = 1500;

/// UDP ports for endpoints where the router does not say otherwise.
pub(super) const DEFAULT_PORTS: (u16, u16) = (51820, 52819);

/// What a network is called, from which all of it follows.
pub(super) struct At<'a> {
    pub project_id: ProjectId,
    pub project: &'a Name,
    pub name: &'a Name,
}

/// Refuses prefixes that no router can give to a network of the project.
pub(super) async fn check_prefixes(work: &mut Work, at: &At<'_>, spec: &NetworkSpec) -> Result<()> {
    let project = Some(at.project_id);
    // Networks of other projects may overlap where their router isolates them, and nobody may learn of them.
    let mine = |prefix: String, other: String| {
        format!("{prefix} overlaps the network {other} of this project")
    };
    let peers = |prefix: String, peers: String| {
        format!("{prefix} overlaps the addresses of peers, {peers}")
    };
    if let Some(prefix) = spec.ipv4 {
        if let Some(other) = network::overlapping_ipv4(work, project, prefix).await? {
            return Err(Error::invalid("spec.ipv4", mine(prefix.to_string(), other)));
        }
        let theirs = work.core().site.peers_ipv4;
        if overlap_ipv4(prefix, theirs) {
            let why = peers(prefix.to_string(), theirs.to_string());
            return Err(Error::invalid("spec.ipv4", why));
        }
    }
    if let Some(prefix) = spec.ipv6 {
        if let Some(other) = network::overlapping_ipv6(work, project, prefix).await? {
            return Err(Error::invalid("spec.ipv6", mine(prefix.to_string(), other)));
        }
        let theirs = work.core().peers_ipv6;
        if overlap_ipv6(prefix, theirs) {
            let why = peers(prefix.to_string(), theirs.to_string());
            return Err(Error::invalid("spec.ipv6", why));
        }
    }
    Ok(())
}

/// The largest IP packet that fits wherever the network may come to: to its router, and by the same way to every
/// hypervisor.
pub(super) async fn mtu(
    conn: &mut Conn,
    router: &Component,
    segmentation: Segmentation,
) -> Result<u16> {
    let own = match (segmentation, &router.facts.trunk) {
        (Segmentation::Vlan, Some(trunk)) => Some(trunk.mtu),
        _ => router.facts.mtu,
    };
    let mut mtu = own.unwrap_or(DEFAULT_MTU);
    for host in component::of_kind(conn, ComponentKind::Libvirt).await? {
        let fits = match segmentation {
            Segmentation::Vlan => host.facts.trunk.map(|trunk| trunk.mtu),
            Segmentation::Vxlan => {
                let ends = (host.facts.tunnel_address, router.facts.tunnel_address);
                let reached = ends.0.is_some() && ends.1.is_some();
                host.facts.mtu.filter(|_| reached)
            }
            Segmentation::Port => None,
        };
        mtu = fits.unwrap_or(mtu).min(mtu);
    }
    Ok(mtu)
}

/// The prefix that was asked for, which [`check_prefixes`] has looked at, or a free one.
pub(super) async fn ipv4(work: &mut Work, at: &At<'_>, asked: Option<Ipv4Net>) -> Result<Ipv4Net> {
    if let Some(prefix) = asked {
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

/// As [`ipv4`].
pub(super) async fn ipv6(work: &mut Work, at: &At<'_>, asked: Option<Ipv6Net>) -> Result<Ipv6Net> {
    if let Some(prefix) = asked {
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

/// The UDP port of its endpoint.
pub(super) async fn port(work: &mut Work, at: &At<'_>, router: &Component) -> Result<u16> {
    let ports = router.facts.endpoint_ports.unwrap_or(DEFAULT_PORTS);
    let id = ComponentId(router.meta.id);
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

/// Its number, whatever carries it.
pub(super) async fn vni(work: &mut Work, at: &At<'_>) -> Result<Vni> {
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

pub(super) async fn segment(
    work: &mut Work,
    at: &At<'_>,
    segmentation: Segmentation,
    vni: Vni,
) -> Result<Segment> {
    match segmentation {
        Segmentation::Vxlan => return Ok(Segment::Vxlan(vni)),
        Segmentation::Port => return Ok(Segment::Port(vni)),
        Segmentation::Vlan => {}
    }
    let taken = network::vlans(work).await?;
    let core = work.core();
    let mut candidates = core.seed.network_vlan(core.site.vlans, at.project, at.name);
    let free = candidates.find(|vlan| !taken.contains(vlan));
    free.map(Segment::Vlan)
        .ok_or_else(|| Error::new(Kind::NoCapacity, used_up(work)))
}

/// Why there is no VLAN left, if there is none.
pub(super) async fn without_vlan(work: &mut Work) -> Result<Option<String>> {
    let taken = network::vlans(work).await?;
    let (first, last) = work.core().site.vlans;
    let left = (first.get()..=last.get()).len() - taken.range(first..=last).count();
    Ok((left == 0).then(|| used_up(work)))
}

fn used_up(work: &Work) -> String {
    let (first, last) = work.core().site.vlans;
    format!(
        "all VLANs of the site, {} to {}, are used by networks: delete some, or let site.vlans of the core have more",
        first.get(),
        last.get()
    )
}
