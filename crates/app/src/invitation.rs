//! Invitations: codes that let one person into a project.

use rhyzome_model::user::{Invitation, InvitationSpec};
use rhyzome_model::{InvitationId, Name, Timestamp};
use rhyzome_pki::token::{InvitationCode, SessionToken};
use rhyzome_store::invitation::{self, Found, NewInvitation};
use rhyzome_store::member::{self, Source};
use rhyzome_store::user;

use crate::authorize::{Caller, Operation, authorize, rights_now};
use crate::policy::{Decision, decide};
use crate::work::{Subject, project_of};
use crate::{Core, Error, IfMatch, Kind, Listed, PageRequest, Result, audit, login, resolve};

/// Seconds.
const LIFE: std::ops::RangeInclusive<u32> = 60..=2_592_000;
/// Of one for which nobody says how long. Seconds.
const USUAL_LIFE: u32 = 7 * 24 * 3600;

/// An invitation, and its code, which is told this once.
#[derive(Debug)]
pub struct Minted {
    pub invitation: Invitation,
    pub code: InvitationCode,
}

/// What became of an invitation.
#[derive(Debug)]
pub struct Redeemed {
    pub project: Name,
    /// The person's name.
    pub user: Name,
    /// What a new person's device shows from now on; none for who was logged in.
    pub session: Option<(SessionToken, Timestamp)>,
}

pub async fn create(
    core: &Core,
    caller: &Caller,
    project: &Name,
    spec: InvitationSpec,
) -> Result<Minted> {
    authorize(caller, Operation::InvitationCreate, Some(project))?;
    crate::member::check_role(spec.role)?;
    let life = spec.expires_in.unwrap_or(USUAL_LIFE);
    if !LIFE.contains(&life) {
        let why = format!("{} to {} seconds are possible", LIFE.start(), LIFE.end());
        return Err(Error::invalid("spec.expires_in", why));
    }
    let code = InvitationCode::mint(&mut rand::rng());
    let mut work = core.begin().await?;
    let project_id = resolve::project(&mut work, project).await?;
    let id = InvitationId(core.uuid());
    let name: Name = format!("i-{}", rhyzome_model::id::short(id.0))
        .parse()
        .map_err(Error::internal)?;
    let now = work.now;
    let row = NewInvitation {
        id,
        project: project_id,
        name: &name,
        hash: &code.secret_hash().to_string(),
        role: spec.role,
        expires_at: now.plus_millis(i64::from(life) * 1000),
        user: caller.person,
    };
    invitation::insert(&mut work, &row, now).await?;
    let made = invitation::get(&mut work, project_id, &name).await?;
    let invitation = made.ok_or_else(|| missing(&name))?;
    work.tell(
        (project_id, "invitation"),
        &invitation.meta,
        "created",
        spec.role.as_str(),
    )
    .await?;
    work.commit().await?;
    Ok(Minted { invitation, code })
}

pub async fn get(core: &Core, caller: &Caller, project: &Name, name: &Name) -> Result<Invitation> {
    authorize(caller, Operation::InvitationRead, Some(project))?;
    let mut conn = core.store.read().await?;
    let project = resolve::project(&mut conn, project).await?;
    let found = invitation::get(&mut conn, project, name).await?;
    found.ok_or_else(|| missing(name))
}

pub async fn list(
    core: &Core,
    caller: &Caller,
    project: &Name,
    page: &PageRequest,
) -> Result<Listed<Invitation>> {
    authorize(caller, Operation::InvitationRead, Some(project))?;
    let mut conn = core.store.read().await?;
    let project = resolve::project(&mut conn, project).await?;
    let rows = invitation::list(&mut conn, project, &resolve::after(page)).await?;
    Ok(resolve::listed(rows, page, |row| row.meta.name.to_string()))
}

/// Takes an invitation back that nobody has redeemed.
pub async fn delete(
    core: &Core,
    caller: &Caller,
    project: &Name,
    name: &Name,
    if_match: IfMatch,
) -> Result<()> {
    authorize(caller, Operation::InvitationDelete, Some(project))?;
    let mut work = core.begin().await?;
    let project = resolve::project(&mut work, project).await?;
    let found = invitation::get(&mut work, project, name).await?;
    let found = found.ok_or_else(|| missing(name))?;
    resolve::check_match(&found.meta, if_match)?;
    invitation::delete(&mut work, InvitationId(found.meta.id)).await?;
    work.tell((project, "invitation"), &found.meta, "deleted", "")
        .await?;
    work.commit().await
}

/// Lets whoever shows a code into its project, once: a person who has logged in, or, on a site without an issuer, somebody new of
/// a name that nobody has.
///
/// # Errors
/// `NotFound` for a code that was never made, has expired, or was redeemed.
pub async fn redeem(
    core: &Core,
    caller: Option<&Caller>,
    code: &str,
    name: Option<&Name>,
) -> Result<Redeemed> {
    let redeemed = try_redeem(core, caller, code, name).await;
    redeemed.inspect_err(audit::unknown)
}

async fn try_redeem(
    core: &Core,
    caller: Option<&Caller>,
    code: &str,
    name: Option<&Name>,
) -> Result<Redeemed> {
    let unknown = || {
        Error::new(
            Kind::NotFound,
            "this invitation is not known here, has expired, or was redeemed",
        )
    };
    let code: InvitationCode = code
        .parse()
        .map_err(|why| Error::invalid("code", format!("no invitation: {why}")))?;
    let mut work = core.begin().await?;
    let found = invitation::by_hash(&mut work, &code.secret_hash().to_string()).await?;
    let now = work.now;
    let found = found.filter(|found| now < found.invitation.expires_at);
    let Found {
        project,
        maker,
        invitation: found,
    } = found.ok_or_else(unknown)?;
    let project_name = project_of(&found.meta);
    // Who may not invite any more has left no door open.
    if let Some(maker) = maker {
        let rights = rights_now(&mut work, maker).await?.unwrap_or_default();
        let may = decide(&rights, Operation::InvitationCreate, Some(&project_name));
        if may != Decision::Allowed {
            return Err(unknown());
        }
    }
    let (id, called) = (found.meta.id, found.meta.name.as_str());
    work.audit.concerns(
        Some((project, &project_name)),
        "invitation",
        Some(id),
        called,
    );
    let (person, session) = match caller {
        Some(caller) => {
            let is_program = "an invitation is for a person: log in, and redeem it then";
            let person = caller
                .session_person()
                .ok_or_else(|| Error::new(Kind::Forbidden, is_program))?;
            (person, None)
        }
        None if core.oidc.is_some() => {
            let why = "people of this site log in first, with `rhyzome login`, and redeem their invitation then";
            return Err(Error::new(Kind::Unauthenticated, why));
        }
        None => {
            let name = name.ok_or_else(|| {
                Error::invalid("name", "who comes in for the first time has to say a name")
            })?;
            let (person, secret, expires_at) = login::welcome(&mut work, name).await?;
            (person, Some((secret, expires_at)))
        }
    };
    if !invitation::delete(&mut work, InvitationId(found.meta.id)).await? {
        return Err(unknown());
    }
    let user = user::by_id(&mut work, person).await?;
    let user = user.ok_or_else(Error::unauthenticated)?.meta.name;
    // Nobody loses a larger role by an invitation to a smaller one.
    let had = member::get(&mut work, project, &user).await?;
    let role = had.and_then(|had| had.invited).max(Some(found.role));
    member::set(&mut work, (project, person), Source::Invitation, role, now).await?;
    let subject = Subject {
        project: Some((project, &project_name)),
        kind: "member",
        id: person.0,
        name: user.as_str(),
    };
    work.event(&subject, "joined", found.role.as_str()).await?;
    work.commit().await?;
    Ok(Redeemed {
        project: project_name,
        user,
        session,
    })
}

fn missing(name: &Name) -> Error {
    Error::not_found("invitation", name)
}
