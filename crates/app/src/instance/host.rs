//! Which hypervisor has room for an instance.

use rhyzome_model::component::ComponentKind;
use rhyzome_model::instance::InstanceSpec;
use rhyzome_model::resource::{Component, HostVerdict};
use rhyzome_model::{ComponentId, Size};
use rhyzome_plan::place::{Demand, Host, place};
use rhyzome_store::{component, instance};

use crate::work::Work;
use crate::{Error, Kind, Result};

/// The host that an instance goes to, with a word on each that was looked at.
pub(super) async fn choose(
    work: &mut Work,
    spec: &InstanceSpec,
) -> Result<(ComponentId, Vec<HostVerdict>)> {
    let components = component::of_kind(work, ComponentKind::Libvirt).await?;
    if components.is_empty() {
        let why =
            "no hypervisor has joined this site yet: `rhyzome component token --kind libvirt`";
        return Err(Error::new(Kind::NoCapacity, why));
    }
    let hosts: Vec<Host> = components.iter().map(as_host).collect();
    let demand = Demand {
        cpus: spec.cpus,
        memory: spec.memory,
        host: spec.host.clone(),
    };
    if let Some(asked) = &spec.host
        && !hosts.iter().any(|host| host.name == *asked)
    {
        return Err(Error::invalid(
            "spec.host",
            format!("there is no hypervisor {asked}"),
        ));
    }
    let placed = place(&demand, &hosts);
    match placed.host {
        Some(host) => Ok((host, placed.verdicts)),
        None => Err(no_room(&placed.verdicts)),
    }
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
    }
}

/// Whether what an instance wants more than it has fits on its host.
pub(super) async fn check_room(
    work: &mut Work,
    found: &instance::Instance,
    spec: &InstanceSpec,
) -> Result<()> {
    if spec.memory <= found.spec.memory && spec.cpus <= found.spec.cpus {
        return Ok(());
    }
    let Some(host) = component::by_id(work, found.host).await? else {
        return Ok(());
    };
    let mut host = as_host(&host);
    host.connected = true;
    host.used_cpus = host.used_cpus.saturating_sub(found.spec.cpus);
    let others = host
        .used_memory
        .as_bytes()
        .saturating_sub(found.spec.memory.as_bytes());
    host.used_memory = Size::bytes(others);
    let demand = Demand {
        cpus: spec.cpus,
        memory: spec.memory,
        host: None,
    };
    let placed = place(&demand, std::slice::from_ref(&host));
    if placed.host.is_none() {
        return Err(no_room(&placed.verdicts));
    }
    Ok(())
}
