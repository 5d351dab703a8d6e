//! Simulated hosts in this process, connected to the core as real ones are. They note when they are
//! first asked for something.

use std::collections::HashMap;
use std::ops::Range;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use async_trait::async_trait;
use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use rhyzome_client::Client;
use rhyzome_component::driver::{Console, Differs, Driver, DriverError, Progress};
use rhyzome_component::fake::{FakeDriver, Options};
use rhyzome_component::jobs::JobsConfig;
use rhyzome_component::{Component, Setup, join};
use rhyzome_model::component::{ComponentKind, HostFacts};
use rhyzome_model::console::ConsoleFrom;
use rhyzome_model::job::Action;
use rhyzome_model::placement::{Found, Observed, Placement, PlacementKind, PlacementRef};
use rhyzome_model::{Name, Size};
use rhyzome_wire::request::CreateJoinToken;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use uuid::Uuid;

/// When each resource's first placement came to a host.
#[derive(Clone, Debug, Default)]
pub struct Arrivals(Arc<Mutex<HashMap<Uuid, Instant>>>);

impl Arrivals {
    fn note(&self, resource: Uuid) {
        let now = Instant::now();
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.entry(resource).or_insert(now);
    }

    /// When it came; none where it did not yet.
    pub fn of(&self, resource: Uuid) -> Option<Instant> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.get(&resource).copied()
    }
}

/// Components that run. Dropped, they go away as if killed.
pub struct Fleet {
    pub arrivals: Arrivals,
    running: Vec<AbortOnDropHandle<()>>,
}

impl Fleet {
    /// One router, and so many hypervisors; all connected.
    pub async fn join(
        client: &Client,
        core: &str,
        folder: &Path,
        hypervisors: usize,
    ) -> anyhow::Result<Self> {
        let mut fleet = Self::join_hypervisors(client, core, folder, 0..hypervisors).await?;
        let (kind, name) = (ComponentKind::Linux, "router".to_owned());
        let router = one(client, core, folder, kind, name, fleet.arrivals.clone());
        fleet.running.push(router.await?);
        connected(client, hypervisors + 1).await?;
        Ok(fleet)
    }

    /// Hypervisors with these numbers.
    pub async fn join_hypervisors(
        client: &Client,
        core: &str,
        folder: &Path,
        numbers: Range<usize>,
    ) -> anyhow::Result<Self> {
        let arrivals = Arrivals::default();
        let joining = numbers.map(|number| {
            let (kind, name) = (ComponentKind::Libvirt, format!("host{number}"));
            one(client, core, folder, kind, name, arrivals.clone())
        });
        let joined = stream::iter(joining).buffer_unordered(8).try_collect();
        let running = joined.await?;
        Ok(Self { arrivals, running })
    }
}

/// Waits until so many components are connected, and says how long that took.
pub async fn connected(client: &Client, wanted: usize) -> anyhow::Result<Duration> {
    let asked = Instant::now();
    loop {
        let all = client.component().all().await?;
        let connected = all.iter().filter(|component| component.connected).count();
        if connected >= wanted {
            return Ok(asked.elapsed());
        }
        ensure!(
            asked.elapsed() < Duration::from_secs(120),
            "{connected} of {wanted} components are connected"
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn one(
    client: &Client,
    core: &str,
    folder: &Path,
    kind: ComponentKind,
    name: String,
    arrivals: Arrivals,
) -> anyhow::Result<AbortOnDropHandle<()>> {
    let folder = folder.join(&name);
    std::fs::create_dir_all(&folder).context("a component's folder")?;
    let name: Name = name.parse()?;
    let wanted = CreateJoinToken {
        kind: Some(kind),
        name: Some(name.clone()),
        expires_in: 600,
    };
    let token = client.component().create_token(&wanted).await?.token;
    let request = join::Request {
        core,
        token: &token,
        state_dir: &folder,
        kind,
        name: Some(&name),
    };
    join::join(request).await?;
    let mut options = Options::default();
    options.facts.cpus = 4096;
    options.facts.memory = Size::mib(16 << 20);
    let fake = match kind {
        ComponentKind::Libvirt => FakeDriver::libvirt(options)?,
        ComponentKind::Linux | ComponentKind::Openwrt => FakeDriver::linux(options)?,
    };
    let setup = Setup {
        state_dir: folder,
        core: None,
        software_version: env!("CARGO_PKG_VERSION").to_owned(),
        jobs: JobsConfig::default(),
    };
    let component = Component::open(setup)?;
    let driver = Arc::new(Noting { fake, arrivals });
    Ok(AbortOnDropHandle::new(tokio::spawn(
        component.run(driver, CancellationToken::new()),
    )))
}

/// A simulated host that notes arrivals.
struct Noting {
    fake: Arc<FakeDriver>,
    arrivals: Arrivals,
}

#[async_trait]
impl Driver for Noting {
    fn kinds(&self) -> &'static [PlacementKind] {
        self.fake.kinds()
    }

    async fn facts(&self) -> Result<HostFacts, DriverError> {
        self.fake.facts().await
    }

    async fn ensure(
        &self,
        placement: &Placement,
        progress: &Progress,
    ) -> Result<Observed, DriverError> {
        self.arrivals.note(placement.spec.resource());
        self.fake.ensure(placement, progress).await
    }

    async fn remove(&self, target: &PlacementRef, progress: &Progress) -> Result<(), DriverError> {
        self.fake.remove(target, progress).await
    }

    async fn act(&self, target: &PlacementRef, action: &Action) -> Result<Vec<u8>, DriverError> {
        self.fake.act(target, action).await
    }

    async fn console(
        &self,
        target: &PlacementRef,
        from: ConsoleFrom,
    ) -> Result<Console, DriverError> {
        self.fake.console(target, from).await
    }

    async fn inventory(&self, accepted: &[Placement]) -> Result<Vec<Found>, DriverError> {
        self.fake.inventory(accepted).await
    }

    async fn look(&self, placement: &Placement) -> Result<Result<Observed, Differs>, DriverError> {
        self.fake.look(placement).await
    }

    async fn changed(&self) -> PlacementRef {
        self.fake.changed().await
    }
}
