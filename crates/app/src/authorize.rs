//! Who is calling, and whether they may: the one place that every operation passes.

use std::collections::BTreeMap;

use rhyzome_model::resource::ApiToken as TokenRow;
use rhyzome_model::role::Role;
use rhyzome_model::user::{ProjectRole, User, Whoami};
use rhyzome_model::{ApiTokenId, Name, SessionId, Timestamp, UserId};
use rhyzome_pki::token::{ApiToken, SessionToken};
use rhyzome_store::{Conn, Tx, login, member, token, user};

use crate::policy::{Decision, Rights, decide};
use crate::{Core, Error, Kind, Result, audit};

macro_rules! operations {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// Everything that can be asked of the core by people and programs.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Operation {
            $($(#[$doc])* $name,)*
        }

        impl Operation {
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];
        }
    };
}

operations! {
    SiteRead,
    /// Asking who one is, and logging out.
    Whoami,
    /// What on hosts is held back after a restoration.
    SiteInspect,
    SiteConfirm,
    MetricsRead,
    SiteEventRead,
    SiteAuditRead,
    SiteJobRead,
    SiteTokenCreate,
    SiteTokenRead,
    SiteTokenDelete,
    EventRead,
    AuditRead,
    JobRead,
    ProjectCreate,
    ProjectList,
    ProjectRead,
    ProjectDelete,
    QuotaRead,
    QuotaSet,
    TokenCreate,
    TokenRead,
    TokenDelete,
    MemberRead,
    MemberUpdate,
    MemberDelete,
    /// Taking oneself out of a project.
    MemberLeave,
    /// What members lost who went, and which endpoints have confirmed it.
    RevocationRead,
    InvitationCreate,
    InvitationRead,
    InvitationDelete,
    UserRead,
    UserUpdate,
    UserDelete,
    ComponentRead,
    ComponentUpdate,
    ComponentDelete,
    ComponentRevoke,
    ComponentUpgrade,
    ComponentTokenCreate,
    BlobWrite,
    BlobRead,
    ImageCreate,
    ImageRead,
    ImageUpdate,
    ImageDelete,
    ImageTagSet,
    ImageTagRead,
    ImageTagDelete,
    NetworkCreate,
    NetworkRead,
    NetworkUpdate,
    NetworkDelete,
    PeerCreate,
    PeerRead,
    PeerUpdate,
    PeerDelete,
    InstanceCreate,
    /// Interfaces on hosts' own bridges, where nothing is filtered.
    BridgeAttach,
    InstanceRead,
    /// User data, which may hold passwords.
    InstanceSecretRead,
    InstanceUpdate,
    InstancePower,
    InstanceConsole,
    InstanceDelete,
    SshKeyCreate,
    SshKeyRead,
    SshKeyDelete,
}

/// By what somebody has shown who they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Credential {
    /// By being at the machine itself, or where the operator asks nobody.
    Local,
    Token(ApiTokenId),
    Session(SessionId),
}

/// Somebody who has shown who they are.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Caller {
    /// For logs and for keeping callers' idempotency keys apart: a project's token is `project/name`, a person `@name`.
    pub name: String,
    pub credential: Credential,
    /// The person who has logged in, or who made the token.
    pub person: Option<UserId>,
    /// When what was shown expires.
    pub expires_at: Option<Timestamp>,
    rights: Rights,
}

/// How much of the last use of a token is noted, in milliseconds: not each of its requests writes.
const NOTED: i64 = 60_000;

impl Caller {
    /// The operator at the machine itself.
    pub fn local() -> Self {
        Self::of_site("local", Role::Admin, Credential::Local)
    }

    fn of_site(name: &str, role: Role, credential: Credential) -> Self {
        let rights = Rights {
            site: Some(role),
            ..Rights::default()
        };
        Self {
            name: name.to_owned(),
            credential,
            person: None,
            expires_at: None,
            rights,
        }
    }

    /// `own`: what the person who made it may, where that was a person. A token can do no more than that.
    fn of_token(token: &TokenRow, own: Option<(UserId, Rights)>) -> Option<Self> {
        let name = token.meta.name.as_str();
        let (person, own) = own.unzip();
        let of_site = own.as_ref().map(|own| own.site);
        let (name, rights) = match &token.meta.project {
            None => {
                let site = match of_site {
                    None => token.role,
                    Some(own) => own?.min(token.role),
                };
                (
                    name.to_owned(),
                    Rights {
                        site: Some(site),
                        ..Rights::default()
                    },
                )
            }
            Some(project) => {
                let role = match &own {
                    Some(own) if own.site != Some(Role::Admin) => {
                        own.projects.get(project)?.min(&token.role)
                    }
                    _ => &token.role,
                };
                let projects = BTreeMap::from([(project.clone(), *role)]);
                (
                    format!("{project}/{name}"),
                    Rights {
                        site: None,
                        projects,
                    },
                )
            }
        };
        Some(Self {
            name,
            credential: Credential::Token(ApiTokenId(token.meta.id)),
            person,
            expires_at: token.expires_at,
            rights,
        })
    }

    fn of_session(known: &login::Known) -> Self {
        Self {
            name: format!("@{}", known.user.meta.name),
            credential: Credential::Session(known.session.id),
            person: Some(known.session.user),
            expires_at: Some(known.session.expires_at),
            rights: rights_of(&known.user, &known.projects),
        }
    }

    /// Whether somebody is allowed exactly what they were allowed before.
    pub fn may_the_same(&self, before: &Self) -> bool {
        self.rights == before.rights
    }

    /// The person, if it is one who has logged in, and not a program.
    pub fn session_person(&self) -> Option<UserId> {
        match self.credential {
            Credential::Session(_) => self.person,
            Credential::Local | Credential::Token(_) => None,
        }
    }

    /// What they are, to be told to themselves.
    pub fn describe(&self) -> Whoami {
        let role = |(project, role): (&Name, &Role)| ProjectRole {
            project: project.clone(),
            role: *role,
        };
        Whoami {
            name: self.name.trim_start_matches('@').to_owned(),
            is_person: matches!(self.credential, Credential::Session(_)),
            site_role: self.rights.site,
            projects: self.rights.projects.iter().map(role).collect(),
            expires_at: self.expires_at,
        }
    }

    /// The projects that they may see; none where those are all.
    pub fn projects(&self) -> Option<impl Iterator<Item = &Name>> {
        match self.rights.site {
            Some(_) => None,
            None => Some(self.rights.projects.keys()),
        }
    }
}

/// What somebody may now; none where they are kept out, or not known any more.
pub(crate) async fn rights_now(conn: &mut Conn, person: UserId) -> Result<Option<Rights>> {
    let user = user::by_id(conn, person).await?;
    let Some(user) = user.filter(|user| !user.spec.disabled) else {
        return Ok(None);
    };
    let projects = member::of(conn, person).await?;
    Ok(Some(rights_of(&user, &projects)))
}

fn rights_of(user: &User, projects: &[member::Of]) -> Rights {
    let projects = projects.iter().map(member::Of::role);
    Rights {
        site: user.site_role,
        projects: projects.map(|one| (one.project, one.role)).collect(),
    }
}

/// Finds out who shows a token.
///
/// # Errors
/// `Unauthenticated` without a token that is known and good, unless the operator switched authorization off.
pub async fn authenticate(core: &Core, bearer: Option<&str>) -> Result<Caller> {
    if !core.authorization {
        return Ok(Caller::of_site("anonymous", Role::Admin, Credential::Local));
    }
    let text = bearer.ok_or_else(Error::unauthenticated)?;
    match SessionToken::is_meant(text) {
        true => by_session(core, text).await,
        false => by_token(core, text).await,
    }
}

// Tokens and sessions are found by their hash: a difference in time would tell of the hash, not of the token.

async fn by_token(core: &Core, text: &str) -> Result<Caller> {
    let shown: ApiToken = text
        .parse()
        .map_err(|why| Error::new(Kind::Unauthenticated, format!("no API token: {why}")))?;
    // Whether it was good once is nobody's business who has it now.
    let unknown = || {
        Error::new(
            Kind::Unauthenticated,
            "this API token is not known here, or is good no longer",
        )
    };
    let now = core.now();
    let mut conn = core.store.read().await?;
    let found = token::by_hash(&mut conn, &shown.secret_hash().to_string()).await?;
    let is_good = |token: &TokenRow| token.expires_at.is_none_or(|expires_at| now < expires_at);
    let (token, maker) = found
        .filter(|(token, _)| is_good(token))
        .ok_or_else(unknown)?;
    let own = match maker {
        Some(person) => {
            let rights = rights_now(&mut conn, person).await?;
            Some((person, rights.ok_or_else(unknown)?))
        }
        None => None,
    };
    drop(conn);
    let caller = Caller::of_token(&token, own).ok_or_else(unknown)?;
    if is_to_note(token.last_used_at, now) {
        let id = ApiTokenId(token.meta.id);
        note(core, async |tx| token::used(tx, id, now).await).await;
    }
    Ok(caller)
}

async fn by_session(core: &Core, text: &str) -> Result<Caller> {
    let over = || {
        let how = match core.oidc {
            Some(_) => "`rhyzome login` begins another",
            None => "another invitation begins one",
        };
        Error::new(Kind::Unauthenticated, format!("this login is over; {how}"))
    };
    let shown: SessionToken = text
        .parse()
        .map_err(|why| Error::new(Kind::Unauthenticated, format!("no login: {why}")))?;
    let now = core.now();
    let mut conn = core.store.read().await?;
    let found = login::by_hash(&mut conn, &shown.secret_hash().to_string()).await?;
    drop(conn);
    let known = found.filter(|known| now < known.session.expires_at && !known.user.spec.disabled);
    let mut known = known.ok_or_else(over)?;
    if is_to_note(known.session.last_used_at, now) {
        let session = &mut known.session;
        if let Some(longer) = session.extended_by {
            session.expires_at = session.expires_at.max(now.plus_millis(longer));
        }
        let (id, until) = (session.id, session.expires_at);
        note(core, async |tx| login::used(tx, id, until, now).await).await;
    }
    Ok(Caller::of_session(&known))
}

fn is_to_note(last: Option<Timestamp>, now: Timestamp) -> bool {
    last.is_none_or(|used| now >= used.plus_millis(NOTED))
}

/// Who reads is not kept from it where nothing can be written.
async fn note(core: &Core, write: impl AsyncFnOnce(&mut Tx) -> rhyzome_store::Result<()>) {
    let noted = async {
        let mut tx = core.store.write().await?;
        write(&mut tx).await?;
        tx.commit().await
    };
    if let Err(error) = noted.await {
        tracing::warn!(
            error = &error as &dyn std::error::Error,
            "the use of a credential could not be noted"
        );
    }
}

/// Says whether a caller may do something, in a project or on the site as a whole.
///
/// # Errors
/// `NotFound` for what the caller may not know of, as if it were not there; `Forbidden` otherwise.
pub fn authorize(caller: &Caller, operation: Operation, project: Option<&Name>) -> Result<()> {
    tracing::trace!(
        caller = caller.name,
        ?operation,
        project = project.map(Name::as_str)
    );
    let decision = decide(&caller.rights, operation, project);
    audit::decided(operation, project, decision);
    match (decision, project) {
        (Decision::Allowed, _) => Ok(()),
        (Decision::Hidden, Some(project)) => Err(Error::not_found("project", project)),
        (Decision::Hidden, None) => Err(lacks(caller, Role::Auditor)),
        (Decision::Lacks(role), _) => Err(lacks(caller, role)),
    }
}

/// Whether a caller may do something besides what they ask for: to show more or less, not to refuse.
pub fn may(caller: &Caller, operation: Operation, project: Option<&Name>) -> bool {
    decide(&caller.rights, operation, project) == Decision::Allowed
}

fn lacks(caller: &Caller, role: Role) -> Error {
    let is_person = caller.session_person().is_some();
    let what = match (role.is_of_site(), is_person) {
        (true, true) => "the site; whoever runs it can give it to you",
        (false, true) => "the project; its owners can give it to you",
        (true, false) => "the site; whoever gave you your token can give another",
        (false, false) => "the project; whoever gave you your token can give another",
    };
    Error::new(
        Kind::Forbidden,
        format!("this needs the role {role} of {what}"),
    )
}

/// Makes a new token for the administrator; the ones from before are good no longer.
pub async fn reset_admin_token(core: &Core) -> Result<ApiToken> {
    let minted = ApiToken::mint(&mut rand::rng());
    let name: Name = "admin".parse().expect("a constant is a name");
    let mut tx = core.store.write().await?;
    token::delete(&mut tx, None, &name).await?;
    let row = token::NewToken {
        id: ApiTokenId(core.uuid()),
        hash: &minted.secret_hash().to_string(),
        owner: None,
        name: &name,
        role: Role::Admin,
        expires_at: None,
        user: None,
    };
    token::insert(&mut tx, &row, core.now()).await?;
    audit::of_admin_token(core, &mut tx, &row).await?;
    tx.commit().await?;
    Ok(minted)
}
