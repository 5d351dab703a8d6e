//! A core on a database of its own, a clock that stands still until it is moved, and two components.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use rhyzome_app::join::{JoinRequest, join};
use rhyzome_app::upload::{self, Appended, Part};
use rhyzome_app::{Caller, Core, CoreOptions, Environment, SiteSettings, session};
use rhyzome_model::component::{ComponentKind, HostFacts};
use rhyzome_model::image::{Blob, ImageSpec};
use rhyzome_model::instance::{InstanceObserved, InstanceSpec, InstanceState, Power, SshIdentity};
use rhyzome_model::job::{FailureKind, Job, Outcome, Task};
use rhyzome_model::network::{NetworkObserved, NetworkSpec};
use rhyzome_model::placement::{Observed, Placement, PlacementKind, PlacementSpec};
use rhyzome_model::{ComponentId, Digest, Name, Size, Timestamp};
use rhyzome_pki::authority::Authority;
use rhyzome_pki::identity::NewKey;
use rhyzome_store::Store;
use rhyzome_store::testing::Database;
use uuid::Uuid;

/// Time that only the test moves.
pub struct Clock(AtomicI64);

impl Clock {
    pub fn advance(&self, millis: i64) {
        self.0.fetch_add(millis, Ordering::SeqCst);
    }
}

impl Environment for Clock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0.load(Ordering::SeqCst))
    }

    fn uuid(&self) -> Uuid {
        Uuid::now_v7()
    }
}

pub struct Site {
    pub core: Core,
    pub clock: Arc<Clock>,
    pub admin: Caller,
    pub default: Name,
    pub hypervisor: Component,
    pub router: Component,
    _database: Database,
    folder: tempfile::TempDir,
}

/// A component that the test plays.
pub struct Component {
    pub id: ComponentId,
    pub session: i64,
}

pub fn name(text: &str) -> Name {
    text.parse().expect("a name")
}

impl Site {
    /// A site with one hypervisor of 1 GiB and one router, both connected.
    pub async fn new() -> Self {
        Self::of(SiteSettings::default()).await
    }

    pub async fn of(settings: SiteSettings) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let now = std::time::SystemTime::now();
        let since = now
            .duration_since(std::time::UNIX_EPOCH)
            .expect("after 1970");
        let millis = i64::try_from(since.as_millis()).expect("fits");
        let clock = Arc::new(Clock(AtomicI64::new(millis)));
        let database = Database::new(folder.path()).await;
        let options = CoreOptions {
            store: Store::open(database.url()).await.expect("a database"),
            authority: Authority::make("test", now, &mut rand::rng()).expect("an authority"),
            site: SiteSettings {
                seed: Some("test".to_owned()),
                ..settings
            },
            environment: clock.clone(),
            blobs: rhyzome_app::blob::Blobs::folder(folder.path().join("blobs")),
            grpc_url: "https://127.0.0.1:9090".to_owned(),
            certificate_validity: Duration::from_secs(24 * 3600),
            authorization: true,
            oidc: None,
            links: Default::default(),
        };
        let core = Core::open(options).await.expect("a core");
        core.blobs.prepare().await.expect("a folder of blobs");
        let facts = HostFacts {
            cpus: 2,
            memory: Size::mib(1024),
            ..HostFacts::default()
        };
        let hypervisor = Component::join(&core, ComponentKind::Libvirt, "node", &facts).await;
        let facts = HostFacts {
            public_address: Some("192.0.2.1".to_owned()),
            endpoint_ports: Some((51820, 51829)),
            ..HostFacts::default()
        };
        let router = Component::join(&core, ComponentKind::Linux, "gate", &facts).await;
        let default = Name::default_project();
        Self {
            core,
            clock,
            admin: Caller::local(),
            default,
            hypervisor,
            router,
            _database: database,
            folder,
        }
    }

    /// Where the image host keeps its files.
    pub fn blobs(&self) -> std::path::PathBuf {
        self.folder.path().join("blobs")
    }

    /// Uploads a tiny Linux kernel and names it `tiny`.
    pub async fn image(&self) -> Digest {
        let digest = self.upload(&tiny_kernel()).await;
        let (core, admin, default) = (&self.core, &self.admin, &self.default);
        let command_line = "ip={{ip}}/{{prefix}} gw={{gateway}}".to_owned();
        let spec = ImageSpec {
            digest,
            initrd: None,
            command_line,
        };
        rhyzome_app::image::create(core, admin, default, name("tiny"), spec)
            .await
            .expect("an image");
        digest
    }

    /// Gives the default project bytes.
    pub async fn upload(&self, bytes: &[u8]) -> Digest {
        let digest = Digest::of(bytes);
        let blob = Blob {
            digest,
            size: Size::bytes(bytes.len() as u64),
        };
        let (core, admin, default) = (&self.core, &self.admin, &self.default);
        let part = Part {
            digest,
            size: blob.size,
            offset: 0,
            anew: true,
        };
        let got = upload::append(core, admin, default, part, bytes).await;
        assert_eq!(got.expect("uploaded"), Appended::Wholly(blob));
        digest
    }

    pub async fn network(&self, network: &str) -> rhyzome_model::resource::Network {
        self.try_network(network, NetworkSpec::default())
            .await
            .expect("a network")
    }

    pub async fn try_network(
        &self,
        network: &str,
        spec: NetworkSpec,
    ) -> rhyzome_app::Result<rhyzome_model::resource::Network> {
        rhyzome_app::network::create(&self.core, &self.admin, &self.default, name(network), spec)
            .await
    }

    pub async fn instance(
        &self,
        instance: &str,
        networks: &[&str],
    ) -> rhyzome_app::Result<rhyzome_model::resource::Instance> {
        let spec = spec(networks);
        rhyzome_app::instance::create(&self.core, &self.admin, &self.default, name(instance), spec)
            .await
    }

    pub async fn show(
        &self,
        instance: &str,
    ) -> rhyzome_app::Result<rhyzome_model::resource::Instance> {
        rhyzome_app::instance::get(&self.core, &self.admin, &self.default, &name(instance)).await
    }

    /// The phase of a network.
    pub async fn phase(&self, network: &str) -> rhyzome_model::status::Phase {
        let (core, admin, default) = (&self.core, &self.admin, &self.default);
        let found = rhyzome_app::network::get(core, admin, default, &name(network)).await;
        found.expect("a network").status.phase
    }

    /// Lets both components do all they have to do, well.
    pub async fn settle(&self) {
        loop {
            let done = self.router.work(&self.core).await + self.hypervisor.work(&self.core).await;
            if done == 0 {
                return;
            }
        }
    }

    /// What happened, as `kind name what`.
    pub async fn story(&self) -> Vec<String> {
        let events =
            rhyzome_app::event::after(&self.core, &self.admin, Some(&self.default), 0, 1000);
        let events = events.await.expect("events");
        events
            .iter()
            .map(|e| format!("{} {} {}", e.resource_kind, e.resource_name, e.what))
            .collect()
    }
}

pub fn spec(networks: &[&str]) -> InstanceSpec {
    InstanceSpec {
        image: "tiny".to_owned(),
        cpus: 1,
        memory: Size::mib(128),
        networks: networks.iter().map(|text| name(text)).collect(),
        bridges: Vec::new(),
        card_slots: 0,
        command_line: networks.is_empty().then(String::new),
        disk: None,
        firmware: None,
        power: Power::Running,
        restart: Default::default(),
        stop_timeout: 20,
        host: None,
        require: Default::default(),
        affinity: None,
        anti_affinity: None,
        user_data: None,
        ssh_keys: None,
        metadata: Default::default(),
    }
}

/// The least that is recognised as a Linux kernel: its magic numbers (Documentation/arch/x86/boot.rst).
pub fn tiny_kernel() -> Vec<u8> {
    let mut bytes = vec![0u8; 4096];
    bytes[0x1f1] = 4;
    bytes[0x1fe..0x200].copy_from_slice(&[0x55, 0xaa]);
    bytes[0x202..0x206].copy_from_slice(b"HdrS");
    bytes[0x206..0x208].copy_from_slice(&0x020fu16.to_le_bytes());
    bytes[0x211] = 1;
    bytes
}

impl Component {
    pub async fn join(core: &Core, kind: ComponentKind, called: &str, facts: &HostFacts) -> Self {
        let request = rhyzome_app::component::TokenRequest {
            kind: Some(kind),
            name: Some(name(called)),
            expires_in: 60,
        };
        let minted = rhyzome_app::component::token_create(core, &Caller::local(), request).await;
        let key = NewKey::make().expect("a key");
        let csr = key.request().expect("a request");
        let request = JoinRequest {
            token: &minted.expect("a token").token,
            csr: &csr,
            kind,
            name: None,
            hostname: "h",
        };
        let joined = join(core, &request).await.expect("joined");
        let session = session::connected(core, joined.id, facts, "1", None)
            .await
            .expect("a session");
        Self {
            id: joined.id,
            session,
        }
    }

    pub async fn claim(&self, core: &Core) -> Vec<Job> {
        session::claim(core, self.id, self.session, 100)
            .await
            .expect("jobs")
    }

    pub async fn answer(&self, core: &Core, job: &Job, outcome: &Outcome) {
        session::outcome(core, self.id, (job.id, job.fence), outcome)
            .await
            .expect("recorded");
    }

    pub async fn fail(&self, core: &Core, job: &Job, kind: FailureKind, message: &str) {
        let outcome = Outcome::Failed {
            kind,
            message: message.to_owned(),
        };
        self.answer(core, job, &outcome).await;
    }

    /// Does well all that it is given now; returns how much that was.
    pub async fn work(&self, core: &Core) -> usize {
        let jobs = self.claim(core).await;
        session::heartbeat(core, self.id, self.session)
            .await
            .expect("a sign of life");
        for job in &jobs {
            self.answer(core, job, &well_done(job)).await;
        }
        jobs.len()
    }
}

/// What a component answers that did what it was asked.
pub fn well_done(job: &Job) -> Outcome {
    match &job.task {
        Task::Ensure { placement } => Outcome::Ensured {
            observed: observed(placement),
        },
        Task::Remove { .. } => Outcome::Removed,
        Task::Act { .. } => Outcome::Acted {
            output: b"said".to_vec(),
        },
    }
}

pub fn observed(placement: &Placement) -> Observed {
    match &placement.spec {
        PlacementSpec::Network(_) => Observed::Network(NetworkObserved {
            endpoint_key: "key".to_owned(),
            endpoint_kind: "userspace".to_owned(),
        }),
        PlacementSpec::Segment(_) => Observed::Segment,
        PlacementSpec::Vtep(_) => Observed::Vtep,
        PlacementSpec::Lease(_) => Observed::Lease,
        PlacementSpec::Peer(_) => Observed::Peer,
        PlacementSpec::Instance(instance) => {
            let state = match instance.power {
                Power::Running => InstanceState::Running,
                Power::Stopped => InstanceState::Stopped,
            };
            Observed::Instance(instance_observed(state, "as asked"))
        }
    }
}

pub fn instance_observed(state: InstanceState, reason: &str) -> InstanceObserved {
    InstanceObserved {
        state,
        reason: reason.to_owned(),
        since: Timestamp::from_millis(0),
        restarts: 0,
        needs_restart: false,
        accelerator: "qemu".to_owned(),
        ssh: SshIdentity::default(),
    }
}

/// The kinds of placements of jobs, in their order.
pub fn kinds(jobs: &[Job]) -> Vec<PlacementKind> {
    jobs.iter().map(|job| job.task.target().kind).collect()
}
