//! Who is calling, and whether they may: the one place that every operation passes.

use std::collections::BTreeMap;

use rhyzome_model::resource::ApiToken as TokenRow;
use rhyzome_model::role::Role;
use rhyzome_model::{ApiTokenId, Name, SessionId, Timestamp, UserId};
use rhyzome_pki::token::ApiToken;
use rhyzome_store::token;

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
    TokenCreate,
    TokenRead,
    TokenDelete,
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
    /// For logs and for keeping callers' idempotency keys apart: a project's token is `project/name`.
    pub name: String,
    pub credential: Credential,
    /// The person, where it is one, and not a program.
    pub person: Option<UserId>,
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
            rights,
        }
    }

    fn of_token(token: &TokenRow) -> Self {
        let name = token.meta.name.as_str();
        let credential = Credential::Token(ApiTokenId(token.meta.id));
        match &token.meta.project {
            None => Self::of_site(name, token.role, credential),
            Some(project) => Self {
                name: format!("{project}/{name}"),
                credential,
                person: None,
                rights: Rights {
                    site: None,
                    projects: BTreeMap::from([(project.clone(), token.role)]),
                },
            },
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

/// Finds out who shows a token.
///
/// # Errors
/// `Unauthenticated` without a token that is known and good, unless the operator switched authorization off.
pub async fn authenticate(core: &Core, bearer: Option<&str>) -> Result<Caller> {
    if !core.authorization {
        return Ok(Caller::of_site("anonymous", Role::Admin, Credential::Local));
    }
    let text = bearer.ok_or_else(Error::unauthenticated)?;
    let shown: ApiToken = text
        .parse()
        .map_err(|why| Error::new(Kind::Unauthenticated, format!("no API token: {why}")))?;
    // Found by its hash: a difference in time would tell of the hash, not of the token.
    let mut conn = core.store.read().await?;
    let found = token::by_hash(&mut conn, &shown.secret_hash().to_string()).await?;
    drop(conn);
    let now = core.now();
    let is_good = |token: &TokenRow| token.expires_at.is_none_or(|expires_at| now < expires_at);
    let Some(token) = found.filter(is_good) else {
        // Whether it was good once is nobody's business who has it now.
        return Err(Error::new(
            Kind::Unauthenticated,
            "this API token is not known here, or is good no longer",
        ));
    };
    let is_noted = |used: Timestamp| now < used.plus_millis(NOTED);
    if !token.last_used_at.is_some_and(is_noted)
        && let Err(error) = note_use(core, ApiTokenId(token.meta.id), now).await
    {
        // Who reads is not kept from it where nothing can be written.
        tracing::warn!(
            error = &error as &dyn std::error::Error,
            "the use of an API token could not be noted"
        );
    }
    Ok(Caller::of_token(&token))
}

async fn note_use(core: &Core, token: ApiTokenId, now: Timestamp) -> rhyzome_store::Result<()> {
    let mut tx = core.store.write().await?;
    token::used(&mut tx, token, now).await?;
    tx.commit().await
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
        (Decision::Hidden, None) => Err(lacks(Role::Auditor)),
        (Decision::Lacks(role), _) => Err(lacks(role)),
    }
}

/// Whether a caller may do something besides what they ask for: to show more or less, not to refuse.
pub fn may(caller: &Caller, operation: Operation, project: Option<&Name>) -> bool {
    decide(&caller.rights, operation, project) == Decision::Allowed
}

fn lacks(role: Role) -> Error {
    let of = if role.is_of_site() {
        "the site"
    } else {
        "the project"
    };
    let public =
        format!("this needs the role {role} of {of}; whoever gave you your token can give another");
    Error::new(Kind::Forbidden, public)
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
    };
    token::insert(&mut tx, &row, core.now()).await?;
    audit::of_admin_token(core, &mut tx, &row).await?;
    tx.commit().await?;
    Ok(minted)
}
