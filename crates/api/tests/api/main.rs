//! The core through real HTTP, seen by the administrator, by somebody without a token and by a
//! stranger with somebody else's; with simulated components at the other end.

mod acme;
mod audit;
mod binary;
mod consoles;
mod corpora;
mod crowd;
mod cut_off;
mod database_tls;
mod definition;
mod disk_full;
mod edge;
mod events;
mod idempotency;
mod image_tags;
mod images;
mod instances;
mod joining;
mod life;
mod limits;
mod manners;
mod moving;
mod nonsense;
mod objects;
mod outage;
mod pages;
mod peers;
mod people;
mod postgres;
mod quotas;
mod raw;
mod refusals;
mod roles;
mod serving;
mod site;
mod strangers;
mod tags;
mod unikernels;
mod upgrade;
mod uploads;
mod waiting;

use rhyzome_api::configuration::TlsMode;
use rhyzome_testkit::{Simulated, TestCore, wait_for};
use serde_json::{Value, json};

/// Where the resources of the tests are.
const DEFAULT: &str = "/v1/projects/default";

/// A site with a hypervisor and a router.
struct Site {
    core: TestCore,
    hypervisor: Simulated,
    router: Simulated,
}

impl Site {
    async fn start() -> Self {
        Self::of(TestCore::start().await).await
    }

    /// One whose state is in a database of the test's own, with a network and an instance in it.
    async fn inhabited(database: &str) -> (Self, Value) {
        let core = TestCore::start_with(|configuration| {
            configuration.tls.mode = TlsMode::Off;
            configuration.db = Some(database.to_owned());
        });
        let site = Self::of(core.await).await;
        site.network("lab").await;
        site.image("hello").await;
        let first = site.instance("first", "lab").await;
        (site, first)
    }

    async fn of(core: TestCore) -> Self {
        let router = core.router("router").await;
        let hypervisor = core.hypervisor("host").await;
        Self {
            core,
            hypervisor,
            router,
        }
    }

    /// Waits until a component is at work on a job.
    async fn at_work(&self) {
        let admin = self.core.admin();
        wait_for("a job is being done", async || {
            let jobs = admin.get(&format!("{DEFAULT}/jobs")).await.good();
            let jobs = jobs["items"].as_array().expect("items").clone();
            jobs.iter()
                .any(|job| job["state"] == "leased" && job["component"] == "host")
                .then_some(())
        })
        .await;
    }

    /// Creates a network and waits until it is ready.
    async fn network(&self, name: &str) -> Value {
        let body = json!({"name": name, "spec": {}});
        let path = format!("{DEFAULT}/networks?wait=30s");
        let made = self.core.admin().post(&path).json(&body).await.good();
        assert_eq!(made["status"]["phase"], "ready", "{made}");
        made
    }

    /// Uploads a kernel and names it.
    async fn image(&self, name: &str) {
        let admin = self.core.admin();
        let digest = images::upload(&admin, &images::kernel()).await;
        let body = json!({"name": name, "spec": {"digest": digest}});
        admin
            .post(&format!("{DEFAULT}/images"))
            .json(&body)
            .await
            .good();
    }

    /// Creates an instance in a network and waits until it is ready.
    async fn instance(&self, name: &str, network: &str) -> Value {
        let body = json!({"name": name, "spec": {"image": "hello", "networks": [network]}});
        let path = format!("{DEFAULT}/instances?wait=30s");
        let made = self.core.admin().post(&path).json(&body).await.good();
        assert_eq!(made["status"]["phase"], "ready", "{made}");
        made
    }
}
