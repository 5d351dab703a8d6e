//! A component as a process: it serves its core until a signal says that it is to stop.
//!
//! Left out on purpose: arguments, configuration and the log, which each program has of its own kind.

use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use tokio_util::sync::CancellationToken;

use crate::component::Component;
use crate::driver::{Blobs, Driver};
use crate::ledger::Ledger;
use crate::upgrade::{self, LaunchError, Launched, Upgrader};

/// What a driver gets from around it.
#[derive(Clone)]
pub struct Context {
    /// Where the bytes of images come from.
    pub blobs: Arc<dyn Blobs>,
    /// What the component has accepted, for services that answer from it.
    pub ledger: Arc<Ledger>,
    /// The component's state; `identity`, `ledger`, `program` and `lock` in it are not the driver's.
    pub state_dir: PathBuf,
    /// The id that the core gave the component.
    pub component: String,
    /// Where the core is reached, as `HOST:PORT`.
    pub core: String,
    /// Cancelled when the component is to stop.
    pub stop: CancellationToken,
}

/// What comes after a component has ended.
#[derive(Debug, PartialEq, Eq)]
#[must_use]
pub enum After {
    Over,
    /// The installed program, which decides which one runs.
    Start(PathBuf),
}

impl After {
    /// Does it; nothing else of this process should run any more.
    ///
    /// # Errors
    /// Where the installed program cannot be started.
    pub fn follow(self) -> Result<(), LaunchError> {
        match self {
            Self::Over => Ok(()),
            Self::Start(installed) => Err(upgrade::start_installed(&installed)),
        }
    }
}

/// Makes the driver and serves the core, until SIGTERM or SIGINT, or until another program is to run. A program
/// that fails here, and before, is to be given up ([`upgrade::give_up`]).
///
/// # Errors
/// Where the driver cannot be made.
pub async fn run<F>(
    launched: Launched,
    component: Component,
    driver: impl FnOnce(Context) -> F,
) -> anyhow::Result<After>
where
    F: Future<Output = anyhow::Result<Arc<dyn Driver>>>,
{
    let (program, installed) = (launched.name(), launched.installed().to_owned());
    let upgrader = Arc::new(Upgrader::new(launched));
    let component = component.upgraded_by(Arc::clone(&upgrader));
    let told = CancellationToken::new();
    let stop = told.child_token();
    let context = Context {
        blobs: component.blobs(),
        ledger: component.ledger(),
        state_dir: component.state_dir().to_owned(),
        component: component.link().component_id(),
        core: component.link().core().authority().to_owned(),
        stop: stop.clone(),
    };
    let version = component.software_version();
    tracing::info!(version, core = %component.link().core(), "{program} starts");
    let stopping = tokio::spawn(stop_on_signal(told.clone()));
    let driver = driver(context)
        .await
        .context("the driver could not be started")?;
    component.run(driver, stop).await;
    stopping.abort();
    if upgrader.leaves() && !told.is_cancelled() {
        tracing::info!("{program} ends for another program; what is on the host goes on");
        return Ok(After::Start(installed));
    }
    tracing::info!("{program} has stopped; what is on the host goes on");
    Ok(After::Over)
}

/// The first signal stops in good order, a second one at once.
async fn stop_on_signal(stop: CancellationToken) {
    use tokio::signal::unix::{SignalKind, signal};
    let (terminate, interrupt) = (
        signal(SignalKind::terminate()),
        signal(SignalKind::interrupt()),
    );
    let (Ok(mut terminate), Ok(mut interrupt)) = (terminate, interrupt) else {
        tracing::error!("signals cannot be waited for; SIGTERM will end this at once");
        return;
    };
    for _ in 0..2 {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        if stop.is_cancelled() {
            std::process::exit(130);
        }
        tracing::info!("stopping; a second signal stops at once");
        stop.cancel();
    }
}
