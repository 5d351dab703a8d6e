//! Projects.

use rhyzome_model::resource::Project;
use rhyzome_model::{Name, ProjectId};
use rhyzome_store::project;

use crate::authorize::{Caller, Operation, authorize};
use crate::work::Subject;
use crate::{Core, Error, IfMatch, Kind, Listed, PageRequest, Result, resolve};

pub async fn create(core: &Core, caller: &Caller, name: Name) -> Result<Project> {
    authorize(caller, Operation::ProjectCreate, None)?;
    let mut work = core.begin().await?;
    if project::get(&mut work, &name).await?.is_some() {
        return Err(Error::name_taken("project", &name));
    }
    let id = ProjectId(core.uuid());
    let now = work.now;
    project::insert(&mut work, id, &name, now).await?;
    let subject = Subject {
        project: Some((id, &name)),
        kind: "project",
        id: id.0,
        name: name.as_str(),
    };
    work.event(&subject, "created", "").await?;
    work.commit().await?;
    get(core, caller, &name).await
}

pub async fn get(core: &Core, caller: &Caller, name: &Name) -> Result<Project> {
    authorize(caller, Operation::ProjectRead, Some(name))?;
    let mut conn = core.store.read().await?;
    project::get(&mut conn, name)
        .await?
        .ok_or_else(|| Error::not_found("project", name))
}

pub async fn list(core: &Core, caller: &Caller, page: &PageRequest) -> Result<Listed<Project>> {
    authorize(caller, Operation::ProjectList, None)?;
    let mut conn = core.store.read().await?;
    let after = resolve::after(page);
    let rows = match caller.projects() {
        None => project::list(&mut conn, &after).await?,
        Some(own) => {
            let mut rows = Vec::new();
            let limit = usize::try_from(after.limit).unwrap_or(0);
            for name in own
                .filter(|name| name.as_str() > after.name.as_str())
                .take(limit)
            {
                rows.extend(project::get(&mut conn, name).await?);
            }
            rows
        }
    };
    Ok(resolve::listed(rows, page, |row| row.meta.name.to_string()))
}

/// Deletes a project that has nothing in it but SSH keys and API tokens.
pub async fn delete(core: &Core, caller: &Caller, name: &Name, if_match: IfMatch) -> Result<()> {
    authorize(caller, Operation::ProjectDelete, Some(name))?;
    let mut work = core.begin().await?;
    let found = project::get(&mut work, name).await?;
    let found = found.ok_or_else(|| Error::not_found("project", name))?;
    resolve::check_match(&found.meta, if_match)?;
    if *name == Name::default_project() {
        return Err(Error::new(
            Kind::InUse,
            "the project default is always there",
        ));
    }
    let id = ProjectId(found.meta.id);
    if let Some((kind, content)) = project::content(&mut work, id).await? {
        let why = format!("the project {name} still has the {kind} {content}; delete that first");
        return Err(Error::new(Kind::InUse, why));
    }
    crate::upload::forget_all(core, &mut work, id).await?;
    project::delete(&mut work, id).await?;
    work.takes_rights();
    let subject = Subject {
        project: Some((id, name)),
        kind: "project",
        id: id.0,
        name: name.as_str(),
    };
    work.event(&subject, "deleted", "").await?;
    work.audit.of_site();
    work.commit().await
}
