//! Jobs, as users see them.

use rhyzome_model::job::JobState;
use rhyzome_model::resource::{Job, JobFailure};
use rhyzome_model::{ComponentId, JobId, Name};
use rhyzome_store::job::{Row, Verb};
use rhyzome_store::placement::State;
use rhyzome_store::{Conn, job, placement};
use uuid::Uuid;

use crate::authorize::{Caller, Operation, authorize};
use crate::{Core, Error, Listed, PageRequest, Result, resolve};

/// Jobs of a project or of the site, about one resource or about all, the latest first.
pub async fn list(
    core: &Core,
    caller: &Caller,
    project: Option<&Name>,
    resource: Option<Uuid>,
    page: &PageRequest,
) -> Result<Listed<Job>> {
    authorize(caller, reading(project), project)?;
    let mut conn = core.store.read().await?;
    let project = match project {
        Some(name) => Some(resolve::project(&mut conn, name).await?),
        None => None,
    };
    let after = resolve::after(page);
    let rows = job::list(&mut conn, project, resource, (&after.name, after.limit)).await?;
    let (rows, next) = resolve::listed(rows, page, |row| row.id.to_string());
    let mut jobs = Vec::with_capacity(rows.len());
    for row in rows {
        jobs.push(view(&mut conn, row).await?);
    }
    Ok((jobs, next))
}

pub async fn get(core: &Core, caller: &Caller, project: Option<&Name>, id: JobId) -> Result<Job> {
    authorize(caller, reading(project), project)?;
    let mut conn = core.store.read().await?;
    let project = match project {
        Some(name) => Some(resolve::project(&mut conn, name).await?),
        None => None,
    };
    let found = job::by_id(&mut conn, id).await?;
    let row = found
        .filter(|row| project.is_none() || row.project == project)
        .ok_or_else(|| Error::not_found("job", &id))?;
    view(&mut conn, row).await
}

fn reading(project: Option<&Name>) -> Operation {
    project.map_or(Operation::SiteJobRead, |_| Operation::JobRead)
}

/// The latest jobs about a resource.
pub(crate) async fn of_resource(conn: &mut Conn, resource: Uuid, limit: i64) -> Result<Vec<Job>> {
    let rows = job::of_resource(conn, resource, limit).await?;
    let mut jobs = Vec::with_capacity(rows.len());
    for row in rows {
        jobs.push(view(conn, row).await?);
    }
    Ok(jobs)
}

async fn view(conn: &mut Conn, row: Row) -> Result<Job> {
    let waiting_for = match row.state {
        JobState::Queued => waits_for(conn, &row).await?,
        _ => None,
    };
    let unnamed = || Name::default_project();
    Ok(Job {
        id: row.id,
        project: row.project_name,
        verb: row.verb.as_str().to_owned(),
        placement_kind: row.target.kind,
        resource_id: row.target.resource,
        resource_name: row.resource_name,
        component: row.component_name.unwrap_or_else(unnamed),
        generation: row.generation,
        state: row.state,
        attempts: row.attempts,
        step: row.step,
        amount: row.amount,
        waiting_for,
        failure: row
            .failure
            .map(|(kind, message)| JobFailure { kind, message }),
        created_at: row.created_at,
        next_try_at: (row.state == JobState::Queued).then_some(row.not_before),
        finished_at: row.finished_at,
    })
}

/// What a queued job waits for: its component, or what its placement needs.
async fn waits_for(conn: &mut Conn, row: &Row) -> Result<Option<String>> {
    if let Some(away) = away(conn, row.component).await? {
        return Ok(Some(away));
    }
    if row.verb != Verb::Ensure {
        return Ok(None);
    }
    let needs = placement::needed_by(conn, row.target.id).await?;
    let missing = needs.iter().find(|need| need.state != State::Ready);
    Ok(missing.map(|need| {
        let name = &need.resource_name;
        format!("the {} of {name} on {}", need.kind, need.component_name)
    }))
}

async fn away(conn: &mut Conn, component: ComponentId) -> Result<Option<String>> {
    let found = rhyzome_store::component::by_id(conn, component).await?;
    Ok(match found {
        Some(component) if !component.connected => {
            Some(format!("the component {} to connect", component.meta.name))
        }
        _ => None,
    })
}
