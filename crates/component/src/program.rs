//! What the `main` of every component is: arguments, configuration, log, signals.
//!
//! ```text
//! rhyzome-KIND [--config FILE] [--set KEY=VALUE]… [--check-config] [--log-json] COMMAND
//!   run                                      serves the core until SIGTERM or SIGINT
//!   join CORE [TOKEN] [--name N] [--install] becomes a component of a core
//!   down [--purge]                           stops, or removes, all that is ours on the host
//! ```
//!
//! How much is logged is said in `RHYZOME_LOG` (`info`, `rhyzome_component=debug`, …). The
//! configuration itself is never logged.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;
use async_trait::async_trait;
use rhyzome_model::component::ComponentKind;
use rhyzome_settings::Settings;

use crate::component::{Component, Setup, lock};
use crate::driver::Driver;
use crate::jobs::JobsConfig;
use crate::join::{self, Joining, identity_folder};
pub use crate::service::Context;
use crate::service::{self, After};
use crate::upgrade::{self, Launched};

mod arguments;
pub mod install;
mod log;
mod papers;
mod settings;

use arguments::{Arguments, Command};
pub use arguments::{NoCommand, parse_token};
pub use settings::ComponentSettings;

/// One component's program.
#[async_trait]
pub trait Program: 'static {
    /// As in `rhyzome-libvirt`.
    const NAME: &'static str;
    const KIND: ComponentKind;
    /// Usually `env!("CARGO_PKG_VERSION")`.
    const VERSION: &'static str;
    /// What it is, in a sentence, for `--help` and the man page.
    const ABOUT: &'static str;
    /// The unit of its package.
    const UNIT: &'static str;
    /// How many placements are worked on at once.
    const AT_ONCE: usize = JobsConfig::AT_ONCE;
    /// The system users that its package makes, as sysusers.d(5) has them.
    const SYSUSERS: Option<&'static str>;

    /// The whole configuration, with [`ComponentSettings`] somewhere in it.
    type Settings: Settings + Send + Sync;
    /// Further commands, hidden or not; [`NoCommand`] where there are none.
    type Command: clap::Subcommand + Send;

    /// What every component has in its configuration.
    fn component(settings: &Self::Settings) -> &ComponentSettings;

    /// Makes the driver, after the configuration was checked.
    async fn driver(settings: Self::Settings, context: Context) -> anyhow::Result<Arc<dyn Driver>>;

    /// Stops all that is ours on the host; with `purge`, removes it, data too.
    async fn down(settings: Self::Settings, purge: bool) -> anyhow::Result<()>;

    /// Runs a further command, before there is a configuration, a log or a runtime.
    fn command(command: Self::Command) -> anyhow::Result<()>;
}

/// The whole of a component's `main`.
pub fn main<P: Program>() -> ExitCode {
    let arguments = Arguments::<P::Command>::of_process(papers::command::<P>());
    match start::<P>(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{}: {error:#}", P::NAME);
            ExitCode::FAILURE
        }
    }
}

fn start<P: Program>(arguments: Arguments<P::Command>) -> anyhow::Result<()> {
    let runs = matches!(arguments.command, Some(Command::Run)) && !arguments.check_config;
    let ended = perform::<P>(arguments);
    if let (true, Err(error)) = (runs, &ended) {
        upgrade::give_up(&format!("{error:#}"))?;
    }
    ended
}

fn perform<P: Program>(arguments: Arguments<P::Command>) -> anyhow::Result<()> {
    let check_config = arguments.check_config;
    let command = match arguments.command {
        Some(Command::Own(command)) if !check_config => return P::command(command),
        Some(Command::Man) => return papers::print(&papers::page::<P>()?),
        Some(Command::Completion { shell }) => {
            return papers::print(&papers::completion::<P>(shell));
        }
        command => command,
    };
    let config = arguments.config.clone();
    let loaded = settings::load::<P::Settings>(P::NAME, arguments.config, arguments.set)?;
    if check_config {
        println!("{loaded}");
        return Ok(());
    }
    log::start(arguments.log_json)?;
    let state_dir = &P::component(&loaded.settings).state_dir;
    let launched = match command {
        Some(Command::Run) => Some(upgrade::launch(state_dir, P::NAME)?),
        Some(Command::Down { .. }) => {
            upgrade::go_over(state_dir, P::NAME)?;
            None
        }
        _ => None,
    };
    let runtime = tokio::runtime::Runtime::new().context("the runtime could not be started")?;
    let ended = runtime.block_on(async {
        match (command, launched) {
            (Some(Command::Run), Some(launched)) => run::<P>(loaded.settings, launched).await,
            (
                Some(Command::Join {
                    core,
                    token,
                    name,
                    install,
                }),
                _,
            ) => {
                let state_dir = &P::component(&loaded.settings).state_dir;
                let name = name
                    .as_ref()
                    .or(P::component(&loaded.settings).name.as_ref());
                let token = parse_token(token)?;
                let kind = P::KIND;
                let request = join::Request {
                    core: &core,
                    token: &token,
                    state_dir,
                    kind,
                    name,
                };
                let installed = install.then(papers::package::<P>).transpose()?;
                join_core(request, installed.as_ref(), config.as_deref()).await?;
                Ok(After::Over)
            }
            (Some(Command::Down { purge }), _) => {
                down::<P>(loaded.settings, purge).await?;
                Ok(After::Over)
            }
            (
                Some(Command::Own(_) | Command::Man | Command::Completion { .. } | Command::Run),
                _,
            ) => {
                unreachable!("it has been run before")
            }
            (None, _) => anyhow::bail!("a command is needed: run, join or down; --help says more"),
        }
    });
    // A thread that is blocked in a foreign library is not waited for.
    runtime.shutdown_timeout(std::time::Duration::from_secs(1));
    Ok(ended?.follow()?)
}

async fn run<P: Program>(settings: P::Settings, launched: Launched) -> anyhow::Result<After> {
    let own = P::component(&settings);
    let setup = Setup {
        state_dir: own.state_dir.clone(),
        core: own.core.clone(),
        software_version: P::VERSION.to_owned(),
        jobs: JobsConfig {
            at_once: P::AT_ONCE,
            ..JobsConfig::default()
        },
    };
    let component = match Component::open(setup) {
        Err(error) if error.not_joined() => {
            anyhow::bail!("not joined yet: `{} join CORE TOKEN` comes first", P::NAME)
        }
        opened => opened?,
    };
    service::run(launched, component, |context| P::driver(settings, context)).await
}

async fn join_core(
    request: join::Request<'_>,
    installed: Option<&install::Package>,
    config: Option<&Path>,
) -> anyhow::Result<()> {
    let core = request.core.to_owned();
    let identity = std::path::absolute(identity_folder(request.state_dir))?;
    match join::join(request).await? {
        Joining::Joined { component, name } => {
            println!("joined {core} as {name} ({component})");
        }
        Joining::Already { component } => {
            println!("had joined {core} before, as {component}; the token was not used");
        }
    }
    if let Some(package) = installed {
        let executable = std::env::current_exe().context("this program's own path is not known")?;
        let config = config.map(std::path::absolute).transpose()?;
        let started = install::Started {
            executable: &executable,
            config: config.as_deref(),
            identity: &identity,
        };
        install::install(package, started)?;
        println!(
            "{} runs now, and at each start of the machine",
            package.program
        );
    }
    Ok(())
}

async fn down<P: Program>(settings: P::Settings, purge: bool) -> anyhow::Result<()> {
    let state_dir = P::component(&settings).state_dir.clone();
    let _lock = lock(&state_dir)?;
    P::down(settings, purge).await?;
    if purge {
        let identity = std::path::absolute(identity_folder(&state_dir))?;
        install::remove(&papers::package::<P>()?, &identity)?;
        purge_state(&state_dir)?;
    }
    Ok(())
}

/// Removes what is not the driver's, and the folder where nothing else is in it.
fn purge_state(state_dir: &Path) -> anyhow::Result<()> {
    let fine = |removed: std::io::Result<()>, path: &Path| match removed {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("{} could not be removed", path.display()))
        }
        _ => Ok(()),
    };
    // The identity last: until then, `down --purge` can be repeated.
    for folder in [
        state_dir.join("program"),
        state_dir.join("ledger"),
        identity_folder(state_dir),
    ] {
        fine(std::fs::remove_dir_all(&folder), &folder)?;
    }
    let lock = state_dir.join("lock");
    fine(std::fs::remove_file(&lock), &lock)?;
    match std::fs::remove_dir(state_dir) {
        // The operator put something there, or it is a mount point.
        Err(error)
            if matches!(
                error.kind(),
                std::io::ErrorKind::DirectoryNotEmpty | std::io::ErrorKind::ResourceBusy
            ) =>
        {
            Ok(())
        }
        removed => fine(removed, state_dir),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_purge_leaves_what_is_not_ours_and_no_empty_folder() {
        let folder = tempfile::tempdir().expect("a folder");
        let state_dir = folder.path().join("state");
        for part in ["ledger/placements", "identity"] {
            std::fs::create_dir_all(state_dir.join(part)).expect("a folder");
        }
        let held = lock(&state_dir).expect("a lock");
        std::fs::write(state_dir.join("notes"), "the operator's").expect("a file");
        purge_state(&state_dir).expect("a purge");
        let left = std::fs::read_dir(&state_dir).expect("a folder").count();
        assert_eq!(left, 1);
        drop(held);
        std::fs::remove_file(state_dir.join("notes")).expect("it is there");
        purge_state(&state_dir).expect("a purge again");
        assert!(!state_dir.exists());
        purge_state(&state_dir).expect("where there is nothing, too");
    }
}
