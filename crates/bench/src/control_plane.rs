//! The core: how many instances it makes in a second and how long one takes, how long a list and a look
//! take, how soon a job is with its component, what it needs in memory, and how soon all are back after
//! it was restarted. Hosts are simulated and do their work at once, so all of the time is ours.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use futures::future::try_join_all;
use rhyzome_client::{Client, Scope};
use rhyzome_model::Name;
use rhyzome_model::instance::InstanceSpec;
use rhyzome_model::network::NetworkSpec;
use rhyzome_model::status::Phase;
use serde_json::{Value, json};

use crate::authorization;
use crate::core::{Core, processor_time, resident};
use crate::figures::{Figures, Times, milliseconds, rounded};
use crate::fleet::{Fleet, connected};

/// How long anything may take that is waited for.
const PATIENCE: Duration = Duration::from_secs(60);

/// How large the site is, and how much is measured of it.
struct Scale {
    /// Instances that are there beforehand.
    instances: &'static [usize],
    /// Clients that make instances at once.
    clients: &'static [usize],
    /// Instances that each number of clients makes.
    creates: usize,
    networks: usize,
    reads: usize,
    jobs: usize,
    /// Hypervisors that are connected in the end.
    hypervisors: usize,
}

const WHOLE: Scale = Scale {
    instances: &[0, 1_000, 20_000],
    clients: &[1, 8, 32],
    creates: 600,
    networks: 200,
    reads: 500,
    jobs: 300,
    hypervisors: 499,
};

const QUICK: Scale = Scale {
    instances: &[0, 50],
    clients: &[1, 8],
    creates: 40,
    networks: 4,
    reads: 50,
    jobs: 20,
    hypervisors: 5,
};

pub async fn measure(database: Option<&str>, quick: bool) -> anyhow::Result<Figures> {
    let scale = if quick { QUICK } else { WHOLE };
    let folder = tempfile::tempdir().context("a folder")?;
    let mut core = Core::start(folder.path(), database).await?;
    let mut figures = Figures::default();
    figures.insert("name", "control-plane");
    figures.insert(
        "database",
        if database.is_some() {
            "postgresql"
        } else {
            "sqlite"
        },
    );
    if database.is_none() {
        figures.insert("synchronous", "FULL");
    }
    let client = core.client()?;
    let fleet = Fleet::join(&client, &core.grpc(), &folder.path().join("near"), 1).await?;
    let site = Site::new(&core, scale.networks).await?;

    let (mut creates, mut reads) = (Vec::new(), Vec::new());
    for &instances in scale.instances {
        progress(&format!("{instances} instances"));
        site.grow(&core, instances).await?;
        for &clients in scale.clients {
            creates.push(
                site.creates(&core, instances, clients, scale.creates)
                    .await?,
            );
        }
        if instances > 0 {
            reads.push(site.reads(&core, instances, scale.reads).await?);
        }
    }
    progress("callers");
    let names = core.scope()?.instance().list(1000, None).await?;
    let names: Vec<Name> = names.items.into_iter().map(|row| row.meta.name).collect();
    let callers = authorization::measure(&core, &names, scale.reads).await?;
    figures.insert("authorization", callers);
    figures.insert("create", creates);
    figures.insert("read", reads);
    progress("jobs");
    figures.insert("job", site.jobs(&core, &fleet, scale.jobs).await?);

    progress(&format!("{} components more", scale.hypervisors - 1));
    let far = folder.path().join("far");
    let farther =
        Fleet::join_hypervisors(&client, &core.grpc(), &far, 1..scale.hypervisors).await?;
    let components = scale.hypervisors + 1;
    connected(&client, components).await?;
    figures.insert(
        "memory",
        json!({
            "instances": scale.instances.last(),
            "components": components,
            "mib": rounded(resident(core.pid())? as f64 / f64::from(1 << 20), 10.0),
        }),
    );
    core.restart().await?;
    let back = connected(&core.client()?, components).await?;
    figures.insert(
        "restart",
        json!({
            "components": components,
            "answers_after_ms": milliseconds(core.ready_after),
            "all_connected_after_ms": milliseconds(back + core.ready_after),
        }),
    );
    drop((fleet, farther));
    Ok(figures)
}

/// What instances are made in.
struct Site {
    networks: Vec<Name>,
    /// How many instances were ever made: each has a name of its own.
    made: AtomicUsize,
    kept: AtomicUsize,
}

impl Site {
    async fn new(core: &Core, networks: usize) -> anyhow::Result<Arc<Self>> {
        let image = "hello".parse()?;
        let unikernel = concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/hello/hello.elf");
        let bytes =
            std::fs::read(unikernel).context("the unikernel: run unikernels/hello/build")?;
        core.import(&image, bytes).await?;
        let scope = core.scope()?;
        let mut names = Vec::new();
        for index in 0..networks {
            let name: Name = format!("net{index}").parse()?;
            scope
                .network()
                .create(&name, NetworkSpec::default(), Some(PATIENCE))
                .await?;
            names.push(name);
        }
        Ok(Arc::new(Self {
            networks: names,
            made: AtomicUsize::new(0),
            kept: AtomicUsize::new(0),
        }))
    }

    fn next(&self) -> anyhow::Result<(Name, InstanceSpec)> {
        let index = self.made.fetch_add(1, Ordering::Relaxed);
        let network = &self.networks[index % self.networks.len()];
        let spec = json!({"image": "hello", "memory": "32MiB", "networks": [network]});
        Ok((
            format!("vm{index:06}").parse()?,
            serde_json::from_value(spec)?,
        ))
    }

    /// So many clients make so many instances; returns their names, and from the request to ready.
    async fn make(
        self: &Arc<Self>,
        core: &Core,
        clients: usize,
        count: usize,
    ) -> anyhow::Result<(Vec<Name>, Times, Duration)> {
        let left = Arc::new(AtomicUsize::new(count));
        let mut scopes = Vec::new();
        for _ in 0..clients {
            let scope = core.scope()?;
            // The handshake is not what is measured.
            scope.network().get(&self.networks[0]).await?;
            scopes.push(scope);
        }
        let began = Instant::now();
        let work = scopes.into_iter().map(|scope| {
            let (site, left) = (Arc::clone(self), Arc::clone(&left));
            tokio::spawn(async move { site.worker(&scope, &left).await })
        });
        let (mut names, mut times) = (Vec::new(), Times::default());
        for done in try_join_all(work).await? {
            let (own, took) = done?;
            names.extend(own);
            times.append(took);
        }
        Ok((names, times, began.elapsed()))
    }

    async fn worker(
        &self,
        scope: &Scope,
        left: &AtomicUsize,
    ) -> anyhow::Result<(Vec<Name>, Times)> {
        let instances = scope.instance();
        let (mut names, mut times) = (Vec::new(), Times::default());
        while take(left) {
            let (name, spec) = self.next()?;
            let asked = Instant::now();
            let made = instances.create(&name, spec, Some(PATIENCE)).await?;
            times.push(asked.elapsed());
            ensure!(
                made.status.phase == Phase::Ready,
                "{name} is not ready: {:?}",
                made.status
            );
            names.push(name);
        }
        Ok((names, times))
    }

    /// Makes instances that stay, until there are so many.
    async fn grow(self: &Arc<Self>, core: &Core, instances: usize) -> anyhow::Result<()> {
        let missing = instances.saturating_sub(self.kept.load(Ordering::Relaxed));
        let (names, ..) = self.make(core, 32, missing).await?;
        self.kept.fetch_add(names.len(), Ordering::Relaxed);
        Ok(())
    }

    async fn creates(
        self: &Arc<Self>,
        core: &Core,
        instances: usize,
        clients: usize,
        count: usize,
    ) -> anyhow::Result<Value> {
        let before = processor_time(core.pid())?;
        let (names, times, took) = self.make(core, clients, count).await?;
        let used = (processor_time(core.pid())? - before) / u32::try_from(times.len())?;
        let per_second = rounded(times.len() as f64 / took.as_secs_f64(), 10.0);
        let scope = core.scope()?;
        let deleting = Instant::now();
        let all = scope.instance();
        let waits = names
            .iter()
            .map(|name| all.delete(name, None, Some(PATIENCE)));
        futures::StreamExt::collect::<Vec<_>>(futures::StreamExt::buffer_unordered(
            futures::stream::iter(waits),
            32,
        ))
        .await
        .into_iter()
        .collect::<Result<Vec<_>, _>>()?;
        let deleted = rounded(names.len() as f64 / deleting.elapsed().as_secs_f64(), 10.0);
        Ok(json!({
            "instances": instances,
            "clients": clients,
            "per_second": per_second,
            "p50_ms": times.percentile(50),
            "p99_ms": times.percentile(99),
            "core_processor_ms_each": milliseconds(used),
            "deleted_per_second": deleted,
        }))
    }

    async fn reads(&self, core: &Core, instances: usize, count: usize) -> anyhow::Result<Value> {
        let scope = core.scope()?;
        let all = scope.instance();
        let mut middle = None;
        let mut names = Vec::new();
        let mut seen = 0;
        while seen < instances / 2 {
            let page = all.list(100, middle.as_deref()).await?;
            seen += page.items.len();
            names.extend(page.items.into_iter().map(|row| row.meta.name));
            middle = page.next;
            if middle.is_none() {
                break;
            }
        }
        let (mut first, mut later, mut one) =
            (Times::default(), Times::default(), Times::default());
        for index in 0..count {
            let asked = Instant::now();
            all.list(100, None).await?;
            first.push(asked.elapsed());
            let asked = Instant::now();
            all.list(100, middle.as_deref()).await?;
            later.push(asked.elapsed());
            // A prime apart, so that no two neighbours follow each other.
            let name = &names[(index * 7919) % names.len()];
            let asked = Instant::now();
            all.get(name).await?;
            one.push(asked.elapsed());
        }
        let both =
            |times: &Times| json!({"p50": times.percentile(50), "p99": times.percentile(99)});
        Ok(json!({
            "instances": instances,
            "first_page_p50_ms": both(&first)["p50"], "first_page_p99_ms": both(&first)["p99"],
            "middle_page_p50_ms": both(&later)["p50"], "middle_page_p99_ms": both(&later)["p99"],
            "get_p50_ms": both(&one)["p50"], "get_p99_ms": both(&one)["p99"],
        }))
    }

    /// From the answer to a request, which is sent once its job is committed, to the job's arrival at
    /// its component.
    async fn jobs(&self, core: &Core, fleet: &Fleet, count: usize) -> anyhow::Result<Value> {
        let client: Client = core.client()?;
        let scope = client.within(&Name::default_project());
        let networks = scope.network();
        let (mut answered, mut arrived, mut behind) =
            (Times::default(), Times::default(), Times::default());
        for index in 0..count {
            let name: Name = format!("job{index}").parse()?;
            let asked = Instant::now();
            let made = networks.create(&name, NetworkSpec::default(), None).await?;
            let answer = Instant::now();
            let arrival = loop {
                if let Some(arrival) = fleet.arrivals.of(made.meta.id) {
                    break arrival;
                }
                ensure!(
                    asked.elapsed() < PATIENCE,
                    "the job of {name} does not arrive"
                );
                tokio::time::sleep(Duration::from_micros(200)).await;
            };
            answered.push(answer - asked);
            arrived.push(arrival - asked);
            behind.push(arrival.saturating_duration_since(answer));
        }
        for index in 0..count {
            networks
                .delete(&format!("job{index}").parse()?, None, Some(PATIENCE))
                .await?;
        }
        Ok(json!({
            "answered_p50_ms": answered.percentile(50), "answered_p99_ms": answered.percentile(99),
            "request_to_component_p50_ms": arrived.percentile(50), "request_to_component_p99_ms": arrived.percentile(99),
            "answer_to_component_p50_ms": behind.percentile(50), "answer_to_component_p99_ms": behind.percentile(99),
        }))
    }
}

/// Takes one of those that are left.
fn take(left: &AtomicUsize) -> bool {
    let less = |left: usize| left.checked_sub(1);
    left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less)
        .is_ok()
}

/// Says what comes next, to who waits.
fn progress(what: &str) {
    eprintln!("bench: {what}");
}
