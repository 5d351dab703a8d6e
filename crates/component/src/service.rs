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

/// What a driver gets from around it.
#[derive(Clone)]
pub struct Context {
    /// Where the bytes of images come from.
    pub blobs: Arc<dyn Blobs>,
    /// What the component has accepted, for services that answer from it.
    pub ledger: Arc<Ledger>,
    /// The component's state; `identity`, `ledger` and `lock` in it are not the driver's.
    pub state_dir: PathBuf,
    /// The id that the core gave the component.
    pub component: String,
    /// Where the core is reached, as `HOST:PORT`.
    pub core: String,
    /// Cancelled when the component is to stop.
    pub stop: CancellationToken,
}

/// Makes the driver and serves the core, until SIGTERM or SIGINT.
///
/// # Errors
/// Where the driver cannot be made.
pub async fn run<F>(
    program: &str,
    component: Component,
    driver: impl FnOnce(Context) -> F,
) -> anyhow::Result<()>
where
    F: Future<Output = anyhow::Result<Arc<dyn Driver>>>,
{
    let stop = CancellationToken::new();
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
    let stopping = tokio::spawn(stop_on_signal(stop.clone()));
    let driver = driver(context)
        .await
        .context("the driver could not be started")?;
    component.run(driver, stop).await;
    stopping.abort();
    tracing::info!("{program} has stopped; what is on the host goes on");
    Ok(())
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
