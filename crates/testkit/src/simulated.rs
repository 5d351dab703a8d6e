//! Simulated components, in the test's process.

use std::path::PathBuf;
use std::sync::Arc;

use rhyzome_component::fake::{FakeDriver, Options};
use rhyzome_component::jobs::JobsConfig;
use rhyzome_component::{Component, Setup, join};
use rhyzome_model::Name;
use rhyzome_model::component::ComponentKind;
use serde_json::json;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::{Actor, wait_for};

/// A component around a host that is not there. Dropped, it goes away as if killed.
pub struct Simulated {
    /// What its host is like and what goes wrong on it.
    pub driver: Arc<FakeDriver>,
    name: Name,
    folder: PathBuf,
    stopping: CancellationToken,
    running: AbortOnDropHandle<()>,
}

impl Simulated {
    /// Joins with a token that the administrator makes, and waits until the core sees it connected.
    ///
    /// # Panics
    /// When any of that fails.
    pub async fn join(
        admin: &Actor,
        core: &str,
        kind: ComponentKind,
        name: &str,
        folder: PathBuf,
    ) -> Self {
        std::fs::create_dir_all(&folder).expect("a folder");
        let name: Name = name.parse().expect("a name");
        let wanted = json!({"kind": kind, "name": name});
        let token = admin
            .post("/v1/component-tokens")
            .json(&wanted)
            .await
            .good();
        let token = token["token"].as_str().expect("a token").to_owned();
        let request = join::Request {
            core,
            token: &token,
            state_dir: &folder,
            kind,
            name: Some(&name),
        };
        join::join(request).await.expect("the component joins");
        let driver = match kind {
            ComponentKind::Libvirt => FakeDriver::libvirt(Options::default()),
            ComponentKind::Linux | ComponentKind::Openwrt => FakeDriver::linux(Options::default()),
        };
        let driver = driver.expect("a simulated host");
        let simulated = Self::run(name, folder, driver);
        simulated.wait_connected(admin, true).await;
        simulated
    }

    fn run(name: Name, folder: PathBuf, driver: Arc<FakeDriver>) -> Self {
        let setup = Setup {
            state_dir: folder.clone(),
            core: None,
            software_version: env!("CARGO_PKG_VERSION").to_owned(),
            jobs: JobsConfig::default(),
        };
        let component = Component::open(setup).expect("the component starts");
        let stopping = CancellationToken::new();
        let running = tokio::spawn(component.run(driver.clone(), stopping.clone()));
        let running = AbortOnDropHandle::new(running);
        Self {
            driver,
            name,
            folder,
            stopping,
            running,
        }
    }

    /// Stops it as SIGTERM does; its host stays as it is.
    pub async fn stop(self) -> Stopped {
        self.stopping.cancel();
        let Self {
            name,
            folder,
            running,
            driver,
            ..
        } = self;
        running.await.expect("the component ends in order");
        Stopped {
            name,
            folder,
            driver,
        }
    }

    /// Waits until the core sees it connected, or not.
    pub async fn wait_connected(&self, admin: &Actor, connected: bool) {
        wait_connected(admin, &self.name, connected).await;
    }
}

/// A component that does not run; its host does.
pub struct Stopped {
    name: Name,
    folder: PathBuf,
    pub driver: Arc<FakeDriver>,
}

impl Stopped {
    /// Runs it again.
    pub async fn start(self, admin: &Actor) -> Simulated {
        let simulated = Simulated::run(self.name, self.folder, self.driver);
        simulated.wait_connected(admin, true).await;
        simulated
    }

    /// Waits until the core sees it connected, or not.
    pub async fn wait_connected(&self, admin: &Actor, connected: bool) {
        wait_connected(admin, &self.name, connected).await;
    }
}

async fn wait_connected(admin: &Actor, name: &Name, connected: bool) {
    let what = format!("{name} connected: {connected}");
    wait_for(&what, async || {
        let seen = admin.get(&format!("/v1/components/{name}")).await.good();
        (seen["connected"] == connected).then_some(())
    })
    .await;
}
