//! A whole site for a measurement: a core, a hypervisor, a router and a member, each real and in a
//! namespace of its own. Needs root.

use std::time::Duration;

use anyhow::{Context as _, anyhow, ensure};
use rhyzome_client::Scope;
use rhyzome_end_to_end::operator::{READY, TOLD, name};
use rhyzome_end_to_end::world::Kind;
use rhyzome_end_to_end::{Operator, World};
use rhyzome_model::instance::{InstanceSpec, InstanceState};
use rhyzome_model::network::NetworkSpec;
use rhyzome_model::resource::{Instance, Network};
use rhyzome_model::status::Phase;

/// How long anything may take that the site is asked for.
pub const PATIENCE: Duration = READY;

pub struct Site<'w> {
    pub world: &'w mut World,
    pub operator: Operator,
    /// A project that has the image `hello`.
    pub scope: Scope,
    /// A network of it that is ready.
    pub network: Network,
}

/// Measures something on a site, which is gone afterwards, also where this is interrupted.
pub async fn measured<T: Send + 'static>(
    measure: impl AsyncFnOnce(Site<'_>) -> anyhow::Result<T> + Send + 'static,
) -> anyhow::Result<T> {
    let thread = tokio::task::spawn_blocking(|| {
        let mut measured = None;
        World::run(async |world| {
            let site = Site::begin(world).await;
            measured = Some(async { measure(site?).await }.await);
        });
        measured
    });
    let measured = thread
        .await
        .map_err(|_| anyhow!("the site failed, see above"))?;
    measured.context("nothing was measured")?
}

impl<'w> Site<'w> {
    async fn begin(world: &'w mut World) -> anyhow::Result<Self> {
        world.start_core();
        let operator = Operator::of(world).await;
        for kind in Kind::ALL {
            operator.add_component(world, kind).await;
        }
        let scope = operator.add_project(&name("bench")).await;
        let networks = scope.network();
        let spec = NetworkSpec::default();
        let network = networks.create(&name("lab"), spec, Some(PATIENCE)).await?;
        ensure!(network.status.phase == Phase::Ready, "{network:#?}");
        Ok(Self {
            world,
            operator,
            scope,
            network,
        })
    }

    /// Makes an instance of `hello` in the network, and waits until it runs.
    pub async fn start(&self, instance: &str) -> anyhow::Result<Instance> {
        let instances = self.scope.instance();
        let instance = name(instance);
        runs(instances.create(&instance, hello(), Some(PATIENCE)).await?)
    }

    /// Removes an instance, and waits until it is gone.
    pub async fn remove(&self, instance: &str) -> anyhow::Result<()> {
        let instances = self.scope.instance();
        let instance = name(instance);
        let removed = instances.delete(&instance, None, Some(PATIENCE)).await?;
        ensure!(
            matches!(removed, rhyzome_client::Deleted::Gone(_)),
            "{removed:?}"
        );
        Ok(())
    }
}

/// What every instance here is.
pub fn hello() -> InstanceSpec {
    let spec = serde_json::json!({
        "image": "hello", "memory": "32MiB", "networks": ["lab"], "command_line": TOLD,
    });
    serde_json::from_value(spec).expect("a specification")
}

/// An instance that runs.
pub fn runs(instance: Instance) -> anyhow::Result<Instance> {
    let observed = instance.status.observed.as_ref();
    let running = observed.is_some_and(|observed| observed.state == InstanceState::Running);
    ensure!(
        instance.status.phase == Phase::Ready && running,
        "{instance:#?}"
    );
    Ok(instance)
}
