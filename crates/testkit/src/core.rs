//! A core in the test's process.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use rhyzome_api::clock::Clock;
use rhyzome_api::configuration::{Configuration, TlsMode};
use rhyzome_api::start::{self, Started};
use rhyzome_app as app;
use rhyzome_model::component::ComponentKind;
use rhyzome_store::testing::Database;
use tempfile::TempDir;

use crate::{Actor, Simulated};

/// A core as `rhyzome-api` starts it, but for the signals.
pub struct TestCore {
    configuration: Configuration,
    started: Started,
    admin: Actor,
    /// In this order: the database goes while its folder is there.
    database: Arc<Database>,
    folder: Arc<TempDir>,
}

impl TestCore {
    /// A core with plain HTTP and an empty site.
    pub async fn start() -> Self {
        Self::start_with(|configuration| configuration.tls.mode = TlsMode::Off).await
    }

    /// A core with a configuration that is changed in something.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn start_with(change: impl FnOnce(&mut Configuration)) -> Self {
        Self::start_by(Clock::machine(), change).await
    }

    /// The same, with limits that go by another clock.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn start_by(clock: Clock, change: impl FnOnce(&mut Configuration)) -> Self {
        let folder = Arc::new(tempfile::tempdir().expect("a folder"));
        let database = Arc::new(Database::new(folder.path()).await);
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let mut configuration = Configuration {
            http_bind: any,
            grpc_bind: any,
            state_dir: folder.path().join("core"),
            db: Some(database.url().to_owned()),
            ..Configuration::default()
        };
        // All who are no good in a test come from one address.
        configuration.limits.failures_per_address = 0;
        change(&mut configuration);
        Self::start_on(&clock, configuration, database, folder).await
    }

    async fn start_on(
        clock: &Clock,
        configuration: Configuration,
        database: Arc<Database>,
        folder: Arc<TempDir>,
    ) -> Self {
        let started = start::start_by(&configuration, clock).await;
        let started = started.expect("the core starts");
        let scheme = match configuration.tls.mode {
            TlsMode::On => "https",
            TlsMode::Off | TlsMode::BehindProxy => "http",
        };
        let authority = std::fs::read_to_string(configuration.state_dir.join("authority.cert"))
            .expect("the authority's certificate");
        let token = std::fs::read_to_string(configuration.state_dir.join("admin.token"))
            .expect("the administrator's token");
        let url = format!("{scheme}://{}", started.http);
        let admin = Actor::new(&url, &authority).with_token(token.trim());
        Self {
            configuration,
            started,
            admin,
            database,
            folder,
        }
    }

    /// Stops it as SIGTERM does.
    pub async fn stop(self) {
        self.started.stop().await;
    }

    /// Stops it as SIGTERM does, and starts it again on the same state and the same ports.
    #[must_use]
    pub async fn restart(self) -> Self {
        self.stop_for_now().await.start().await
    }

    /// Stops it as SIGTERM does; its state stays.
    pub async fn stop_for_now(self) -> StoppedCore {
        let Self {
            mut configuration,
            started,
            database,
            folder,
            ..
        } = self;
        configuration.http_bind = started.http;
        configuration.grpc_bind = started.grpc;
        started.stop().await;
        StoppedCore {
            configuration,
            database,
            folder,
        }
    }

    /// What it is started with.
    pub fn configuration(&self) -> &Configuration {
        &self.configuration
    }

    /// The administrator.
    pub fn admin(&self) -> Actor {
        self.admin.clone()
    }

    /// Somebody without a token.
    pub fn anonymous(&self) -> Actor {
        self.admin.without_token()
    }

    /// Somebody with a token that is well-formed and of another site.
    pub fn stranger(&self) -> Actor {
        self.admin.with_token(&format!("rz_{}", "0".repeat(43)))
    }

    /// The core behind the HTTP face.
    pub fn core(&self) -> &app::Core {
        self.started.core()
    }

    /// Where people and programs connect to.
    pub fn http(&self) -> SocketAddr {
        self.started.http
    }

    /// Where components connect to.
    pub fn grpc_url(&self) -> String {
        format!("https://{}", self.started.grpc)
    }

    /// The core's database.
    pub fn database(&self) -> &str {
        self.database.url()
    }

    /// The folder of the core's state.
    pub fn state_dir(&self) -> &Path {
        &self.configuration.state_dir
    }

    /// A simulated hypervisor, joined and connected.
    pub async fn hypervisor(&self, name: &str) -> Simulated {
        self.simulated(ComponentKind::Libvirt, name).await
    }

    /// A simulated router, joined and connected.
    pub async fn router(&self, name: &str) -> Simulated {
        self.simulated(ComponentKind::Linux, name).await
    }

    async fn simulated(&self, kind: ComponentKind, name: &str) -> Simulated {
        let folder = self.folder.path().join(name);
        Simulated::join(&self.admin, &self.grpc_url(), kind, name, folder).await
    }
}

/// A core that does not run.
pub struct StoppedCore {
    /// What it is started with next.
    pub configuration: Configuration,
    database: Arc<Database>,
    folder: Arc<TempDir>,
}

impl StoppedCore {
    /// Starts it on the ports where it was.
    pub async fn start(self) -> TestCore {
        let clock = Clock::machine();
        TestCore::start_on(&clock, self.configuration, self.database, self.folder).await
    }

    /// A folder that goes with it.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }
}
