//! Making the site's components components of its core: a one-time token each, spent at once.

use std::path::Path;
use std::process::Stdio;

use rhyzome_client::Client;
use rhyzome_component::join::{self, Request, identity_folder};
use rhyzome_wire::request::CreateJoinToken;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use super::Error;
use super::layout::Layout;
use super::program::{Member, Programs, Service};
use crate::failure::Failure;

/// How long a token is good for, in seconds: the shortest that there is.
const TOKEN_LIFE: u32 = 60;

/// Whether a component has joined before: its identity is switched on as the last step of joining.
pub fn has_joined(member: &Member) -> bool {
    identity_folder(&member.state).join("current").exists()
}

/// Sees to it that the core knows the components that have joined it. One that it does not know would
/// only be refused, again and again.
///
/// # Errors
/// [`Error::Unknown`] for the first one that it does not know.
pub async fn check_known(
    client: &Client,
    layout: &Layout,
    members: &[Member],
) -> Result<(), Failure> {
    let known = client.component().all().await?;
    let unknown = members
        .iter()
        .find(|member| has_joined(member) && !known.iter().any(|one| one.meta.name == member.name));
    unknown.map_or(Ok(()), |member| {
        Err(Error::Unknown {
            component: member.name.to_string(),
            core: layout.api(),
        }
        .into())
    })
}

/// Lets the core forget a component that was killed while it joined: its name is wanted again.
///
/// # Errors
/// [`Error::IdentityLost`] where the core has something on it: then it had joined, and lost its identity.
pub async fn forget_half_joined(
    client: &Client,
    layout: &Layout,
    member: &Member,
) -> Result<(), Failure> {
    match client.component().delete(&member.name, None, None).await {
        Err(e) if e.problem().is_some_and(|problem| problem.status == 409) => {
            Err(Error::IdentityLost {
                component: member.name.to_string(),
                folder: layout.as_named(&identity_folder(&member.state)),
                source: Box::new(e),
            }
            .into())
        }
        Err(e) if !e.is_not_found() => Err(e.into()),
        _ => Ok(()),
    }
}

/// Lets a real component join, by its own program. The token goes through a pipe: nobody sees it among
/// the arguments.
pub async fn real(
    client: &Client,
    layout: &Layout,
    service: &Service,
    member: &Member,
    core: &str,
) -> Result<(), Failure> {
    let token = token(client, member).await?;
    let failed = |source| Error::Spawn {
        program: service.program.display().to_string(),
        source,
    };
    let mut child = Command::new(&service.program)
        .arg("--config")
        .arg(layout.config(service.name))
        .args(["join", core, "-", "--name", member.name.as_str()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(failed)?;
    if let Some(mut stdin) = child.stdin.take() {
        // One that ended already says why below.
        let _ = stdin.write_all(token.as_bytes()).await;
    }
    let output = child.wait_with_output().await.map_err(failed)?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    Err(Error::Join {
        component: member.name.to_string(),
        output: said,
    }
    .into())
}

/// Lets a simulated component join.
pub async fn simulated(client: &Client, member: &Member, core: &str) -> Result<(), Failure> {
    let token = token(client, member).await?;
    let request = Request {
        core,
        token: &token,
        state_dir: &member.state,
        kind: member.kind,
        name: Some(&member.name),
    };
    std::fs::create_dir_all(&member.state).map_err(Error::file(&member.state))?;
    let joined = join::join(request).await;
    joined.map(drop).map_err(|source| {
        let (component, source) = (member.name.to_string(), Box::new(source));
        Error::JoinSimulated { component, source }.into()
    })
}

async fn token(client: &Client, member: &Member) -> Result<String, Failure> {
    let request = CreateJoinToken {
        kind: Some(member.kind),
        name: Some(member.name.clone()),
        expires_in: TOKEN_LIFE,
    };
    Ok(client.component().create_token(&request).await?.token)
}

/// Where a program is looked for before anything is started, so that a missing one is told at once.
pub fn check(programs: &Programs, real: bool) -> Result<(), Error> {
    programs.path("rhyzome-api")?;
    if real {
        programs.path("rhyzome-libvirt")?;
        programs.path("rhyzome-linux")?;
    }
    Ok(())
}

/// Whether a tool is on the path.
pub fn has_tool(tool: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    // Where Debian keeps what only root needs; a user's PATH has it not.
    let besides = ["/usr/sbin", "/sbin"].map(Path::new);
    std::env::split_paths(&path).any(|folder| folder.join(tool).is_file())
        || besides.iter().any(|folder| folder.join(tool).is_file())
}
