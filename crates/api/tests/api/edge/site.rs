//! A core's edge on loopback, and components that join it.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use rhyzome_component::driver::Driver;
use rhyzome_component::jobs::JobsConfig;
use rhyzome_component::join::{self, Joining};
use rhyzome_component::{Component, Setup};
use rhyzome_model::component::ComponentKind;
use rhyzome_model::job::Task;
use rhyzome_model::network::{NetworkPlacement, SegmentPlacement};
use rhyzome_model::placement::{Placement, PlacementSpec};
use rhyzome_model::segment::Segment;
use rhyzome_model::{ComponentId, NetworkId, PlacementId};
use rhyzome_pki::acceptor::{Limits, TlsIncoming};
use rhyzome_pki::server::{ServerCertificate, grpc_config};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::memory::Memory;
use rhyzome_api::clock::Clock;
use rhyzome_api::grpc;
use rhyzome_api::metrics::Metrics;
use rhyzome_api::throttle::Throttle;

/// How long anything may take before a test fails.
const PATIENCE: Duration = Duration::from_secs(20);

pub struct Site {
    pub gateway: Arc<Memory>,
    pub address: SocketAddr,
    stop: CancellationToken,
    serving: JoinHandle<()>,
}

impl Site {
    pub async fn start() -> Self {
        let address = "127.0.0.1:0".parse().expect("an address");
        Self::start_with(Memory::new(), address).await
    }

    pub async fn start_with(gateway: Arc<Memory>, address: SocketAddr) -> Self {
        let listener = TcpListener::bind(address).await.expect("a free port");
        let authority = &gateway.authority;
        let day = Duration::from_secs(24 * 3600);
        let credential = authority
            .issue_core_server(day, SystemTime::now(), &mut rand::rng())
            .expect("issued");
        let anchors = [authority.certificate().clone()];
        let config = grpc_config(&anchors, ServerCertificate::new(&credential)).expect("TLS");
        let incoming =
            TlsIncoming::new(listener, Arc::new(config), Limits::default()).expect("listening");
        let address = incoming.local_addr();
        let stop = CancellationToken::new();
        let serving = tokio::spawn({
            let (gateway, stop) = (Arc::clone(&gateway), stop.clone());
            let joins = grpc::Joins {
                throttle: Throttle::new(0, Clock::machine()),
                metrics: Metrics::new(),
            };
            async move {
                let serving = grpc::serve(gateway, incoming, joins, stop);
                serving.await.expect("served");
            }
        });
        Self {
            gateway,
            address,
            stop,
            serving,
        }
    }

    /// Ends the core in good order.
    pub async fn stop(self) -> (Arc<Memory>, SocketAddr) {
        self.stop.cancel();
        self.serving.await.expect("the core ended");
        (self.gateway, self.address)
    }

    pub fn url(&self) -> String {
        format!("https://{}", self.address)
    }

    pub async fn join(&self, state_dir: &Path, kind: ComponentKind) -> ComponentId {
        let token = self.gateway.token();
        let request = join::Request {
            core: &self.url(),
            token: &token,
            state_dir,
            kind,
            name: None,
        };
        match join::join(request).await.expect("joined") {
            Joining::Joined { component, .. } => component.parse().expect("an id"),
            Joining::Already { .. } => panic!("it had joined before"),
        }
    }

    /// A component that has joined, and runs.
    pub async fn component(&self, kind: ComponentKind, driver: Arc<dyn Driver>) -> Running {
        let folder = tempfile::tempdir().expect("a folder");
        let id = self.join(folder.path(), kind).await;
        Running::start(id, folder, driver)
    }
}

pub struct Running {
    pub id: ComponentId,
    pub folder: TempDir,
    stop: CancellationToken,
    running: JoinHandle<()>,
}

impl Running {
    pub fn start(id: ComponentId, folder: TempDir, driver: Arc<dyn Driver>) -> Self {
        let component = Component::open(setup(folder.path())).expect("opened");
        let stop = CancellationToken::new();
        let running = tokio::spawn(component.run(driver, stop.clone()));
        Self {
            id,
            folder,
            stop,
            running,
        }
    }

    pub fn tell_to_stop(&self) {
        self.stop.cancel();
    }

    pub async fn stop(self) -> TempDir {
        self.tell_to_stop();
        self.running.await.expect("the component ended");
        self.folder
    }

    /// As SIGKILL would: nothing is waited for.
    pub async fn kill(self) -> TempDir {
        self.running.abort();
        let _ = self.running.await;
        self.folder
    }
}

pub fn setup(state_dir: &Path) -> Setup {
    Setup {
        state_dir: state_dir.to_owned(),
        core: None,
        software_version: "test".to_owned(),
        jobs: JobsConfig {
            at_once: 16,
            round: Duration::from_secs(60),
        },
    }
}

/// Waits until there is a value, and says how long that took.
pub async fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> (T, Duration) {
    let began = Instant::now();
    loop {
        if let Some(value) = look() {
            return (value, began.elapsed());
        }
        assert!(began.elapsed() < PATIENCE, "{what} did not come");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

pub fn network(number: u128) -> Placement {
    let network = NetworkPlacement {
        network: NetworkId(Uuid::from_u128(number)),
        project: "default".parse().expect("a name"),
        name: "net".parse().expect("a name"),
        segment: Segment::Vxlan(5000.try_into().expect("24 bits")),
        ipv4: "10.1.0.0/24".parse().expect("a prefix"),
        ipv6: "fd00:1::/64".parse().expect("a prefix"),
        domain: "net.default.rhyzome.internal".to_owned(),
        mtu: 1420,
        egress: false,
        endpoint_port: 51820,
        peers_ipv4: "100.64.0.0/16".parse().expect("a prefix"),
        peers_ipv6: "fd00:2::/64".parse().expect("a prefix"),
    };
    placement(number, 1, PlacementSpec::Network(network))
}

pub fn segment(number: u128) -> Placement {
    let segment = SegmentPlacement {
        network: NetworkId(Uuid::from_u128(number)),
        project: "default".parse().expect("a name"),
        name: "net".parse().expect("a name"),
        segment: Segment::Vxlan(5000.try_into().expect("24 bits")),
        mtu: 1420,
        router: None,
    };
    placement(number, 1, PlacementSpec::Segment(segment))
}

pub fn placement(number: u128, generation: u64, spec: PlacementSpec) -> Placement {
    Placement {
        id: PlacementId(Uuid::from_u128(number << 64)),
        generation,
        spec,
    }
}

pub fn ensure(placement: &Placement) -> Task {
    Task::Ensure {
        placement: placement.clone(),
    }
}
