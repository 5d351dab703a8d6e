//! Components: invited with a token, joined with a certificate of their own, revoked for ever.

use rhyzome_model::component::{ComponentKind, ComponentSpec};
use rhyzome_model::resource::{Component, ComponentSummary, Difference, Differing};
use rhyzome_model::{ComponentId, Name, Timestamp};
use rhyzome_pki::token::JoinToken;
use rhyzome_store::{Conn, component, join_token, placement};

use crate::authorize::{Caller, Operation, authorize, may};
use crate::work::{Subject, Work};
use crate::{Core, Error, IfMatch, Kind, Listed, PageRequest, Result, resolve, status};

/// What is asked of a join token.
#[derive(Clone, Debug)]
pub struct TokenRequest {
    pub kind: Option<ComponentKind>,
    pub name: Option<Name>,
    /// Seconds: 60 to a week.
    pub expires_in: u32,
}

/// A join token, whose text is shown this once.
#[derive(Debug)]
pub struct MintedToken {
    pub token: JoinToken,
    pub expires_at: Timestamp,
    pub url: String,
}

/// Makes a one-time token that a component joins with.
pub async fn token_create(
    core: &Core,
    caller: &Caller,
    request: TokenRequest,
) -> Result<MintedToken> {
    authorize(caller, Operation::ComponentTokenCreate, None)?;
    if !(60..=604_800).contains(&request.expires_in) {
        return Err(Error::invalid(
            "expires_in",
            "60 to 604800 seconds are possible",
        ));
    }
    let minted = JoinToken::mint(core.authority.fingerprint(), &mut rand::rng());
    let mut work = core.begin().await?;
    if let Some(name) = &request.name
        && component::get(&mut work, name).await?.is_some()
    {
        return Err(Error::name_taken("component", name));
    }
    let now = work.now;
    let expires_at = now.plus_millis(i64::from(request.expires_in) * 1000);
    let row = join_token::JoinToken {
        kind: request.kind,
        name: request.name,
        expires_at,
        used_at: None,
        used_by: None,
    };
    join_token::insert_join(&mut work, &minted.secret_hash().to_string(), &row, now).await?;
    let whose = row.name.as_ref().map_or("any", Name::as_str);
    work.audit.concerns(None, "component_token", None, whose);
    work.commit().await?;
    Ok(MintedToken {
        token: minted,
        expires_at,
        url: core.grpc_url.clone(),
    })
}

pub async fn get(core: &Core, caller: &Caller, name: &Name) -> Result<Component> {
    authorize(caller, Operation::ComponentRead, None)?;
    let mut conn = core.store.read().await?;
    let found = resolve::component(&mut conn, name).await?;
    let gone = gone_since(core, found.last_seen, found.revoked);
    let id = ComponentId(found.meta.id);
    Ok(Component {
        gone_since: gone,
        warnings: found.find_warnings(),
        differing: differing(core, caller, &mut conn, id).await?,
        ..found
    })
}

/// Of so much that is not as wanted it is said what.
const MOST_DIFFERING: i64 = 100;

async fn differing(
    core: &Core,
    caller: &Caller,
    conn: &mut Conn,
    id: ComponentId,
) -> Result<Differing> {
    let total = placement::count_differing(conn, id).await?;
    let before = core.silent_before();
    let told = |differs: placement::Differs| {
        let said = status::condition(&differs.row, before);
        let may_know = |project: &Name| may(caller, Operation::NetworkRead, Some(project));
        let known = differs.project.as_ref().is_some_and(may_know);
        Difference {
            kind: differs.row.kind,
            project: differs.project.filter(|_| known),
            name: Some(differs.row.resource_name).filter(|name| known && !name.is_empty()),
            network: differs.network.filter(|_| known),
            wanted: differs.row.wanted,
            reason: said.reason,
            message: said.message,
            since: said.since,
        }
    };
    let first = placement::differing(conn, id, MOST_DIFFERING).await?;
    Ok(Differing {
        total: u32::try_from(total).unwrap_or(u32::MAX),
        first: first.into_iter().map(told).collect(),
    })
}

/// The last sign of life of a component that is gone.
fn gone_since(core: &Core, last_seen: Option<Timestamp>, revoked: bool) -> Option<Timestamp> {
    last_seen.filter(|seen| !revoked && *seen < core.silent_before())
}

pub async fn list(
    core: &Core,
    caller: &Caller,
    page: &PageRequest,
) -> Result<Listed<ComponentSummary>> {
    authorize(caller, Operation::ComponentRead, None)?;
    let mut conn = core.store.read().await?;
    let mut rows = component::list(&mut conn, &resolve::after(page)).await?;
    for row in &mut rows {
        row.gone_since = gone_since(core, row.last_seen, row.revoked);
    }
    Ok(resolve::listed(rows, page, |row| row.meta.name.to_string()))
}

pub async fn update(
    core: &Core,
    caller: &Caller,
    name: &Name,
    spec: ComponentSpec,
    if_match: IfMatch,
) -> Result<Component> {
    authorize(caller, Operation::ComponentUpdate, None)?;
    let mut work = core.begin().await?;
    let found = resolve::component(&mut work, name).await?;
    resolve::check_match(&found.meta, if_match)?;
    if spec != found.spec {
        let now = work.now;
        component::update(&mut work, ComponentId(found.meta.id), &spec, now).await?;
        tell(&mut work, &found, "updated").await?;
        work.commit().await?;
    }
    get(core, caller, name).await
}

/// Ends what a component may do: its session ends within two seconds, and it can never connect again.
/// What was waiting for it to remove something waits no longer.
pub async fn revoke(core: &Core, caller: &Caller, name: &Name) -> Result<Component> {
    authorize(caller, Operation::ComponentRevoke, None)?;
    let mut work = core.begin().await?;
    let found = resolve::component(&mut work, name).await?;
    let id = ComponentId(found.meta.id);
    if !found.revoked {
        let now = work.now;
        component::revoke(&mut work, id, now).await?;
        for row in placement::of_component(&mut work, id).await? {
            if !row.wanted {
                work.unwant(&row).await?;
            }
        }
        tell(&mut work, &found, "revoked").await?;
        work.wake(id);
        work.commit().await?;
    }
    get(core, caller, name).await
}

/// Forgets a component that has nothing placed on it.
pub async fn delete(core: &Core, caller: &Caller, name: &Name, if_match: IfMatch) -> Result<()> {
    authorize(caller, Operation::ComponentDelete, None)?;
    let mut work = core.begin().await?;
    let found = resolve::component(&mut work, name).await?;
    resolve::check_match(&found.meta, if_match)?;
    let id = ComponentId(found.meta.id);
    if let Some((kind, content)) = component::content(&mut work, id).await? {
        let why = format!("the {kind} {content} is still on {name}");
        return Err(Error::new(Kind::InUse, why));
    }
    component::delete(&mut work, id).await?;
    tell(&mut work, &found, "deleted").await?;
    work.wake(id);
    work.commit().await
}

pub(crate) async fn tell(work: &mut Work, found: &Component, what: &str) -> Result<()> {
    tell_more(work, found, what, "").await
}

/// As [`tell`], with a sentence.
pub(crate) async fn tell_more(
    work: &mut Work,
    found: &Component,
    what: &str,
    message: &str,
) -> Result<()> {
    let subject = Subject {
        project: None,
        kind: "component",
        id: found.meta.id,
        name: found.meta.name.as_str(),
    };
    work.event(&subject, what, message).await
}
