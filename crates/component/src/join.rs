//! Joining a core: a one-time token is spent on a certificate.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rhyzome_model::Name;
use rhyzome_model::component::ComponentKind;
use rhyzome_pki::client::{joining_config, pinned};
use rhyzome_pki::credential::{CredentialError, Named, chain_from_pem};
use rhyzome_pki::identity::IdentityError;
use rhyzome_pki::server::TlsError;
use rhyzome_pki::token::TokenError;
use rhyzome_pki::{Fingerprint, Identity, IdentityFolder, JoinToken};
use rhyzome_proto::Refusal;
use rhyzome_proto::enrollment::Join;
use rhyzome_proto::pb::enrollment_client::EnrollmentClient;
use tonic::{Code, Status};

use crate::link::{CoreUrl, InvalidCoreUrl, LinkError, channel};
use crate::step::IdentityStep;
use crate::surroundings::Surroundings;

/// How long joining may take.
const WITHIN: Duration = Duration::from_secs(30);

/// How a component becomes one.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// `https://HOST:PORT`, where the core listens for components.
    pub core: &'a str,
    pub token: &'a str,
    /// Where the component keeps its state; the identity goes to `identity` in it.
    pub state_dir: &'a Path,
    pub kind: ComponentKind,
    /// The name to ask for; by default the core makes one from the host's.
    pub name: Option<&'a Name>,
}

/// What joining came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Joining {
    Joined {
        component: String,
        name: String,
    },
    /// It had joined this same core before, and the token was not spent.
    Already {
        component: String,
    },
}

#[derive(Debug, thiserror::Error)]
pub enum JoinError {
    #[error("the core's address is not usable")]
    Address(#[from] InvalidCoreUrl),
    #[error("the join token is not usable")]
    Token(#[from] TokenError),
    #[error(
        "this component has joined the core at {core} before, as {component}; to join another one, \
         remove {folder} first"
    )]
    Other {
        core: String,
        component: String,
        folder: PathBuf,
    },
    #[error("the identity in {folder} is not usable; remove it to join anew")]
    Broken {
        folder: PathBuf,
        source: IdentityError,
    },
    #[error("the identity could not be made")]
    Identity(#[from] IdentityError),
    #[error("TLS could not be set up")]
    Tls(#[from] TlsError),
    #[error("no connection to the core: does the token belong to it?")]
    Connect(#[source] Box<LinkError>),
    #[error("no connection to the core")]
    Clock(#[source] Box<LinkError>),
    #[error("the core does not accept the token: {0}")]
    Refused(String),
    #[error("{0}")]
    TooMany(String),
    #[error("the name is taken; give another one")]
    NameTaken,
    #[error("the core could not let this component join; the same command may be given again")]
    Failed(#[source] Box<Status>),
    #[error("the core did not answer within {} s; the same command may be given again", WITHIN.as_secs())]
    Slow,
    #[error("the core's answer holds no readable authority")]
    Authority(#[source] CredentialError),
    #[error("the core's answer names an authority that the token does not")]
    OtherAuthority,
    /// In a test.
    #[error("{0}")]
    Injected(#[from] rhyzome_fault::Injected),
}

/// Where a component's identity is, in its state.
pub fn identity_folder(state_dir: &Path) -> PathBuf {
    state_dir.join("identity")
}

/// Joins, and keeps the identity. Joining the same core again is fine and does nothing.
///
/// # Errors
/// [`JoinError`]. Where the core's answer got lost, the same call again gets it: the key is kept until there
/// is a certificate for it, and a core lets a token be used again with the same key.
pub async fn join(request: Request<'_>) -> Result<Joining, JoinError> {
    join_from(request, &Surroundings::default()).await
}

/// The same, by another clock and another way of finding hosts.
///
/// # Errors
/// As for [`join`].
pub async fn join_from(
    request: Request<'_>,
    surroundings: &Surroundings,
) -> Result<Joining, JoinError> {
    let core: CoreUrl = request.core.parse()?;
    let token: JoinToken = request.token.trim().parse()?;
    let path = identity_folder(request.state_dir);
    let folder = IdentityFolder::new(&path);
    match folder.load() {
        Ok(identity) => return already(&identity, &core, &token, path),
        Err(IdentityError::NotJoined { .. }) => {}
        Err(source) => {
            return Err(JoinError::Broken {
                folder: path,
                source,
            });
        }
    }
    rhyzome_fault::reach(IdentityStep::Key)?;
    let key = folder.key_to_join()?;
    let join = Join {
        token: token.reveal(),
        csr: key.request()?,
        kind: request.kind,
        name: request.name.cloned(),
        hostname: hostname(),
    };
    rhyzome_fault::reach(IdentityStep::Join)?;
    let answer = tokio::time::timeout(WITHIN, ask(&core, token.authority(), join, surroundings))
        .await
        .map_err(|_| JoinError::Slow)??;
    check_authority(&answer.authority, token.authority())?;
    let identity = Identity::assemble(key, &answer.chain, &answer.authority, &core.to_string())?;
    rhyzome_fault::reach(IdentityStep::Joined)?;
    folder.save(&identity)?;
    Ok(Joining::Joined {
        component: identity.component_id().to_owned(),
        name: answer.name,
    })
}

fn already(
    identity: &Identity,
    core: &CoreUrl,
    token: &JoinToken,
    folder: PathBuf,
) -> Result<Joining, JoinError> {
    let component = identity.component_id().to_owned();
    let same_authority = pinned(identity.authorities(), token.authority()).is_some();
    if same_authority && identity.core() == core.to_string() {
        return Ok(Joining::Already { component });
    }
    Err(JoinError::Other {
        core: identity.core().to_owned(),
        component,
        folder,
    })
}

async fn ask(
    core: &CoreUrl,
    pin: Fingerprint,
    join: Join,
    surroundings: &Surroundings,
) -> Result<rhyzome_proto::pb::JoinResponse, JoinError> {
    let config = joining_config(pin)?;
    let channel = channel(core, config, surroundings).await;
    let channel = channel.map_err(|error| match error {
        LinkError::Clock { .. } => JoinError::Clock(Box::new(error)),
        error => JoinError::Connect(Box::new(error)),
    })?;
    match EnrollmentClient::new(channel)
        .join(rhyzome_proto::pb::JoinRequest::from(join))
        .await
    {
        Ok(answer) => Ok(answer.into_inner()),
        Err(status) => Err(match Refusal::of(&status) {
            Some(Refusal::NameTaken) => JoinError::NameTaken,
            Some(_) => JoinError::Refused(status.message().to_owned()),
            None if status.code() == Code::ResourceExhausted => {
                JoinError::TooMany(status.message().to_owned())
            }
            None => JoinError::Failed(Box::new(status)),
        }),
    }
}

/// What is trusted from now on is what the token names.
fn check_authority(pem: &str, pin: Fingerprint) -> Result<(), JoinError> {
    let named = Named {
        name: "the core's answer",
        pem: pem.as_bytes(),
    };
    let authorities = chain_from_pem(named).map_err(JoinError::Authority)?;
    match pinned(&authorities, pin) {
        Some(_) => Ok(()),
        None => Err(JoinError::OtherAuthority),
    }
}

/// The host's name, or nothing where it has none.
pub(crate) fn hostname() -> String {
    nix::unistd::gethostname()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default()
}
