//! Who is calling, and whether they may: the one place that every operation passes.

use rhyzome_model::Name;
use rhyzome_pki::token::ApiToken;
use rhyzome_store::token;

use crate::{Core, Error, Kind, Result};

/// Everything that can be asked of the core by people and programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operation {
    SiteRead,
    SiteConfirm,
    MetricsRead,
    EventRead,
    JobRead,
    ProjectCreate,
    ProjectRead,
    ProjectDelete,
    ComponentRead,
    ComponentUpdate,
    ComponentDelete,
    ComponentRevoke,
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
    InstanceUpdate,
    InstancePower,
    InstanceConsole,
    InstanceDelete,
    SshKeyCreate,
    SshKeyRead,
    SshKeyDelete,
}

/// Somebody who has shown who they are.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Caller {
    /// For logs and for keeping callers' idempotency keys apart.
    pub name: String,
    role: Role,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Role {
    /// Runs the site.
    Admin,
}

impl Caller {
    /// The operator at the machine itself.
    pub fn local() -> Self {
        Self {
            name: "local".to_owned(),
            role: Role::Admin,
        }
    }
}

/// Finds out who shows a token.
///
/// # Errors
/// `Unauthenticated` without a token that is known, unless the operator switched authorization off.
pub async fn authenticate(core: &Core, bearer: Option<&str>) -> Result<Caller> {
    if !core.authorization {
        return Ok(Caller {
            name: "anonymous".to_owned(),
            role: Role::Admin,
        });
    }
    let text = bearer.ok_or_else(Error::unauthenticated)?;
    let shown: ApiToken = text
        .parse()
        .map_err(|why| Error::new(Kind::Unauthenticated, format!("no API token: {why}")))?;
    // Found by its hash: a difference in time would tell of the hash, not of the token.
    let mut conn = core.store.read().await?;
    let found = token::api(&mut conn, &shown.secret_hash().to_string()).await?;
    match found {
        Some(token) if token.role == "admin" => Ok(Caller {
            name: token.name,
            role: Role::Admin,
        }),
        _ => Err(Error::new(
            Kind::Unauthenticated,
            "this API token is not known here",
        )),
    }
}

/// Says whether a caller may do something, in a project or on the site as a whole.
///
/// # Errors
/// `NotFound` for what the caller may not know of, `Forbidden` otherwise.
pub fn authorize(caller: &Caller, operation: Operation, project: Option<&Name>) -> Result<()> {
    tracing::trace!(
        caller = caller.name,
        ?operation,
        project = project.map(Name::as_str)
    );
    match caller.role {
        Role::Admin => Ok(()),
    }
}

/// Makes a new token for the administrator; the ones from before are good no longer.
pub async fn reset_admin_token(core: &Core) -> Result<ApiToken> {
    let minted = ApiToken::mint(&mut rand::rng());
    let now = core.now();
    let mut tx = core.store.write().await?;
    let row = token::ApiToken {
        name: "admin".to_owned(),
        role: "admin".to_owned(),
    };
    token::replace_api(&mut tx, &minted.secret_hash().to_string(), &row, now).await?;
    tx.commit().await?;
    Ok(minted)
}
