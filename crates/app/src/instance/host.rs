//! Which hypervisor has room for an instance.

use std::collections::BTreeMap;

use rhyzome_model::component::ComponentKind;
use rhyzome_model::image::ImageFormat;
use rhyzome_model::instance::InstanceSpec;
use rhyzome_model::resource::{Component, HostVerdict};
use rhyzome_model::{ComponentId, ProjectId, Size};
use rhyzome_plan::place::{Demand, Host, place};
use rhyzome_store::network::Network;
use rhyzome_store::{component, instance};

use super::disk;
use crate::work::Work;
use crate::{Error, Kind, Result};

/// How many hosts are looked at first, the roomiest. Four times as many each time that none of them will do.
const FIRST_LOOK: usize = rhyzome_plan::place::VERDICTS;

/// The host that an instance goes to, with a word on each that was looked at.
pub(super) async fn choose(
    work: &mut Work,
    (project, networks): (ProjectId, &[Network]),
    spec: &InstanceSpec,
    format: &ImageFormat,
) -> Result<(ComponentId, Vec<HostVerdict>)> {
    let mut ways = Vec::new();
    for network in networks {
        if let Some(router) = component::by_id(work, network.router).await? {
            ways.push((network, router));
        }
    }
    let demand = Demand {
        together_with: match &spec.affinity {
            Some(group) => instance::hosts_of_affinity(work, project, group).await?,
            None => Vec::new(),
        },
        apart_from: match &spec.anti_affinity {
            Some(group) => instance::hosts_of_anti_affinity(work, project, group).await?,
            None => Vec::new(),
        },
        require: spec.require.clone(),
        host: spec.host.clone(),
        ..room(spec, format)
    };
    let mut limit = FIRST_LOOK;
    loop {
        let hosts = look(work, &demand, &ways, limit).await?;
        let placed = place(&demand, &hosts);
        if let Some(host) = placed.host {
            return Ok((host, placed.verdicts));
        }
        if hosts.len() < limit {
            return Err(refusal(&demand, &hosts, &placed.verdicts));
        }
        limit = limit.saturating_mul(4);
    }
}

/// So many hosts by their room, and those that were asked for or have the instances that it is to be with;
/// as they are listed, by name.
async fn look(
    work: &mut Work,
    demand: &Demand,
    ways: &[(&Network, Component)],
    limit: usize,
) -> Result<Vec<Host>> {
    let mut components = component::roomiest(work, ComponentKind::Libvirt, limit).await?;
    let mut named = Vec::new();
    if let Some(asked) = &demand.host {
        named.extend(component::get(work, asked).await?);
    }
    for id in &demand.together_with {
        named.extend(component::by_id(work, *id).await?);
    }
    for found in named {
        let known = |one: &Component| one.meta.id == found.meta.id;
        if found.kind == ComponentKind::Libvirt && !found.revoked && !components.iter().any(known) {
            components.push(found);
        }
    }
    components.sort_by(|a, b| a.meta.name.cmp(&b.meta.name));
    let as_seen = |component: &Component| Host {
        cut_off: ways
            .iter()
            .find_map(|(network, router)| cut_off(component, network, router)),
        ..as_host(component)
    };
    Ok(components.iter().map(as_seen).collect())
}

/// Why none of the hosts, which are all that there are, will do.
fn refusal(demand: &Demand, hosts: &[Host], verdicts: &[HostVerdict]) -> Error {
    if hosts.is_empty() {
        let why =
            "no hypervisor has joined this site yet: `rhyzome component token --kind libvirt`";
        return Error::new(Kind::NoCapacity, why);
    }
    match &demand.host {
        Some(asked) if !hosts.iter().any(|host| host.name == *asked) => {
            Error::invalid("spec.host", format!("there is no hypervisor {asked}"))
        }
        _ => no_room(verdicts),
    }
}

/// How much an instance needs, on whatever host.
fn room(spec: &InstanceSpec, format: &ImageFormat) -> Demand {
    Demand {
        cpus: spec.cpus,
        memory: spec.memory,
        host: None,
        firmware: disk::effective(spec, format).and_then(|disk| disk.firmware),
        bridges: spec.bridges.iter().map(|on| on.bridge.clone()).collect(),
        require: BTreeMap::new(),
        together_with: Vec::new(),
        apart_from: Vec::new(),
    }
}

/// Why a network cannot come to a host from its router.
fn cut_off(host: &Component, network: &Network, router: &Component) -> Option<String> {
    let (here, there) = (&host.facts, &router.facts);
    if here.host == there.host {
        return None;
    }
    let (name, gate) = (&network.meta.name, &router.meta.name);
    let (Some(from), Some(to)) = (here.tunnel_address, there.tunnel_address) else {
        let missing = if here.tunnel_address.is_none() {
            "it"
        } else {
            gate.as_str()
        };
        return Some(format!(
            "the router of {name} is on another host, and {missing} has no address for tunnels; \
             set tunnel_address there"
        ));
    };
    if from.is_ipv4() != to.is_ipv4() {
        return Some(format!(
            "its tunnels end at {from} and those of {gate} at {to}, which are not of one family"
        ));
    }
    let fits = here.mtu.into_iter().chain(there.mtu).min()?;
    (fits < network.mtu).then(|| {
        format!(
            "a packet of {name} has up to {} bytes, and {fits} fit through the tunnel to it; \
             the network has to be made anew",
            network.mtu
        )
    })
}

fn no_room(verdicts: &[HostVerdict]) -> Error {
    let shown = verdicts
        .iter()
        .take(8)
        .map(|v| format!("{}: {}", v.host, v.reason));
    let why = format!("no host has room: {}", shown.collect::<Vec<_>>().join("; "));
    Error::new(Kind::NoCapacity, why)
}

fn as_host(component: &Component) -> Host {
    Host {
        id: ComponentId(component.meta.id),
        name: component.meta.name.clone(),
        connected: component.connected,
        cpus: component.facts.cpus,
        memory: component.facts.memory,
        used_cpus: component.used.cpus,
        used_memory: component.used.memory,
        labels: component.spec.labels.clone(),
        cordon: component.spec.cordon.clone(),
        cut_off: None,
        firmware: component.facts.firmware.clone(),
        bridges: component.facts.bridges.clone(),
        without_uefi: component.facts.details.get("uefi").cloned(),
    }
}

/// Whether what an instance wants more than it has fits on its host.
pub(super) async fn check_room(
    work: &mut Work,
    found: &instance::Instance,
    spec: &InstanceSpec,
) -> Result<()> {
    let same_firmware = spec.firmware == found.spec.firmware;
    if spec.memory <= found.spec.memory && spec.cpus <= found.spec.cpus && same_firmware {
        return Ok(());
    }
    let Some(host) = component::by_id(work, found.host).await? else {
        return Ok(());
    };
    let mut host = as_host(&host);
    host.connected = true;
    // What is there may grow.
    host.cordon = None;
    host.used_cpus = host.used_cpus.saturating_sub(found.spec.cpus);
    let others = host
        .used_memory
        .as_bytes()
        .saturating_sub(found.spec.memory.as_bytes());
    host.used_memory = Size::bytes(others);
    let placed = place(&room(spec, &found.format), std::slice::from_ref(&host));
    if placed.host.is_none() {
        return Err(no_room(&placed.verdicts));
    }
    Ok(())
}
