//! Which hypervisor an instance goes to.

use std::collections::BTreeMap;

use rhyzome_model::component::Cordon;
use rhyzome_model::instance::Firmware;
use rhyzome_model::resource::HostVerdict;
use rhyzome_model::{ComponentId, Name, Size};

/// What an instance needs of its host.
#[derive(Clone, Debug)]
pub struct Demand {
    pub cpus: u32,
    pub memory: Size,
    /// The host that was asked for, if one was.
    pub host: Option<Name>,
    /// Labels that its host has to have.
    pub require: BTreeMap<String, String>,
    /// Where the instances are that it has to be together with; any host will do while there are none.
    pub together_with: Vec<ComponentId>,
    /// Where those are that it must not be together with.
    pub apart_from: Vec<ComponentId>,
    /// What boots its disk, if it has one that is booted.
    pub firmware: Option<Firmware>,
    /// The host's own bridges that it has interfaces on.
    pub bridges: Vec<Name>,
}

/// A hypervisor and what is promised on it already.
#[derive(Clone, Debug)]
pub struct Host {
    pub id: ComponentId,
    pub name: Name,
    pub connected: bool,
    pub cpus: u32,
    pub memory: Size,
    pub used_cpus: u32,
    pub used_memory: Size,
    pub labels: BTreeMap<String, String>,
    pub cordon: Option<Cordon>,
    /// Why the instance's networks cannot be on it.
    pub cut_off: Option<String>,
    /// What it can boot disks with.
    pub firmware: Vec<Firmware>,
    /// What it calls the bridges of its own that instances can be on.
    pub bridges: Vec<Name>,
    /// Why it has no UEFI, where it has none and says so.
    pub without_uefi: Option<String>,
}

/// How many virtual processors are promised for each that a host has. Memory is never promised twice.
pub const CPU_OVERCOMMIT: u32 = 8;

/// Of so many hosts at most it is kept why they were chosen or not: a site may have hundreds.
pub const VERDICTS: usize = 16;

/// What was decided, with a word on the host that was chosen and on others, [`VERDICTS`] in all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placed {
    pub host: Option<ComponentId>,
    pub verdicts: Vec<HostVerdict>,
}

/// Chooses the host with the most free memory in proportion to what it has, by name among equals.
pub fn place(demand: &Demand, hosts: &[Host]) -> Placed {
    let fitting = hosts
        .iter()
        .filter(|host| objection(demand, host).is_none());
    let chosen = fitting.max_by(|a, b| {
        // a.free / a.memory against b.free / b.memory, without division.
        let left = u128::from(free_memory(a)) * u128::from(b.memory.as_bytes());
        let right = u128::from(free_memory(b)) * u128::from(a.memory.as_bytes());
        left.cmp(&right).then_with(|| b.name.cmp(&a.name))
    });
    let is_chosen = |host: &Host| chosen.is_some_and(|chosen| chosen.id == host.id);
    let mut left = VERDICTS - usize::from(chosen.is_some());
    let verdicts = hosts
        .iter()
        .filter(|host| {
            let told = is_chosen(host) || left > 0;
            left = left.saturating_sub(usize::from(!is_chosen(host)));
            told
        })
        .map(|host| {
            let is_chosen = is_chosen(host);
            let reason = match objection(demand, host) {
                Some(objection) => objection,
                None if is_chosen => format!("{} of memory free, the largest share", free(host)),
                None => format!(
                    "fits, but has a smaller share of its memory free ({})",
                    free(host)
                ),
            };
            HostVerdict {
                host: host.name.clone(),
                chosen: is_chosen,
                reason,
            }
        })
        .collect();
    Placed {
        host: chosen.map(|host| host.id),
        verdicts,
    }
}

fn free_memory(host: &Host) -> u64 {
    host.memory
        .as_bytes()
        .saturating_sub(host.used_memory.as_bytes())
}

fn free(host: &Host) -> Size {
    // Whole MiB: the rest is of no interest to anybody.
    Size::mib(free_memory(host) >> 20)
}

/// Why an instance cannot be on a host.
fn objection(demand: &Demand, host: &Host) -> Option<String> {
    if demand
        .host
        .as_ref()
        .is_some_and(|asked| *asked != host.name)
    {
        return Some("another host was asked for".to_owned());
    }
    if let Some(cordon) = &host.cordon {
        return Some(cordoned(cordon));
    }
    if let Some(missing) = missing_label(&demand.require, &host.labels) {
        return Some(missing);
    }
    if demand.apart_from.contains(&host.id) {
        return Some("an instance that it has to be apart from is there".to_owned());
    }
    if !demand.together_with.is_empty() && !demand.together_with.contains(&host.id) {
        return Some("the instances that it has to be together with are elsewhere".to_owned());
    }
    if let Some(why) = &host.cut_off {
        return Some(why.clone());
    }
    if !host.connected {
        return Some("is not connected".to_owned());
    }
    if let Some(firmware) = demand.firmware
        && !host.firmware.contains(&firmware)
    {
        return Some(match (firmware, &host.without_uefi) {
            (Firmware::Uefi, Some(why)) => format!("cannot boot disks by UEFI: {why}"),
            (Firmware::Uefi, None) => "cannot boot disks by UEFI".to_owned(),
            (Firmware::Bios, _) => "cannot boot disks: its component is too old".to_owned(),
        });
    }
    if let Some(missing) = demand.bridges.iter().find(|b| !host.bridges.contains(b)) {
        return Some(format!(
            "has no bridge {missing}: its configuration names those there are under `bridges`"
        ));
    }
    if demand.memory.as_bytes() > free_memory(host) {
        return Some(format!(
            "{} of memory wanted, {} free",
            demand.memory,
            free(host)
        ));
    }
    let processors = host.cpus.saturating_mul(CPU_OVERCOMMIT);
    if demand.cpus > host.cpus {
        return Some(format!(
            "{} processors wanted, it has {}",
            demand.cpus, host.cpus
        ));
    }
    let left = processors.saturating_sub(host.used_cpus);
    (demand.cpus > left)
        .then(|| format!("{} processors wanted, {left} left to promise", demand.cpus))
}

/// What to say of a component that nothing new is placed on.
pub(crate) fn cordoned(cordon: &Cordon) -> String {
    match &cordon.reason {
        Some(reason) => format!("is cordoned: {reason}"),
        None => "is cordoned".to_owned(),
    }
}

/// What to say of the first label that is asked for and not there.
pub(crate) fn missing_label(
    asked: &BTreeMap<String, String>,
    labels: &BTreeMap<String, String>,
) -> Option<String> {
    let (key, value) = asked
        .iter()
        .find(|(key, value)| labels.get(*key) != Some(*value))?;
    Some(match labels.get(key) {
        Some(other) => format!("{key}={value} wanted, it has {key}={other}"),
        None => format!("{key}={value} wanted, it has no {key}"),
    })
}

#[cfg(test)]
mod tests;
