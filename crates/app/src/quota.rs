//! Quotas: set by admins, and asked by whatever makes more of something, in its own transaction. Writers go one after
//! another (`Store::write`), so that what is summed up here is still true when the transaction commits.

use rhyzome_model::quota::{Exceeded, Quota, QuotaKind, QuotaSpec, QuotaStatus, QuotaUsed};
use rhyzome_model::{Name, ProjectId, Size};
use rhyzome_store::{Conn, project, quota};

use crate::authorize::{Caller, Operation, authorize};
use crate::work::Subject;
use crate::{Core, Error, IfMatch, Kind, Result, resolve};

pub async fn get(core: &Core, caller: &Caller, project: &Name) -> Result<Quota> {
    authorize(caller, Operation::QuotaRead, Some(project))?;
    let mut conn = core.store.read().await?;
    let id = resolve::project(&mut conn, project).await?;
    view(&mut conn, (id, project)).await
}

/// Sets all limits of a project. Those that are below what is used stop what asks for more, and nothing else.
pub async fn set(
    core: &Core,
    caller: &Caller,
    project: &Name,
    spec: &QuotaSpec,
    if_match: IfMatch,
) -> Result<Quota> {
    authorize(caller, Operation::QuotaSet, Some(project))?;
    let mut work = core.begin().await?;
    let id = resolve::project(&mut work, project).await?;
    let found = quota::get(&mut work, id).await?;
    let generation = found.as_ref().map_or(0, |row| row.generation);
    if let Some(seen) = if_match.filter(|seen| *seen != generation) {
        let why = format!(
            "the quota of {project} is at generation {generation} by now, not at {seen}; read it again"
        );
        return Err(Error::new(Kind::Changed, why));
    }
    if found.is_none_or(|row| row.spec != *spec) {
        let now = work.now;
        quota::set(&mut work, id, spec, now).await?;
        let subject = Subject {
            project: Some((id, project)),
            kind: "quota",
            id: id.0,
            name: project.as_str(),
        };
        work.event(&subject, "updated", &spec.to_string()).await?;
        work.commit().await?;
    }
    get(core, caller, project).await
}

/// Refuses what a project's quota has not left, of the kinds that more is asked of.
///
/// # Errors
/// `QuotaExceeded` with what was asked, what is used, what is left, and whom to ask for more.
pub(crate) async fn check(conn: &mut Conn, id: ProjectId, more: &[(QuotaKind, u64)]) -> Result<()> {
    let Some(row) = quota::get(conn, id).await? else {
        return Ok(());
    };
    for (kind, asked) in more.iter().copied().filter(|(_, asked)| *asked > 0) {
        let Some(limit) = row.spec.limit(kind) else {
            continue;
        };
        let exceeded = Exceeded {
            kind,
            limit,
            used: quota::used(conn, id, kind).await?,
            asked,
        };
        if let Err(exceeded) = exceeded.check() {
            let project = project::name(conn, id).await?;
            return Err(refusal(
                &exceeded,
                &project.unwrap_or_else(Name::default_project),
            ));
        }
    }
    Ok(())
}

fn refusal(exceeded: &Exceeded, project: &Name) -> Error {
    let kind = exceeded.kind;
    let why = format!(
        "{exceeded} (project {project}); delete some, or ask an admin of the site for more: `rhyzome quota set \
         {project} --{kind} …`"
    );
    let error = Error::new(Kind::QuotaExceeded, why);
    match kind {
        QuotaKind::Cpus | QuotaKind::Memory | QuotaKind::Disk => error.at(format!("spec.{kind}")),
        _ => error,
    }
}

async fn view(conn: &mut Conn, (id, project): (ProjectId, &Name)) -> Result<Quota> {
    let row = quota::get(conn, id).await?;
    let mut used = [0; QuotaKind::ALL.len()];
    for (used, kind) in used.iter_mut().zip(QuotaKind::ALL) {
        *used = quota::used(conn, id, kind).await?;
    }
    let [
        instances,
        cpus,
        memory,
        disk,
        networks,
        peers,
        images,
        tokens,
    ] = used;
    let used = QuotaUsed {
        instances,
        cpus,
        memory: Size::bytes(memory),
        disk: Size::bytes(disk),
        networks,
        peers,
        images: Size::bytes(images),
        tokens,
    };
    Ok(Quota {
        id: id.0,
        project: project.clone(),
        generation: row.as_ref().map_or(0, |row| row.generation),
        updated_at: row.as_ref().map(|row| row.updated_at),
        spec: row.map(|row| row.spec).unwrap_or_default(),
        status: QuotaStatus { used },
    })
}
