//! What users see of an instance.

use rhyzome_model::Name;
use rhyzome_model::instance::InstanceObserved;
use rhyzome_model::placement::{Observed, PlacementKind};
use rhyzome_model::resource::{Instance, InstanceInterface, InstanceStatus, InstanceWhy};
use rhyzome_model::status::Phase;
use rhyzome_store::placement::Row;
use rhyzome_store::{Conn, instance, lease, placement};

use super::disk;
use crate::authorize::{Caller, Operation, authorize};
use crate::work::project_of;
use crate::{Core, Error, Result, job, resolve, status};

/// How many of its latest jobs `why` shows.
const JOBS: i64 = 10;

pub(super) async fn whole(
    core: &Core,
    conn: &mut Conn,
    row: instance::Instance,
) -> Result<Instance> {
    let own = placement::of_resource(conn, row.id.0).await?;
    let all = with_needs(conn, &own).await?;
    let before = core.silent_before();
    let phase = status::phase(row.deleting, &own, before);
    let project = project_of(&row.meta);
    let interfaces = lease::of_instance(conn, row.id)
        .await?
        .into_iter()
        .map(|lease| InstanceInterface {
            dns_name: format!(
                "{}.{}.{project}.{}",
                row.meta.name, lease.network_name, core.site.domain
            ),
            network: lease.network_name,
            mac: lease.mac,
            ipv4: lease.ipv4,
            ipv6: lease.ipv6,
        })
        .collect();
    let status = InstanceStatus {
        phase,
        observed_generation: status::observed_generation(row.meta.generation, phase),
        host: row.host_name,
        image: row.digest,
        disk: disk::effective(&row.spec, &row.format),
        format: row.format,
        command_line: row.command_line,
        interfaces,
        // How it was is said by its conditions; how it is, nobody knows.
        observed: observed(&own).filter(|_| phase != Phase::Unknown).cloned(),
        conditions: status::conditions(&all, before),
    };
    Ok(Instance {
        meta: row.meta,
        spec: row.spec,
        status,
    })
}

/// The placements of an instance, then those that they wait for.
async fn with_needs(conn: &mut Conn, own: &[Row]) -> Result<Vec<Row>> {
    let mut all = own.to_vec();
    for row in own {
        all.extend(placement::needed_by(conn, row.id).await?);
    }
    Ok(all)
}

/// What its hypervisor reported last.
pub(super) fn observed(own: &[Row]) -> Option<&InstanceObserved> {
    own.iter().find_map(|row| match &row.observed {
        Some(Observed::Instance(observed)) => Some(observed),
        _ => None,
    })
}

/// Why an instance is where it is, and what it waits for.
pub async fn why(core: &Core, caller: &Caller, project: &Name, name: &Name) -> Result<InstanceWhy> {
    authorize(caller, Operation::InstanceRead, Some(project))?;
    let mut conn = core.store.read().await?;
    let project = resolve::project(&mut conn, project).await?;
    let found = instance::get(&mut conn, project, name).await?;
    let row = found.ok_or_else(|| Error::not_found("instance", name))?;
    let own = placement::of_resource(&mut conn, row.id.0).await?;
    let all = with_needs(&mut conn, &own).await?;
    let before = core.silent_before();
    let mut jobs = job::of_resource(&mut conn, row.id.0, JOBS).await?;
    for need in all.iter().filter(|need| need.kind == PlacementKind::Lease) {
        jobs.extend(job::of_resource(&mut conn, need.resource, 1).await?);
    }
    Ok(InstanceWhy {
        summary: summary(&row, &own, &all, status::phase(row.deleting, &own, before)),
        placing: row.placing,
        conditions: status::conditions(&all, before),
        jobs,
    })
}

fn summary(row: &instance::Instance, own: &[Row], all: &[Row], phase: Phase) -> String {
    let name = &row.meta.name;
    let host = &row.host_name;
    let missing = all
        .iter()
        .find(|need| need.kind != PlacementKind::Instance && !need.message.is_empty());
    let message = own
        .first()
        .map(|placement| placement.message.as_str())
        .unwrap_or_default();
    match (phase, observed(own)) {
        (Phase::Ready, Some(observed)) => {
            let more = if observed.needs_restart {
                "; a change waits for its restart"
            } else {
                ""
            };
            format!(
                "{name} is {} on {host}: {}{more}",
                observed.state.as_str(),
                observed.reason
            )
        }
        (Phase::Ready, None) => format!("{name} is on {host}"),
        (Phase::Pending, _) => match missing {
            Some(need) => format!(
                "{name} waits for its {} on {}: {}",
                need.kind, need.component_name, need.message
            ),
            None => format!("{name} is on its way on {host}: {message}"),
        },
        (Phase::Failed, _) => format!("{name} failed on {host}: {message}"),
        (Phase::Unknown, _) => {
            let word = own.first().map(status::last_word).unwrap_or_default();
            format!("nobody knows how {name} is: {word}")
        }
        (Phase::Deleting, _) => format!("{name} is being removed from {host}: {message}"),
    }
}
