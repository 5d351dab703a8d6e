//! A component on a host of its own, what it is asked to keep, and what is on the host.

use std::collections::BTreeSet;
use std::future::Future;
use std::path::Path;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rhyzome_component::{Driver, DriverError, Progress};
use rhyzome_hostnet::{Links, Mark, Namespace, nft};
use rhyzome_linux::{LinuxDriver, Settings};
use rhyzome_model::id::short;
use rhyzome_model::lease::LeasePlacement;
use rhyzome_model::network::{NetworkPlacement, bridge_name};
use rhyzome_model::placement::{Observed, Placement, PlacementSpec};
use rhyzome_model::segment::Segment;
use rhyzome_model::{LeaseId, MacAddr, NetworkId, PlacementId};
use rhyzome_wireguard::endpoint::Program;
use tempfile::TempDir;
use uuid::Uuid;

use crate::counted::Counted;
use crate::world::{Place, on_a_host, plug};

pub struct Site {
    pub driver: LinuxDriver,
    pub state: TempDir,
}

pub fn settings(state_dir: &Path) -> Settings {
    Settings {
        tunnel: rhyzome_hostnet::underlay::End::Nowhere,
        carrying: rhyzome_hostnet::Carrying::default(),
        state_dir: state_dir.to_owned(),
        public_address: Some("192.0.2.1".to_owned()),
        endpoint_ports: (51820, 51899),
        egress_pool: Settings::default_egress_pool(),
        upstream_dns: Vec::new(),
        mtu: 1500,
        endpoint_program: Program {
            path: env!("CARGO_BIN_EXE_rhyzome-linux").into(),
            args: vec!["wireguard-endpoint".to_owned()],
        },
    }
}

impl Site {
    pub fn new() -> Self {
        let state = tempfile::Builder::new().prefix("rz").tempdir().unwrap();
        Self {
            driver: LinuxDriver::new(settings(state.path())),
            state,
        }
    }

    pub async fn ensure(&self, placement: &Placement) -> Result<Observed, DriverError> {
        self.driver.ensure(placement, &Progress::new().0).await
    }

    pub async fn remove(&self, placement: &Placement) {
        self.driver
            .remove(&placement.reference(), &Progress::new().0)
            .await
            .unwrap();
    }

    /// The namespaces of its routers.
    pub fn routers(&self) -> Vec<Namespace> {
        let mark = Mark::of_state_dir(self.state.path()).to_string();
        let all = Namespace::list().unwrap().into_iter();
        all.filter(|namespace| namespace.name().ends_with(&mark))
            .collect()
    }

    /// The namespace of a network's router.
    pub fn router(&self, network: &NetworkPlacement) -> Namespace {
        let name = short(network.network.0);
        let mut all = self.routers().into_iter();
        all.find(|router| router.name().contains(&name)).unwrap()
    }

    /// Kills the endpoint of a network.
    pub fn kill_endpoint(&self, network: &NetworkPlacement) {
        let folder = self.state.path().join("networks");
        let folder = folder.join(short(network.network.0));
        let mut all = processes(&folder).into_iter();
        let endpoint = all.find(|(_, arguments)| arguments.contains("wireguard-endpoint"));
        let pid = endpoint.unwrap().0;
        kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap();
    }

    /// The host's own rules of this component.
    pub fn table(&self) -> String {
        format!("rhyzome_{}", Mark::of_state_dir(self.state.path()))
    }

    /// What all of its rules have counted: those of its routers, and the host's where there are any.
    pub async fn counted(&self) -> Counted {
        let (inet, table) = ("inet".to_owned(), self.table());
        let mut counted = match nft::tables()
            .await
            .unwrap()
            .contains(&(inet, table.clone()))
        {
            true => Counted::of("inet", &table),
            false => Counted::default(),
        };
        for router in self.routers() {
            let rules = || async { Counted::of("inet", "rhyzome") };
            counted = counted + router.run(rules).await.unwrap();
        }
        counted
    }

    /// What is on the host that was not there at first.
    pub async fn footprint(&self) -> Footprint {
        Footprint::look(self.state.path()).await
    }
}

/// Runs a test with a component on a host of its own; whatever happens, nothing of it is left.
pub fn on_a_site<F, Fut>(work: F)
where
    F: FnOnce(std::sync::Arc<Site>) -> Fut + Send + 'static,
    Fut: Future<Output = ()> + 'static,
{
    on_a_host(|| async {
        let site = std::sync::Arc::new(Site::new());
        let state = site.state.path().to_owned();
        let ended = tokio::task::LocalSet::new()
            .run_until(async { tokio::task::spawn_local(work(site)).await })
            .await;
        rhyzome_linux::down(&state).await.unwrap();
        if let Err(e) = ended {
            std::panic::resume_unwind(e.into_panic());
        }
    });
}

/// All that a component could leave behind.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Footprint {
    pub links: BTreeSet<String>,
    pub tables: BTreeSet<(String, String)>,
    pub namespaces: BTreeSet<String>,
    pub processes: BTreeSet<(i32, String)>,
    pub files: BTreeSet<String>,
    pub forwarding: String,
}

impl Footprint {
    pub async fn look(state: &Path) -> Self {
        let mark = rhyzome_hostnet::Mark::of_state_dir(state).to_string();
        let links = Links::open().unwrap().list().await.unwrap();
        let namespaces = Namespace::list().unwrap();
        Self {
            links: links.iter().map(|link| format!("{link:?}")).collect(),
            tables: nft::tables().await.unwrap().into_iter().collect(),
            namespaces: namespaces
                .iter()
                .map(|n| n.name().to_owned())
                .filter(|n| n.contains(&mark))
                .collect(),
            processes: processes(state),
            files: files(state),
            forwarding: rhyzome_hostnet::sysctl::read("net/ipv4/ip_forward")
                .unwrap()
                .unwrap(),
        }
    }
}

/// Those that have the state directory in their arguments.
pub fn processes(state: &Path) -> BTreeSet<(i32, String)> {
    let mut found = BTreeSet::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let Some(pid) = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok())
        else {
            continue;
        };
        let Ok(arguments) = std::fs::read(entry.path().join("cmdline")) else {
            continue;
        };
        let arguments = String::from_utf8_lossy(&arguments).replace('\0', " ");
        if arguments.contains(state.to_str().unwrap()) {
            found.insert((pid, arguments));
        }
    }
    found
}

fn files(folder: &Path) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.path().is_dir() {
            found.extend(files(&entry.path()));
        }
        found.insert(entry.path().display().to_string());
    }
    found
}

pub fn network(number: u8) -> (Placement, NetworkPlacement) {
    let spec = NetworkPlacement {
        network: NetworkId(Uuid::new_v4()),
        project: "default".parse().unwrap(),
        name: format!("lan{number}").parse().unwrap(),
        segment: Segment::Vxlan((5000 + u32::from(number)).try_into().unwrap()),
        ipv4: format!("10.1.{number}.0/24").parse().unwrap(),
        ipv6: format!("fd00:1:2:{number:x}::/64").parse().unwrap(),
        domain: format!("lan{number}.default.rhyzome.internal"),
        mtu: 1450,
        egress: false,
        endpoint_port: 51820 + u16::from(number),
        peers_ipv4: "10.200.0.0/16".parse().unwrap(),
        peers_ipv6: "fd00:1:2:ffff::/64".parse().unwrap(),
    };
    (placed(PlacementSpec::Network(spec.clone())), spec)
}

pub fn placed(spec: PlacementSpec) -> Placement {
    Placement {
        id: PlacementId(Uuid::new_v4()),
        generation: 1,
        spec,
    }
}

pub fn lease(network: &NetworkPlacement, number: u8, name: &str) -> (Placement, LeasePlacement) {
    let [a, b, c, _] = network.ipv4.network().octets();
    let mut six = network.ipv6.network().octets();
    six[15] = number;
    let spec = LeasePlacement {
        lease: LeaseId(Uuid::new_v4()),
        network: network.network,
        hostname: name.parse().unwrap(),
        mac: MacAddr::qemu([0, c, number]),
        ipv4: [a, b, c, number].into(),
        ipv6: six.into(),
    };
    (placed(PlacementSpec::Lease(spec.clone())), spec)
}

/// An instance without any address, plugged into the network's segment.
pub async fn instance(network: &NetworkPlacement, mac: MacAddr) -> Place {
    let place = Place::new("instance").await;
    let tap = format!("tap{}", &Uuid::new_v4().simple().to_string()[..8]);
    plug(
        &place,
        &bridge_name(network.network),
        &tap,
        mac.octets(),
        Vec::new(),
    )
    .await;
    place
}

/// How long something may take that has to happen.
pub const LONG: Duration = Duration::from_secs(20);
/// How long something that must not happen is waited for.
pub const NEVER: Duration = Duration::from_millis(700);
