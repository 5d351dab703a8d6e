//! API tokens: of a project, made by its owners, and of the site, made by admins.

use rhyzome_model::quota::QuotaKind;
use rhyzome_model::resource::ApiToken;
use rhyzome_model::token::ApiTokenSpec;
use rhyzome_model::{ApiTokenId, Name};
use rhyzome_pki::token::ApiToken as Secret;
use rhyzome_store::Conn;
use rhyzome_store::token::{self, NewToken, Owner};

use crate::authorize::{Caller, Operation, authorize};
use crate::{Core, Error, IfMatch, Listed, PageRequest, Result, quota, resolve};

/// Seconds.
const LIFE: std::ops::RangeInclusive<u32> = 60..=31_622_400;

/// A token, and what is shown to prove that one has it, which is told this once.
#[derive(Debug)]
pub struct Minted {
    pub token: ApiToken,
    pub secret: Secret,
}

/// Of a project, or of the site where none is named.
pub async fn create(
    core: &Core,
    caller: &Caller,
    project: Option<&Name>,
    name: Name,
    spec: ApiTokenSpec,
) -> Result<Minted> {
    authorize(
        caller,
        operation(project, Operation::TokenCreate, Operation::SiteTokenCreate),
        project,
    )?;
    check(project, &spec)?;
    let secret = Secret::mint(&mut rand::rng());
    let mut work = core.begin().await?;
    let owner = owner(&mut work, project).await?;
    if token::get(&mut work, owner, &name).await?.is_some() {
        return Err(Error::name_taken("API token", &name));
    }
    if let Some(project) = owner {
        quota::check(&mut work, project, &[(QuotaKind::Tokens, 1)]).await?;
    }
    let now = work.now;
    let expires_at = spec
        .expires_in
        .map(|seconds| now.plus_millis(i64::from(seconds) * 1000));
    let row = NewToken {
        id: ApiTokenId(core.uuid()),
        hash: &secret.secret_hash().to_string(),
        owner,
        name: &name,
        role: spec.role,
        expires_at,
        user: caller.person,
    };
    token::insert(&mut work, &row, now).await?;
    let made = token::get(&mut work, owner, &name).await?;
    let token = made.ok_or_else(|| missing(&name))?;
    work.audit.concerns(
        owner.zip(project),
        "api_token",
        Some(token.meta.id),
        name.as_str(),
    );
    work.commit().await?;
    Ok(Minted { token, secret })
}

pub async fn get(
    core: &Core,
    caller: &Caller,
    project: Option<&Name>,
    name: &Name,
) -> Result<ApiToken> {
    authorize(
        caller,
        operation(project, Operation::TokenRead, Operation::SiteTokenRead),
        project,
    )?;
    let mut conn = core.store.read().await?;
    let owner = owner(&mut conn, project).await?;
    let found = token::get(&mut conn, owner, name).await?;
    found.ok_or_else(|| missing(name))
}

pub async fn list(
    core: &Core,
    caller: &Caller,
    project: Option<&Name>,
    page: &PageRequest,
) -> Result<Listed<ApiToken>> {
    authorize(
        caller,
        operation(project, Operation::TokenRead, Operation::SiteTokenRead),
        project,
    )?;
    let mut conn = core.store.read().await?;
    let owner = owner(&mut conn, project).await?;
    let rows = token::list(&mut conn, owner, &resolve::after(page)).await?;
    Ok(resolve::listed(rows, page, |row| row.meta.name.to_string()))
}

/// Revokes a token: no core takes it any more when this returns.
pub async fn delete(
    core: &Core,
    caller: &Caller,
    project: Option<&Name>,
    name: &Name,
    if_match: IfMatch,
) -> Result<()> {
    authorize(
        caller,
        operation(project, Operation::TokenDelete, Operation::SiteTokenDelete),
        project,
    )?;
    let mut work = core.begin().await?;
    let owner = owner(&mut work, project).await?;
    let found = token::get(&mut work, owner, name).await?;
    let found = found.ok_or_else(|| missing(name))?;
    resolve::check_match(&found.meta, if_match)?;
    token::delete(&mut work, owner, name).await?;
    work.takes_rights();
    work.audit.concerns(
        owner.zip(project),
        "api_token",
        Some(found.meta.id),
        name.as_str(),
    );
    work.commit().await
}

fn operation(project: Option<&Name>, of_project: Operation, of_site: Operation) -> Operation {
    project.map_or(of_site, |_| of_project)
}

fn check(project: Option<&Name>, spec: &ApiTokenSpec) -> Result<()> {
    if spec.role.is_of_site() != project.is_none() {
        let roles = match project {
            Some(_) => "a token of a project has one of its roles: viewer, member, owner",
            None => "a token of the site has one of its roles: auditor, admin",
        };
        return Err(Error::invalid("spec.role", roles));
    }
    match spec.expires_in {
        Some(seconds) if !LIFE.contains(&seconds) => {
            let why = format!("{} to {} seconds are possible", LIFE.start(), LIFE.end());
            Err(Error::invalid("spec.expires_in", why))
        }
        _ => Ok(()),
    }
}

async fn owner(conn: &mut Conn, project: Option<&Name>) -> Result<Owner> {
    match project {
        Some(project) => resolve::project(conn, project).await.map(Some),
        None => Ok(None),
    }
}

fn missing(name: &Name) -> Error {
    Error::not_found("API token", name)
}
