//! Which hypervisor an instance goes to.

use rhyzome_model::resource::HostVerdict;
use rhyzome_model::{ComponentId, Name, Size};

/// What an instance needs of its host.
#[derive(Clone, Debug)]
pub struct Demand {
    pub cpus: u32,
    pub memory: Size,
    /// The host that was asked for, if one was.
    pub host: Option<Name>,
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
}

/// How many virtual processors are promised for each that a host has. Memory is never promised twice.
pub const CPU_OVERCOMMIT: u32 = 8;

/// What was decided, with a word on every host that was looked at.
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
    let verdicts = hosts
        .iter()
        .map(|host| {
            let is_chosen = chosen.is_some_and(|chosen| chosen.id == host.id);
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
    if !host.connected {
        return Some("is not connected".to_owned());
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

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn host(name: &str, memory: u64, used: u64) -> Host {
        Host {
            id: ComponentId(Uuid::new_v5(&Uuid::NAMESPACE_OID, name.as_bytes())),
            name: name.parse().expect("a name"),
            connected: true,
            cpus: 4,
            memory: Size::mib(memory),
            used_cpus: 0,
            used_memory: Size::mib(used),
        }
    }

    fn check(demand: &Demand, hosts: &[Host], expect: Option<&str>, reasons: &[&str]) {
        let placed = place(demand, hosts);
        let name = hosts
            .iter()
            .find(|host| Some(host.id) == placed.host)
            .map(|host| host.name.as_str());
        assert_eq!(name, expect);
        let said: Vec<_> = placed
            .verdicts
            .iter()
            .map(|verdict| verdict.reason.as_str())
            .collect();
        assert_eq!(said, reasons);
    }

    fn demand(memory: u64) -> Demand {
        Demand {
            cpus: 1,
            memory: Size::mib(memory),
            host: None,
        }
    }

    #[test]
    fn the_host_with_the_largest_free_share_is_chosen() {
        check(
            &demand(64),
            &[
                host("a", 1024, 512),
                host("b", 4096, 1024),
                host("c", 1024, 512),
            ],
            Some("b"),
            &[
                "fits, but has a smaller share of its memory free (512MiB)",
                "3GiB of memory free, the largest share",
                "fits, but has a smaller share of its memory free (512MiB)",
            ],
        );
        check(
            &demand(64),
            &[host("b", 1024, 0), host("a", 1024, 0)],
            Some("a"),
            &[
                "fits, but has a smaller share of its memory free (1GiB)",
                "1GiB of memory free, the largest share",
            ],
        );
    }

    #[test]
    fn a_host_that_cannot_take_it_says_why() {
        let away = Host {
            connected: false,
            ..host("away", 1024, 0)
        };
        let busy = Host {
            used_cpus: 32,
            ..host("busy", 1024, 0)
        };
        check(
            &demand(512),
            &[away, busy, host("full", 1024, 768)],
            None,
            &[
                "is not connected",
                "1 processors wanted, 0 left to promise",
                "512MiB of memory wanted, 256MiB free",
            ],
        );
        let asked = Demand {
            host: Some("b".parse().expect("a name")),
            ..demand(64)
        };
        check(
            &asked,
            &[host("a", 1024, 0), host("b", 1024, 900)],
            Some("b"),
            &[
                "another host was asked for",
                "124MiB of memory free, the largest share",
            ],
        );
        let wide = Demand {
            cpus: 5,
            ..demand(64)
        };
        check(
            &wide,
            &[host("a", 1024, 0)],
            None,
            &["5 processors wanted, it has 4"],
        );
    }
}
