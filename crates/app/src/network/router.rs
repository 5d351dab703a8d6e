//! Which router a network gets, and why not the others.

use rhyzome_model::ComponentId;
use rhyzome_model::Name;
use rhyzome_model::component::ComponentKind;
use rhyzome_model::network::NetworkSpec;
use rhyzome_model::placement::PlacementKind;
use rhyzome_model::resource::Component;
use rhyzome_model::segment::Segmentation;
use rhyzome_plan::route::{Router, route};
use rhyzome_store::{component, network};

use super::{allocate, card};
use crate::authorize::{Caller, Operation, may};
use crate::work::Work;
use crate::{Error, Kind, Result};

/// The router that was asked for, or the one that suits best, and what carries its new networks.
pub(super) async fn choose(
    work: &mut Work,
    caller: &Caller,
    spec: &NetworkSpec,
) -> Result<(Component, Segmentation)> {
    let routers = candidates(work, spec).await?;
    if let [asked] = &routers[..]
        && spec.router.is_some()
        && let Some((field, why)) = overlap(work, caller, asked, spec).await?
    {
        return Err(Error::invalid(field, why));
    }
    let mut looked_at = Vec::new();
    for router in &routers {
        looked_at.push(Router {
            unfit: unfit(work, caller, router, spec).await?,
            ..as_router(router)
        });
    }
    let id = route(&spec.require, &looked_at).map_err(|objections| no_router(&objections))?;
    let chosen = routers.into_iter().find(|router| router.meta.id == id.0);
    chosen
        .and_then(|router| {
            let first = router.facts.segmentations.first().copied();
            first.map(|segmentation| (router, segmentation))
        })
        .ok_or_else(|| Error::new(Kind::NoCapacity, "there is no such router"))
}

/// The one that was asked for, or all.
async fn candidates(work: &mut Work, spec: &NetworkSpec) -> Result<Vec<Component>> {
    if let Some(name) = &spec.router {
        let found = component::get(work, name).await?;
        let takes = |c: &Component| c.kind.takes(PlacementKind::Network) && !c.revoked;
        let found = found.filter(takes).ok_or_else(|| {
            Error::invalid(
                "spec.router",
                format!("there is no network component {name}"),
            )
        })?;
        return Ok(vec![found]);
    }
    let mut routers = component::of_kind(work, ComponentKind::Linux).await?;
    routers.extend(component::of_kind(work, ComponentKind::Openwrt).await?);
    if routers.is_empty() {
        let why =
            "no network component has joined this site yet: `rhyzome component token --kind linux`";
        return Err(Error::new(Kind::NoCapacity, why));
    }
    Ok(routers)
}

/// Why a network cannot be on a router, whatever room it has.
async fn unfit(
    work: &mut Work,
    caller: &Caller,
    router: &Component,
    spec: &NetworkSpec,
) -> Result<Option<String>> {
    if let Some((_, why)) = overlap(work, caller, router, spec).await? {
        return Ok(Some(why));
    }
    match router.facts.segmentations.first() {
        None => Ok(Some(match router.facts.details.get("segmentation") {
            Some(why) => format!("can carry no networks: {why}"),
            None => "can carry no networks".to_owned(),
        })),
        Some(Segmentation::Vxlan) => Ok(None),
        Some(Segmentation::Vlan) => allocate::without_vlan(work).await,
        Some(Segmentation::Port) => card::unfit(work, router).await,
    }
}

/// The field with a prefix that a router cannot keep apart from that of another network, and which one that is, where
/// the caller may know.
async fn overlap(
    work: &mut Work,
    caller: &Caller,
    router: &Component,
    spec: &NetworkSpec,
) -> Result<Option<(&'static str, String)>> {
    if router.facts.overlapping_prefixes {
        return Ok(None);
    }
    let id = ComponentId(router.meta.id);
    let asked = [
        (
            "spec.ipv4",
            spec.ipv4.map(|prefix| prefix.to_string()),
            (spec.ipv4, None),
        ),
        (
            "spec.ipv6",
            spec.ipv6.map(|prefix| prefix.to_string()),
            (None, spec.ipv6),
        ),
    ];
    for (field, prefix, prefixes) in asked {
        let Some(prefix) = prefix else { continue };
        let Some((project, name)) = network::overlapping_on(work, id, prefixes).await? else {
            continue;
        };
        let whose = match may(caller, Operation::NetworkRead, Some(&project)) {
            true => format!("the network {name} of the project {project}"),
            false => "a network of another project".to_owned(),
        };
        let gate = &router.meta.name;
        let why = format!(
            "{prefix} overlaps {whose} on {gate}, whose networks share one routing domain: ask for \
             another prefix or for another router"
        );
        return Ok(Some((field, why)));
    }
    Ok(None)
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
    let ports = component.facts.endpoint_ports;
    let (first, last) = ports.unwrap_or(allocate::DEFAULT_PORTS);
    Router {
        id: ComponentId(component.meta.id),
        name: component.meta.name.clone(),
        connected: component.connected,
        labels: component.spec.labels.clone(),
        cordon: component.spec.cordon.clone(),
        unfit: None,
        networks: component.used.networks,
        room: u32::from(last.saturating_sub(first)) + 1,
    }
}
