//! A router with a component, what it is asked to keep, and what is on the router.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use rhyzome_component::{Driver, DriverError, Progress};
use rhyzome_model::lease::LeasePlacement;
use rhyzome_model::network::{NetworkPlacement, VtepPlacement};
use rhyzome_model::peer::PeerPlacement;
use rhyzome_model::placement::{Observed, Placement, PlacementSpec};
use rhyzome_model::segment::Segment;
use rhyzome_model::{ComponentId, LeaseId, MacAddr, NetworkId, PeerId, PlacementId};
use rhyzome_openwrt::{
    Confirm, Hit, Interrupt, OpenwrtDriver, Router, Settings, Step, System, Times, Trunk,
};
use rhyzome_test_router::Router as Machine;
use rhyzome_wireguard::key::PrivateKey;
use uuid::Uuid;

/// Where the component's state is, on the router.
pub const STATE: &str = "/etc/rhyzome";

pub struct Site {
    pub machine: Machine,
    /// As the component's next start would make it, each time that it is needed.
    pub confirm: Option<Arc<dyn Confirm>>,
    /// Where VLANs come in; not every kernel has them.
    pub trunk: Option<Trunk>,
    pub times: Times,
}

/// A core that can be reached, or not.
pub struct Core(pub Box<dyn Fn() -> bool + Send + Sync>);

#[async_trait]
impl Confirm for Core {
    async fn core_is_reached(&self) -> bool {
        (self.0)()
    }
}

impl Site {
    pub fn new() -> Self {
        Self::on(Machine::start())
    }

    pub fn on(machine: Machine) -> Self {
        Self {
            machine,
            confirm: None,
            trunk: None,
            times: Times {
                settle: Duration::from_secs(20),
                confirm: Duration::from_secs(1),
                look: Duration::from_millis(300),
            },
        }
    }

    fn settings(&self) -> Settings {
        let command = self.machine.command("placeholder");
        let mut launcher = vec![command.get_program().to_owned()];
        launcher.extend(command.get_args().map(ToOwned::to_owned));
        launcher.pop();
        let root = self.machine.path("/");
        let network = root.with_file_name("ns/net");
        Settings {
            system: System::new(root, launcher).with_network(network),
            state_dir: self.machine.path(STATE),
            router: Router {
                trunk: self.trunk.clone(),
                tunnel: Some(([192, 0, 2, 1].into(), 4789)),
                ports: true,
                uplink_zone: "wan".to_owned(),
            },
            public_address: Some("192.0.2.1".to_owned()),
            endpoint_ports: (51820, 51899),
            mtu: 1450,
            confirm: self.confirm.clone(),
            times: self.times,
        }
    }

    /// Another start of the component.
    pub fn driver(&self) -> OpenwrtDriver {
        OpenwrtDriver::new(self.settings())
    }

    /// A component that is killed before a step.
    pub fn dying(&self, at: Step) -> OpenwrtDriver {
        self.hit(&[(at, Hit::Kill)])
    }

    /// A component to which something happens before some steps.
    pub fn hit(&self, hits: &[(Step, Hit)]) -> OpenwrtDriver {
        let hits = hits.to_vec();
        let interrupt: Interrupt = Arc::new(move |step| {
            let hit = hits.iter().find(|(at, _)| *at == step);
            hit.map(|(_, hit)| *hit)
        });
        self.driver().interrupted_by(interrupt)
    }

    /// The files of the configuration that are ours to change.
    pub fn files(&self) -> BTreeMap<&'static str, String> {
        let read = |package: &'static str| {
            let path = self.machine.path("/etc/config").join(package);
            (package, std::fs::read_to_string(path).unwrap())
        };
        ["network", "dhcp", "firewall"].map(read).into()
    }

    /// What the router says of its configuration, by its own program.
    pub fn uci(&self, words: &str) -> String {
        let words = std::iter::once("uci").chain(words.split(' '));
        let output = self.machine.run(words);
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    pub fn peers_of(&self, network: &NetworkPlacement) -> String {
        let device = format!("{}_wg", device(network));
        let output = self.machine.run(["wg", "show", &device, "dump"]);
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    pub fn rules(&self) -> String {
        let output = self.machine.run(["nft", "list", "table", "inet", "fw4"]);
        String::from_utf8_lossy(&output.stdout).into_owned()
    }
}

/// Something that happens once, before a step, and does not end the workflow.
pub fn once(at: Step, happens: impl Fn() + Send + Sync + 'static) -> Interrupt {
    let happened = AtomicBool::new(false);
    Arc::new(move |step| {
        if step == at && !happened.swap(true, Ordering::Relaxed) {
            happens();
        }
        None
    })
}

pub async fn ensure(
    driver: &OpenwrtDriver,
    placement: &Placement,
) -> Result<Observed, DriverError> {
    driver.ensure(placement, &Progress::new().0).await
}

pub async fn remove(driver: &OpenwrtDriver, placement: &Placement) -> Result<(), DriverError> {
    driver
        .remove(&placement.reference(), &Progress::new().0)
        .await
}

/// Ensures it, which has to go well.
pub async fn made(driver: &OpenwrtDriver, placement: &Placement) -> Observed {
    let made = ensure(driver, placement).await;
    made.unwrap_or_else(|error| panic!("{}", error.chain()))
}

/// Removes it, which has to go well.
pub async fn removed(driver: &OpenwrtDriver, placement: &Placement) {
    let removed = remove(driver, placement).await;
    removed.unwrap_or_else(|error| panic!("{}", error.chain()));
}

pub fn placed(spec: PlacementSpec) -> Placement {
    Placement {
        id: PlacementId(Uuid::new_v4()),
        generation: 1,
        spec,
    }
}

/// A network by tunnels.
pub fn network(number: u8) -> (Placement, NetworkPlacement) {
    network_on(
        number,
        Segment::Vxlan(u32::from(number).try_into().unwrap()),
    )
}

pub fn network_on(number: u8, segment: Segment) -> (Placement, NetworkPlacement) {
    let spec = NetworkPlacement {
        network: NetworkId(Uuid::new_v4()),
        project: "default".parse().unwrap(),
        name: format!("lan{number}").parse().unwrap(),
        segment,
        ipv4: format!("10.1.{number}.0/24").parse().unwrap(),
        ipv6: format!("fd00:1:2:{number:x}::/64").parse().unwrap(),
        domain: format!("lan{number}.default.rhyzome.internal"),
        mtu: 1450,
        egress: number.is_multiple_of(2),
        endpoint_port: 51820 + u16::from(number),
        peers_ipv4: "10.200.0.0/16".parse().unwrap(),
        peers_ipv6: "fd00:1:3::/64".parse().unwrap(),
    };
    (placed(PlacementSpec::Network(spec.clone())), spec)
}

/// The device and the interface of a network's names.
pub fn device(network: &NetworkPlacement) -> String {
    match network.segment {
        Segment::Vxlan(vni) => format!("rz_x{}", vni.get()),
        Segment::Vlan(vlan) => format!("rz_v{}", vlan.get()),
        Segment::Port(_) => unreachable!("none has a card of its own here"),
    }
}

pub fn lease(network: &NetworkPlacement, number: u8, name: &str) -> Placement {
    let [a, b, c, _] = network.ipv4.network().octets();
    let mut six = network.ipv6.network().octets();
    six[15] = number;
    placed(PlacementSpec::Lease(LeasePlacement {
        lease: LeaseId(Uuid::new_v4()),
        network: network.network,
        hostname: name.parse().unwrap(),
        mac: MacAddr::qemu([0, c, number]),
        ipv4: [a, b, c, number].into(),
        ipv6: six.into(),
    }))
}

pub fn peer(network: &NetworkPlacement, number: u16) -> Placement {
    peer_with(&PrivateKey::generate(&mut rand::rng()), network, number)
}

pub fn peer_with(key: &PrivateKey, network: &NetworkPlacement, number: u16) -> Placement {
    let [high, low] = number.to_be_bytes();
    placed(PlacementSpec::Peer(PeerPlacement {
        peer: PeerId(Uuid::new_v4()),
        network: network.network,
        public_key: key.public_key().to_string(),
        ipv4: [10, 200, high, low].into(),
        ipv6: format!("fd00:1:3::{number:x}").parse().unwrap(),
    }))
}

/// Another host that the network's segment is on.
pub fn vtep(network: &NetworkPlacement, number: u8) -> Placement {
    let Segment::Vxlan(vni) = network.segment else {
        unreachable!("all of them are tunnels here")
    };
    placed(PlacementSpec::Vtep(VtepPlacement {
        network: network.network,
        host: ComponentId(Uuid::new_v4()),
        address: [192, 0, 2, number].into(),
        vni: vni.get(),
        port: 4789,
        macs: vec![MacAddr::qemu([1, 1, number])],
    }))
}

/// The public key of a peer.
pub fn key_of(peer: &Placement) -> &str {
    match &peer.spec {
        PlacementSpec::Peer(spec) => &spec.public_key,
        other => panic!("{:?} is no peer", other.kind()),
    }
}
