//! Members of projects: what people are there, and what they lose when they go.

use rhyzome_model::role::Role;
use rhyzome_model::user::{Cause, Member, MemberSpec, Revocation, User};
use rhyzome_model::{Name, ProjectId, UserId};
use rhyzome_store::member::{self, Source};
use rhyzome_store::revocation::{self, Lost};
use rhyzome_store::{login, network, peer, user};

use crate::authorize::{Caller, Operation, authorize};
use crate::work::Work;
use crate::{Core, Error, IfMatch, Listed, PageRequest, Result, resolve};

pub async fn list(
    core: &Core,
    caller: &Caller,
    project: &Name,
    page: &PageRequest,
) -> Result<Listed<Member>> {
    authorize(caller, Operation::MemberRead, Some(project))?;
    let mut conn = core.store.read().await?;
    let project = resolve::project(&mut conn, project).await?;
    let rows = member::list(&mut conn, project, &resolve::after(page)).await?;
    Ok(resolve::listed(rows, page, |row| row.meta.name.to_string()))
}

pub async fn get(core: &Core, caller: &Caller, project: &Name, name: &Name) -> Result<Member> {
    authorize(caller, Operation::MemberRead, Some(project))?;
    let mut conn = core.store.read().await?;
    let project = resolve::project(&mut conn, project).await?;
    let found = member::get(&mut conn, project, name).await?;
    found.ok_or_else(|| missing(name))
}

/// Gives a member another role.
pub async fn update(
    core: &Core,
    caller: &Caller,
    project: &Name,
    name: &Name,
    spec: MemberSpec,
    if_match: IfMatch,
) -> Result<Member> {
    authorize(caller, Operation::MemberUpdate, Some(project))?;
    check_role(spec.role)?;
    let mut work = core.begin().await?;
    let id = resolve::project(&mut work, project).await?;
    let found = member::get(&mut work, id, name).await?;
    let found = found.ok_or_else(|| missing(name))?;
    resolve::check_match(&found.meta, if_match)?;
    if let Some(claimed) = found.claimed.filter(|claimed| *claimed > spec.role) {
        let why = format!(
            "the issuer's claims make {name} {claimed} here; lower that where the claims come from"
        );
        return Err(Error::invalid("spec.role", why));
    }
    let person = UserId(found.meta.id);
    let now = work.now;
    member::set(
        &mut work,
        (id, person),
        Source::Invitation,
        Some(spec.role),
        now,
    )
    .await?;
    work.takes_rights();
    work.tell(
        (id, "member"),
        &found.meta,
        "role_changed",
        spec.role.as_str(),
    )
    .await?;
    if let Some(person) = user::by_id(&mut work, person).await? {
        lowered(&mut work, &person, (id, project)).await?;
    }
    work.commit().await?;
    get(core, caller, project, name).await
}

/// Takes somebody out of a project, whom the caller may be: what they had in it is gone when this returns, but for endpoints
/// that have not confirmed it yet, which the answer says.
pub async fn delete(
    core: &Core,
    caller: &Caller,
    project: &Name,
    name: &Name,
    if_match: IfMatch,
) -> Result<Revocation> {
    let mut work = core.begin().await?;
    let own = match caller.person {
        Some(person) => user::by_id(&mut work, person)
            .await?
            .filter(|own| own.meta.name == *name),
        None => None,
    };
    let operation = own.map_or(Operation::MemberDelete, |_| Operation::MemberLeave);
    authorize(caller, operation, Some(project))?;
    let id = resolve::project(&mut work, project).await?;
    let found = member::get(&mut work, id, name).await?;
    let found = found.ok_or_else(|| missing(name))?;
    resolve::check_match(&found.meta, if_match)?;
    let person = user::by_id(&mut work, UserId(found.meta.id)).await?;
    let person = person.ok_or_else(|| missing(name))?;
    revoke(&mut work, &person, (id, project), Cause::Left).await?;
    work.commit().await?;
    let mut conn = core.store.read().await?;
    let revocation = revocation::get(&mut conn, id, name).await?;
    revocation.ok_or_else(|| missing(name))
}

/// What somebody lost who was in a project, and which endpoints have confirmed it.
pub async fn revocation(
    core: &Core,
    caller: &Caller,
    project: &Name,
    name: &Name,
) -> Result<Revocation> {
    authorize(caller, Operation::RevocationRead, Some(project))?;
    let mut conn = core.store.read().await?;
    let project = resolve::project(&mut conn, project).await?;
    let found = revocation::get(&mut conn, project, name).await?;
    found.ok_or_else(|| Error::not_found("revocation of", name))
}

/// Takes from somebody all that they have in a project. Whether they stay a member of it is the cause's business.
pub(crate) async fn revoke(
    work: &mut Work,
    person: &User,
    project: (ProjectId, &Name),
    cause: Cause,
) -> Result<()> {
    let id = UserId(person.meta.id);
    let name = person.meta.name.as_str();
    work.audit
        .concerns(Some(project), "member", Some(id.0), name);
    work.takes_rights();
    if matches!(cause, Cause::Left | Cause::NotClaimed | Cause::Deleted) {
        member::delete(work, project.0, id).await?;
    }
    let tokens = match cause {
        Cause::Lowered => 0,
        _ => revocation::tokens_of(work, Some(project.0), id).await?,
    };
    let sessions = match cause {
        Cause::Disabled | Cause::Deleted => login::delete_of(work, id).await?,
        // Who is nothing here any more has nothing to be logged in for.
        Cause::Left | Cause::NotClaimed if is_nobody(work, id).await? => {
            login::delete_of(work, id).await?
        }
        Cause::Left | Cause::NotClaimed | Cause::Lowered => 0,
    };
    let lost = Lost {
        project: project.0,
        user: &person.meta.name,
        cause,
        tokens,
        sessions,
    };
    let now = work.now;
    revocation::insert(work, &lost, now).await?;
    take_peers(work, id, &lost).await?;
    let subject = crate::work::Subject {
        project: Some(project),
        kind: "member",
        id: person.meta.id,
        name: person.meta.name.as_str(),
    };
    work.event(&subject, cause.as_str(), "").await
}

/// Takes the devices of who may have none any more.
pub(crate) async fn lowered(
    work: &mut Work,
    person: &User,
    project: (ProjectId, &Name),
) -> Result<()> {
    let found = member::get(work, project.0, &person.meta.name).await?;
    if found.is_none_or(|member| member.role >= Role::Member) {
        return Ok(());
    }
    if revocation::peers_of(work, project.0, UserId(person.meta.id))
        .await?
        .is_empty()
    {
        return Ok(());
    }
    revoke(work, person, project, Cause::Lowered).await
}

async fn is_nobody(work: &mut Work, id: UserId) -> Result<bool> {
    let person = user::by_id(work, id).await?;
    let on_site = person.is_some_and(|person| person.site_role.is_some());
    Ok(!on_site && member::of(work, id).await?.is_empty())
}

async fn take_peers(work: &mut Work, person: UserId, lost: &Lost<'_>) -> Result<()> {
    for name in revocation::peers_of(work, lost.project, person).await? {
        let Some(row) = peer::get(work, lost.project, &name).await? else {
            continue;
        };
        for placement in crate::peer::begin_to_delete(work, &row).await? {
            let Some(id) = placement.network else {
                continue;
            };
            if let Some(network) = network::by_id(work, id).await? {
                revocation::insert_peer(work, lost, placement.id, &name, &network.meta.name)
                    .await?;
            }
        }
    }
    Ok(())
}

/// Refuses a role that is none of a project.
pub(crate) fn check_role(role: Role) -> Result<()> {
    match role.is_of_site() {
        true => Err(Error::invalid(
            "spec.role",
            "people in a project are one of: viewer, member, owner",
        )),
        false => Ok(()),
    }
}

fn missing(name: &Name) -> Error {
    Error::not_found("member", name)
}
