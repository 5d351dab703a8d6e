//! People of the site, for those who run it.

use rhyzome_model::user::{Cause, User, UserSpec};
use rhyzome_model::{Name, UserId};
use rhyzome_store::{Conn, member, revocation, user};

use crate::authorize::{Caller, Operation, authorize};
use crate::member::revoke;
use crate::work::{Subject, Work};
use crate::{Core, Error, IfMatch, Listed, PageRequest, Result, resolve};

/// With what they are in projects, without what they lost.
pub async fn list(core: &Core, caller: &Caller, page: &PageRequest) -> Result<Listed<User>> {
    authorize(caller, Operation::UserRead, None)?;
    let mut conn = core.store.read().await?;
    let rows = user::list(&mut conn, &resolve::after(page)).await?;
    let (mut rows, next) = resolve::listed(rows, page, |row| row.meta.name.to_string());
    for row in &mut rows {
        row.projects = projects(&mut conn, UserId(row.meta.id)).await?;
    }
    Ok((rows, next))
}

pub async fn get(core: &Core, caller: &Caller, name: &Name) -> Result<User> {
    authorize(caller, Operation::UserRead, None)?;
    view(core, name).await
}

/// Keeps somebody out, or lets them in again. Who is kept out has no sessions, tokens and peers any more when this returns, but
/// for endpoints that have not confirmed it yet, which the answer says. What they are in projects stays.
pub async fn update(
    core: &Core,
    caller: &Caller,
    name: &Name,
    spec: UserSpec,
    if_match: IfMatch,
) -> Result<User> {
    authorize(caller, Operation::UserUpdate, None)?;
    let mut work = core.begin().await?;
    let found = existing(&mut work, name).await?;
    resolve::check_match(&found.meta, if_match)?;
    concerns(&mut work, &found);
    if spec != found.spec {
        let now = work.now;
        user::set_disabled(&mut work, UserId(found.meta.id), spec.disabled, now).await?;
        if spec.disabled {
            revoke_all(&mut work, &found, Cause::Disabled).await?;
        }
        let what = if spec.disabled { "disabled" } else { "enabled" };
        tell(&mut work, &found, what).await?;
        work.commit().await?;
    }
    view(core, name).await
}

/// Removes somebody from the site, with all that they have on it.
pub async fn delete(core: &Core, caller: &Caller, name: &Name, if_match: IfMatch) -> Result<()> {
    authorize(caller, Operation::UserDelete, None)?;
    let mut work = core.begin().await?;
    let found = existing(&mut work, name).await?;
    resolve::check_match(&found.meta, if_match)?;
    concerns(&mut work, &found);
    revoke_all(&mut work, &found, Cause::Deleted).await?;
    user::delete(&mut work, UserId(found.meta.id)).await?;
    tell(&mut work, &found, "deleted").await?;
    work.commit().await
}

pub(crate) async fn view(core: &Core, name: &Name) -> Result<User> {
    let mut conn = core.store.read().await?;
    let found = user::get(&mut conn, name).await?;
    let mut found = found.ok_or_else(|| Error::not_found("user", name))?;
    found.projects = projects(&mut conn, UserId(found.meta.id)).await?;
    found.revocations = revocation::of(&mut conn, name).await?;
    Ok(found)
}

async fn projects(conn: &mut Conn, id: UserId) -> Result<Vec<rhyzome_model::user::ProjectRole>> {
    let rows = member::of(conn, id).await?;
    Ok(rows.iter().map(member::Of::role).collect())
}

async fn revoke_all(work: &mut Work, person: &User, cause: Cause) -> Result<()> {
    work.takes_rights();
    let id = UserId(person.meta.id);
    for (project, name) in revocation::projects_of(work, id).await? {
        revoke(work, person, (project, &name), cause).await?;
    }
    revocation::tokens_of(work, None, id).await?;
    rhyzome_store::login::delete_of(work, id).await?;
    Ok(())
}

/// The change is about the person, whatever of theirs goes with it.
fn concerns(work: &mut Work, person: &User) {
    let (id, name) = (person.meta.id, person.meta.name.as_str());
    work.audit.concerns(None, "user", Some(id), name);
}

async fn existing(work: &mut Work, name: &Name) -> Result<User> {
    let found = user::get(work, name).await?;
    found.ok_or_else(|| Error::not_found("user", name))
}

/// Tells of a person.
pub(crate) async fn tell(work: &mut Work, person: &User, what: &str) -> Result<()> {
    let subject = Subject {
        project: None,
        kind: "user",
        id: person.meta.id,
        name: person.meta.name.as_str(),
    };
    work.event(&subject, what, "").await
}
