//! Further hypervisors, each on a machine of its own, on one wire with the core and the first host.

use std::path::PathBuf;
use std::process::Command;

use rhyzome_hostnet::Mark;
use rhyzome_model::Name;

use crate::faults::Program;
use crate::operator::name;
use crate::process::Running;
use crate::world::{CORE, CORE_PORT, World};
use crate::{Operator, Place, host, process, programs};

/// The bridge that is the wire, in the core's namespace.
const WIRE: &str = "wire";

pub struct Hypervisor {
    running: Option<Running>,
    pub place: Place,
    pub name: Name,
    /// Its address on the wire.
    pub address: String,
    folder: PathBuf,
    /// The file with what goes wrong in its component.
    faults: PathBuf,
    /// Whether it has bridges of its own that instances may be on.
    bridged: bool,
}

/// Bridges of a machine's own, by what its configuration calls them: the first has its end of the wire, the second nothing.
pub const BRIDGES: [(&str, &str); 2] = [("uplink", "br0"), ("other", "br1")];

/// Makes one wire of the core's link to the host, which others can be plugged into.
pub fn lay_wire(world: &World) {
    let core = &world.core;
    core.ip(&format!("link add {WIRE} type bridge forward_delay 0"));
    core.ip("address flush dev tohost");
    core.ip(&format!("link set tohost master {WIRE}"));
    core.ip(&format!("address add {CORE}/24 dev {WIRE}"));
    core.ip(&format!("link set {WIRE} up"));
    // The host takes tunnels' packets from the wire.
    world
        .host
        .nft("insert rule inet world input iifname tocore udp dport 4789 accept");
}

impl Hypervisor {
    /// A machine with a number from 1 on, plugged into the wire, with a component that has joined.
    pub async fn add(world: &World, operator: &Operator, number: u8) -> Self {
        Self::of(world, operator, number, false).await
    }

    /// The same with [`BRIDGES`] that instances may be on.
    pub async fn with_bridges(world: &World, operator: &Operator, number: u8) -> Self {
        Self::of(world, operator, number, true).await
    }

    async fn of(world: &World, operator: &Operator, number: u8, bridged: bool) -> Self {
        let place = Place::new(format!("{}{number}", world.core.name()));
        let near = format!("to{number}");
        let address = format!("192.0.2.{}", 10 + number);
        world.core.ip(&format!(
            "link add {near} type veth peer name tocore netns {}",
            place.name()
        ));
        world.core.ip(&format!("link set {near} master {WIRE} up"));
        let mut device = "tocore";
        if bridged {
            for (_, bridge) in BRIDGES {
                place.ip(&format!("link add {bridge} type bridge forward_delay 0"));
                place.ip(&format!("link set {bridge} up"));
            }
            let [(_, uplink), _] = BRIDGES;
            place.ip(&format!("link set tocore master {uplink}"));
            device = uplink;
        }
        place.ip(&format!("address add {address}/24 dev {device}"));
        place.ip("link set tocore up");
        let folder = world.path(&format!("h{number}"));
        std::fs::create_dir(&folder).expect("the folder is ours");
        let name = name(&format!("node-{number}"));
        let mut hypervisor = Self {
            running: None,
            place,
            name,
            address,
            folder,
            faults: world.faults(Program::Node),
            bridged,
        };
        let called = hypervisor.name.as_str();
        let words = [
            "component",
            "token",
            "--quiet",
            "--kind",
            "libvirt",
            "--name",
            called,
        ];
        let token = operator.rhyzome(&words);
        let mut join = hypervisor.command();
        join.arg("join").arg(format!("https://{CORE}:{CORE_PORT}"));
        join.env("RHYZOME_JOIN_TOKEN", token.trim());
        let joined = hypervisor.place.run(|| host::finish(join, None));
        joined.unwrap_or_else(|error| panic!("{called} cannot join: it {error}"));
        hypervisor.start();
        operator.connected(&hypervisor.name).await;
        hypervisor
    }

    fn state(&self) -> PathBuf {
        self.folder.join("state")
    }

    pub fn mark(&self) -> Mark {
        Mark::of_state_dir(&self.state())
    }

    fn command(&self) -> Command {
        let file = self.folder.join("libvirt.toml");
        let mut text = format!("component.state_dir = \"{}\"\n", self.state().display());
        for (called, bridge) in BRIDGES.iter().filter(|_| self.bridged) {
            text.push_str(&format!("bridges.{called} = \"{bridge}\"\n"));
        }
        std::fs::write(&file, text).expect("the folder is ours");
        let mut command = Command::new(programs::binary("rhyzome-libvirt"));
        command.arg("--config").arg(file);
        command.env(rhyzome_fault::FAULTS, &self.faults);
        command
    }

    pub fn start(&mut self) {
        let mut command = self.command();
        command.arg("run");
        let log = self.folder.join("log");
        self.running = Some(Running::start(&self.place, command, &log));
    }

    /// Ends its component as SIGKILL does.
    pub fn kill(&mut self) {
        self.running.take().expect("it was started").kill_hard();
    }

    /// Takes its component off it.
    ///
    /// # Panics
    /// Where that leaves anything.
    pub fn end(mut self) {
        drop(self.running.take());
        let mut down = self.command();
        down.args(["down", "--purge"]);
        let done = self.place.run(|| host::finish(down, None));
        done.unwrap_or_else(|error| panic!("{} down {error}", self.name));
        let left = self.left();
        assert!(left.is_empty(), "left behind: {left:#?}");
    }

    /// What there is on the machine besides its wire and its component.
    pub fn left(&self) -> Vec<String> {
        let links = self.place.ip("-o link");
        let links = links
            .lines()
            .filter(|line| !line.contains(" lo:") && !line.contains(" tocore@"))
            .filter(|line| {
                let is_own = |(_, bridge)| line.contains(&format!(" {bridge}:"));
                !BRIDGES.into_iter().any(is_own)
            });
        let rules = self
            .place
            .run(|| host::command("nft", &["list", "tables"], None));
        let own = self.running.as_ref().map(Running::pid);
        let processes = self.place.processes().into_iter();
        let processes = processes.filter(|process| Some(process.pid.cast_unsigned()) != own);
        let mut left: Vec<String> = links.map(|line| format!("link {line}")).collect();
        left.extend(rules.lines().map(|line| format!("nftables {line}")));
        left.extend(processes.map(|process| format!("process {process}")));
        left
    }
}

impl Drop for Hypervisor {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = self.folder.join("log");
            eprintln!("{}", process::tail(self.name.as_str(), &log));
            drop(self.running.take());
            let mut down = self.command();
            down.args(["down", "--purge"]);
            if let Err(error) = self.place.run(|| host::finish(down, None)) {
                eprintln!("{} down {error}", self.name);
            }
        }
    }
}
