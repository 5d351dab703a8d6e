//! Logging in: who an issuer says that somebody is becomes a person of the site, with a session and the roles that the operator
//! gives to the issuer's claims.

use std::collections::BTreeMap;
use std::time::Duration;

use rhyzome_model::role::Role;
use rhyzome_model::user::{Cause, LoginMethods, OidcMethod, User, Whoami};
use rhyzome_model::{Name, SessionId, Timestamp, UserId};
use rhyzome_oidc::{Claims, Issuer};
use rhyzome_pki::token::SessionToken;
use rhyzome_store::login::{self, NewSession};
use rhyzome_store::member::{self, Source};
use rhyzome_store::{project, user};

use crate::authorize::{Caller, Credential, Operation, authorize};
use crate::member::revoke;
use crate::user::tell;
use crate::work::{Subject, Work};
use crate::{Core, Error, Kind, Result, audit};

/// How long somebody of the site's own is logged in without using it. Milliseconds.
const OWN_SESSION: i64 = 30 * 24 * 3_600_000;
/// How many people may want one name before it is refused.
const NAMES: u32 = 10_000;

/// Who says who people are.
#[derive(Clone)]
pub struct Oidc {
    pub issuer: Issuer,
    pub scopes: Vec<String>,
    /// The claim that people are named by.
    pub name_claim: String,
    pub roles: Vec<ClaimRole>,
    /// How long a login is good for.
    pub session: Duration,
}

/// A role that a claim gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimRole {
    pub claim: String,
    /// What the claim is, or what the list that it is has in it.
    pub value: String,
    pub role: Role,
    /// None for roles of the site.
    pub project: Option<Name>,
}

/// Somebody who has just logged in.
#[derive(Debug)]
pub struct LoggedIn {
    pub user: User,
    /// What their device shows from now on; told this once.
    pub secret: SessionToken,
    pub expires_at: Timestamp,
}

/// How people log in here.
pub fn methods(core: &Core) -> LoginMethods {
    let oidc = core.oidc.as_ref().map(|oidc| OidcMethod {
        issuer: oidc.issuer.url().to_owned(),
        client_id: oidc.issuer.client_id().to_owned(),
        scopes: oidc.scopes.clone(),
    });
    LoginMethods { oidc }
}

/// Makes a session for who shows an ID token of the site's issuer.
///
/// # Errors
/// `Unauthenticated` where the token is not good, `Unavailable` where nobody can say so now, `Forbidden` where the operator keeps
/// them out.
pub async fn login(core: &Core, id_token: &str) -> Result<LoggedIn> {
    try_login(core, id_token).await.inspect_err(audit::unknown)
}

async fn try_login(core: &Core, id_token: &str) -> Result<LoggedIn> {
    let Some(oidc) = &core.oidc else {
        let why = "this site has no OpenID Connect issuer: people come in by invitations, programs with API tokens";
        return Err(Error::new(Kind::Unsupported, why));
    };
    let seconds = core.now().as_millis().div_euclid(1000);
    let claims = oidc.issuer.verify(id_token, seconds).await;
    let claims = claims.map_err(|error| match error.is_unreachable() {
        true => {
            tracing::warn!(%error, "somebody could not log in");
            let why = "the site's issuer does not answer, so nobody can say whether this login is good; try again later";
            Error::new(Kind::Unavailable, why)
        }
        false => Error::new(Kind::Unauthenticated, error.to_string()),
    })?;
    let mut work = core.begin().await?;
    let person = known(&mut work, oidc, &claims).await?;
    if person.spec.disabled {
        return Err(kept_out(&person.meta.name));
    }
    let id = UserId(person.meta.id);
    work.audit
        .concerns(None, "user", Some(id.0), person.meta.name.as_str());
    sync(&mut work, oidc, &claims, &person).await?;
    let life = i64::try_from(oidc.session.as_millis()).unwrap_or(i64::MAX);
    let expires_at = work.now.plus_millis(life);
    let secret = begin(&mut work, (id, &person.meta.name), expires_at, None).await?;
    tell(&mut work, &person, "logged_in").await?;
    work.commit().await?;
    let user = crate::user::view(core, &person.meta.name).await?;
    Ok(LoggedIn {
        user,
        secret,
        expires_at,
    })
}

/// Makes a person of the site's own, who is logged in from then on.
pub(crate) async fn welcome(
    work: &mut Work,
    name: &Name,
) -> Result<(UserId, SessionToken, Timestamp)> {
    if user::get(work, name).await?.is_some() {
        return Err(Error::name_taken("user", name));
    }
    let id = make(work, name, None, name.as_str()).await?;
    let expires_at = work.now.plus_millis(OWN_SESSION);
    let secret = begin(work, (id, name), expires_at, Some(OWN_SESSION)).await?;
    Ok((id, secret, expires_at))
}

/// Ends the caller's own session.
pub async fn logout(core: &Core, caller: &Caller) -> Result<()> {
    authorize(caller, Operation::Whoami, None)?;
    let Credential::Session(id) = caller.credential else {
        let why = "an API token is no login: `rhyzome token revoke` revokes it";
        return Err(Error::new(Kind::WrongState, why));
    };
    let mut work = core.begin().await?;
    login::delete(&mut work, id).await?;
    work.takes_rights();
    if let Some(person) = caller.person {
        let found = user::by_id(&mut work, person).await?;
        if let Some(person) = found {
            tell(&mut work, &person, "logged_out").await?;
        }
    }
    work.commit().await
}

/// Who is asking.
pub fn whoami(caller: &Caller) -> Result<Whoami> {
    authorize(caller, Operation::Whoami, None)?;
    Ok(caller.describe())
}

pub(crate) fn kept_out(name: &Name) -> Error {
    let why = format!("{name} is disabled on this site; whoever runs it can let them in again");
    Error::new(Kind::Forbidden, why)
}

/// The person whom claims are of, who is made if they are new.
async fn known(work: &mut Work, oidc: &Oidc, claims: &Claims) -> Result<User> {
    let issuer = oidc.issuer.url();
    if let Some(found) = user::by_subject(work, issuer, &claims.sub).await? {
        return Ok(found);
    }
    let wish = [
        oidc.name_claim.as_str(),
        "preferred_username",
        "email",
        "name",
    ]
    .iter()
    .find_map(|claim| claims.text(claim))
    .unwrap_or("user");
    let name = free(work, &handle(wish)).await?;
    let id = make(work, &name, Some((issuer, &claims.sub)), wish).await?;
    let made = user::by_id(work, id).await?;
    made.ok_or_else(|| Error::not_found("user", &name))
}

async fn make(
    work: &mut Work,
    name: &Name,
    subject: Option<(&str, &str)>,
    display_name: &str,
) -> Result<UserId> {
    let id = UserId(work.core().uuid());
    let row = user::NewUser {
        id,
        name,
        subject,
        display_name: &shortened(display_name),
    };
    let now = work.now;
    user::insert(work, &row, now).await?;
    let subject = Subject {
        project: None,
        kind: "user",
        id: id.0,
        name: name.as_str(),
    };
    work.event(&subject, "created", "").await?;
    Ok(id)
}

/// A name out of what an issuer calls somebody: the part before an @, in letters that names have.
fn handle(text: &str) -> Name {
    let local = text.split('@').next().unwrap_or_default().to_lowercase();
    let mut made = String::new();
    for c in local.chars() {
        match c {
            'a'..='z' | '0'..='9' => made.push(c),
            _ if !made.is_empty() && !made.ends_with('-') => made.push('-'),
            _ => {}
        }
    }
    made.truncate(40);
    let made = made.trim_end_matches('-');
    let plain = made.parse::<Name>();
    let prefixed = || format!("u-{made}").parse::<Name>();
    plain
        .or_else(|_| prefixed())
        .unwrap_or_else(|_| "user".parse().expect("a constant is a name"))
}

/// A name that nobody has: the wished one, or with a number behind it.
async fn free(work: &mut Work, wish: &Name) -> Result<Name> {
    let taken = user::names_like(work, wish).await?;
    let numbered = (2..NAMES).filter_map(|number| format!("{wish}-{number}").parse::<Name>().ok());
    let found = std::iter::once(wish.clone())
        .chain(numbered)
        .find(|name| !taken.contains(name));
    found.ok_or_else(|| {
        Error::new(
            Kind::NoCapacity,
            format!("too many people are called {wish}"),
        )
    })
}

fn shortened(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(100).collect()
}

/// Gives somebody the roles that their claims give, and takes those that they gave before.
async fn sync(work: &mut Work, oidc: &Oidc, claims: &Claims, person: &User) -> Result<()> {
    let id = UserId(person.meta.id);
    let given = || {
        oidc.roles
            .iter()
            .filter(|rule| claims.has(&rule.claim, &rule.value))
    };
    let site_role = given()
        .filter(|rule| rule.project.is_none())
        .map(|rule| rule.role)
        .max();
    let display_name = ["name", "email"]
        .iter()
        .find_map(|claim| claims.text(claim));
    let display_name = shortened(display_name.unwrap_or(&person.display_name));
    if person.site_role != site_role {
        work.takes_rights();
    }
    let now = work.now;
    user::logged_in(work, id, &display_name, site_role, now).await?;
    let mut wanted: BTreeMap<&Name, Role> = BTreeMap::new();
    for rule in given() {
        if let Some(project) = &rule.project {
            let role = wanted.entry(project).or_insert(rule.role);
            *role = (*role).max(rule.role);
        }
    }
    for had in member::of(work, id).await? {
        let (project, role) = ((had.project, &had.name), wanted.remove(&had.name));
        if had.claimed == role {
            continue;
        }
        if role.is_none() && had.invited.is_none() {
            revoke(work, person, project, Cause::NotClaimed).await?;
        } else {
            member::set(work, (had.project, id), Source::Claims, role, now).await?;
            work.takes_rights();
            crate::member::lowered(work, person, project).await?;
        }
    }
    for (name, role) in wanted {
        if let Some(project) = project::get(work, name).await? {
            let project = rhyzome_model::ProjectId(project.meta.id);
            member::set(work, (project, id), Source::Claims, Some(role), now).await?;
        }
    }
    Ok(())
}

async fn begin(
    work: &mut Work,
    (user, name): (UserId, &Name),
    expires_at: Timestamp,
    extended_by: Option<i64>,
) -> Result<SessionToken> {
    let secret = SessionToken::mint(&mut rand::rng());
    let id = SessionId(work.core().uuid());
    audit::logged_in(name, user, id);
    let row = NewSession {
        id,
        user,
        hash: &secret.secret_hash().to_string(),
        expires_at,
        extended_by,
    };
    let now = work.now;
    login::insert(work, &row, now).await?;
    Ok(secret)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_made_of_what_an_issuer_calls_somebody() {
        for (text, expect) in [
            ("ada", "ada"),
            ("Ada.Lovelace@example.org", "ada-lovelace"),
            ("42", "u-42"),
            ("_x_", "x"),
            ("Ünsal", "nsal"),
            ("日本", "user"),
            ("", "user"),
            ("a--b", "a-b"),
            (&"x".repeat(300), &"x".repeat(40)),
        ] {
            assert_eq!(handle(text).as_str(), expect, "{text}");
        }
    }
}
