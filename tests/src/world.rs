//! The world of a test: a core, a host with both components, a member, and the wires between them.
//!
//! The wires carry as little as they can: from the host to the core, TCP to the port for components;
//! from the member to the host, UDP to the ports of endpoints. Nothing is forwarded from one wire to
//! another.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

use rhyzome_hostnet::Mark;
use rhyzome_model::Name;
use tempfile::TempDir;
use tokio::signal::unix::{SignalKind, signal};

use crate::faults::Program;
use crate::process::{self, Running};
use crate::{Newcomer, Place, host, operator, place, programs};

/// Where the core listens for components, on its wire to the host.
pub const CORE: &str = "192.0.2.1";
pub const CORE_PORT: u16 = 9090;
/// The host, as the core and as the member see it.
pub const HOST: &str = "192.0.2.2";
pub const PUBLIC: &str = "198.51.100.1";
pub const PUBLIC_IPV6: &str = "2001:db8:51::1";
/// The UDP ports of endpoints.
pub const ENDPOINTS: (u16, u16) = (51800, 51899);

/// What a test panics with that is interrupted.
pub const INTERRUPTED: &str = "the test was interrupted";

static WORLDS: AtomicU32 = AtomicU32::new(0);

/// A component's program: what it is called, and where its state is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Libvirt,
    Linux,
}

impl Kind {
    pub const ALL: [Self; 2] = [Self::Libvirt, Self::Linux];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Libvirt => "libvirt",
            Self::Linux => "linux",
        }
    }

    /// The name of the component that the host's program is.
    pub fn called(self) -> Name {
        operator::name(&format!("host-{}", self.as_str()))
    }

    fn program(self) -> String {
        format!("rhyzome-{}", self.as_str())
    }
}

pub struct World {
    // In the order in which they go.
    core_process: Option<Running>,
    components: [Option<Running>; 2],
    /// The components' programs, where they are not those that were built.
    installed: [Option<PathBuf>; 2],
    pub member: Place,
    pub host: Place,
    pub core: Place,
    folder: TempDir,
    started: Instant,
    /// How often something was made to go wrong.
    pub(crate) armed: u32,
}

impl World {
    /// Runs a test in a world of its own, which is gone afterwards. The test is where the operator is:
    /// on the core's machine.
    ///
    /// # Panics
    /// With what the test panicked with, where it is interrupted, and where something is left of the
    /// world.
    pub fn run(test: impl AsyncFnOnce(&mut World) + Send) {
        let inside = || {
            let mut world = World::new();
            world.core.enter();
            let mut builder = tokio::runtime::Builder::new_current_thread();
            let runtime = builder.enable_all().build().expect("a runtime");
            runtime.block_on(async {
                tokio::select! {
                    () = test(&mut world) => {}
                    // What unwinds is cleaned up.
                    () = interrupted() => panic!("{INTERRUPTED}"),
                }
            });
            // With it go the operator's connections, which the core would wait for.
            drop(runtime);
            world.end();
        };
        if let Err(panic) = std::thread::scope(|scope| scope.spawn(inside).join()) {
            std::panic::resume_unwind(panic);
        }
    }

    fn new() -> Self {
        let number = WORLDS.fetch_add(1, Ordering::Relaxed);
        let name = format!("rze{}x{number}", std::process::id());
        let folder = tempfile::Builder::new().prefix("rze").tempdir();
        let folder = folder.expect("a folder for what is temporary");
        // QEMU's user has to pass through.
        let open = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(folder.path(), open).expect("it is ours");
        let world = Self {
            core_process: None,
            components: [None, None],
            installed: [None, None],
            core: Place::new(format!("{name}c")),
            host: Place::new(format!("{name}h")),
            member: Place::new(format!("{name}m")),
            folder,
            started: Instant::now(),
            armed: 0,
        };
        for part in ["core", "host", "member"] {
            std::fs::create_dir(world.path(part)).expect("the folder is empty");
        }
        world.lay_wires();
        world
    }

    pub fn path(&self, part: &str) -> PathBuf {
        self.folder.path().join(part)
    }

    /// Says what comes next, with the time since the beginning, on standard error.
    pub fn say(&self, what: &str) {
        eprintln!("{:7.2} s  {what}", self.started.elapsed().as_secs_f32());
    }

    fn lay_wires(&self) {
        let wire = |from: &Place, to: &Place, names: [&str; 2]| {
            let [near, far] = names;
            let peer = format!("peer name {far} netns {}", to.name());
            from.ip(&format!("link add {near} type veth {peer}"));
        };
        let up = |at: &Place, link: &str, addresses: &[&str]| {
            for address in addresses {
                let nodad = if address.contains(':') { " nodad" } else { "" };
                at.ip(&format!("address add {address} dev {link}{nodad}"));
            }
            at.ip(&format!("link set {link} up"));
        };
        wire(&self.core, &self.host, ["tohost", "tocore"]);
        up(&self.core, "tohost", &["192.0.2.1/24"]);
        up(&self.host, "tocore", &["192.0.2.2/24"]);
        wire(&self.member, &self.host, ["tohost", "tomember"]);
        let member = ["198.51.100.2/24", "2001:db8:51::2/64"];
        up(&self.member, "tohost", &member);
        up(
            &self.host,
            "tomember",
            &["198.51.100.1/24", "2001:db8:51::1/64"],
        );
        // What the member sends anywhere comes to the host, and it is the host that keeps it out.
        self.member.ip(&format!("route add default via {PUBLIC}"));
        self.member
            .ip(&format!("-6 route add default via {PUBLIC_IPV6}"));
        let (first, last) = ENDPOINTS;
        self.host.nft(&format!(
            "table inet world {{
               chain input {{
                 type filter hook input priority 0; policy accept;
                 iifname tomember udp dport {first}-{last} accept
                 iifname tocore ct state established accept
                 iifname {{ tomember, tocore }} icmpv6 type {{ nd-neighbor-solicit, nd-neighbor-advert }} accept
                 iifname {{ tomember, tocore }} drop
               }}
               chain forward {{
                 type filter hook forward priority 0; policy accept;
                 iifname {{ tomember, tocore }} drop
                 oifname {{ tomember, tocore }} drop
               }}
             }}"
        ));
        self.core.nft(&format!(
            "table inet world {{
               chain input {{
                 type filter hook input priority 0; policy accept;
                 iifname tohost tcp dport {CORE_PORT} accept
                 iifname tohost drop
               }}
             }}"
        ));
    }

    /// The folder of a component's state.
    pub fn state(&self, kind: Kind) -> PathBuf {
        self.path("host").join(kind.as_str())
    }

    /// What all that a component makes carries.
    pub fn mark(&self, kind: Kind) -> Mark {
        Mark::of_state_dir(&self.state(kind))
    }

    pub fn core_state(&self) -> PathBuf {
        self.path("core").join("state")
    }

    pub(crate) fn environment(&self, program: Program, command: &mut Command) {
        command.env(rhyzome_fault::FAULTS, self.faults(program));
    }

    /// Starts the core.
    pub fn start_core(&mut self) {
        let file = self.path("core").join("api.toml");
        let state = self.core_state();
        let text = format!(
            "grpc_bind = \"{CORE}:{CORE_PORT}\"\nstate_dir = \"{}\"\n\
             log.level = \"info,rhyzome_api::outermost=warn\"\n\
             [site]\nname = \"world\"\ndomain = \"world.test\"\nseed = \"end to end\"\n",
            state.display()
        );
        std::fs::write(&file, text).expect("the folder is ours");
        let mut command = Command::new(programs::binary("rhyzome-api"));
        command.arg("--config").arg(file);
        self.environment(Program::Core, &mut command);
        let log = self.path("core.log");
        self.core_process = Some(Running::start(&self.core, command, &log));
    }

    pub fn core_process(&mut self) -> &mut Running {
        self.core_process.as_mut().expect("the core was started")
    }

    /// Ends the core as SIGKILL does.
    pub fn kill_core(&mut self) {
        self.core_process
            .take()
            .expect("the core was started")
            .kill_hard();
    }

    /// A component's program on the host, with its configuration.
    pub fn component_command(&self, kind: Kind) -> Command {
        let file = self.path("host").join(format!("{}.toml", kind.as_str()));
        std::fs::write(&file, self.configuration(kind)).expect("the folder is ours");
        let installed = self.installed[kind as usize].clone();
        let program = installed.unwrap_or_else(|| programs::binary(&kind.program()));
        let mut command = Command::new(program);
        command.arg("--config").arg(file);
        command.env(
            "RHYZOME_LOG",
            "info,rhyzome_component=debug,rhyzome_libvirt=debug,rhyzome_linux=debug",
        );
        command
    }

    fn configuration(&self, kind: Kind) -> String {
        let state = self.state(kind);
        let state = state.display();
        match kind {
            Kind::Libvirt => format!("component.state_dir = \"{state}\"\n"),
            Kind::Linux => {
                let (first, last) = ENDPOINTS;
                format!(
                    "component.state_dir = \"{state}\"\npublic_address = \"{PUBLIC}\"\nendpoint_ports = [{first}, {last}]\n"
                )
            }
        }
    }

    /// Makes a program on the host a component of the core.
    ///
    /// # Panics
    /// Where it is not taken.
    pub fn join(&self, kind: Kind, token: &str) {
        let mut command = self.component_command(kind);
        command
            .arg("join")
            .arg(format!("https://{CORE}:{CORE_PORT}"));
        command.env("RHYZOME_JOIN_TOKEN", token);
        let joined = self.host.run(|| host::finish(command, None));
        let joined = joined.unwrap_or_else(|error| panic!("{kind:?} cannot join: it {error}"));
        assert!(joined.starts_with("joined https://"), "{joined}");
    }

    /// Starts a component.
    pub fn start_component(&mut self, kind: Kind) {
        let mut command = self.component_command(kind);
        command.arg("run");
        self.environment(Program::Component(kind), &mut command);
        let log = self.log(kind);
        let running = Running::start(&self.host, command, &log);
        self.components[kind as usize] = Some(running);
    }

    /// From its next start on, a component's program is this file.
    pub fn install(&mut self, kind: Kind, program: PathBuf) {
        self.installed[kind as usize] = Some(program);
    }

    /// Starts a component again where it has ended, as what supervises it does.
    pub fn keep_component(&mut self, kind: Kind) {
        let running = self.components[kind as usize].as_mut();
        if running.is_none_or(|running| running.ended().is_some()) {
            self.start_component(kind);
        }
    }

    pub fn component(&mut self, kind: Kind) -> &mut Running {
        self.components[kind as usize]
            .as_mut()
            .expect("it was started")
    }

    /// Ends a component as SIGKILL does.
    pub fn kill_component(&mut self, kind: Kind) {
        self.components[kind as usize]
            .take()
            .expect("it was started")
            .kill_hard();
    }

    fn log(&self, kind: Kind) -> PathBuf {
        self.path(&format!("{}.log", kind.as_str()))
    }

    /// The last that the programs said, for people who look why something failed.
    pub fn tell(&self) {
        for (name, log) in [
            ("rhyzome-api", self.path("core.log")),
            ("rhyzome-libvirt", self.log(Kind::Libvirt)),
            ("rhyzome-linux", self.log(Kind::Linux)),
            ("the newcomer", Newcomer::log(self)),
        ] {
            eprintln!("{}", process::tail(name, &log));
        }
    }

    /// Stops the programs in good order, as an operator would who takes the site down.
    fn stop(&mut self) {
        for kind in Kind::ALL {
            drop(self.components[kind as usize].take());
        }
        drop(self.core_process.take());
    }

    /// Takes what a component made off the host.
    fn down(&self, kind: Kind) -> Result<(), String> {
        if !self.state(kind).exists() {
            return Ok(());
        }
        let mut command = self.component_command(kind);
        command.args(["down", "--purge"]);
        let down = self.host.run(|| host::finish(command, None));
        down.map(drop)
            .map_err(|error| format!("{} down {error}", kind.program()))
    }

    /// Ends the world in good order.
    ///
    /// # Panics
    /// Where that leaves anything.
    fn end(mut self) {
        self.say("the site is taken down");
        self.stop();
        for kind in Kind::ALL {
            if let Err(error) = self.down(kind) {
                panic!("{error}");
            }
        }
        let left = self.left();
        assert!(left.is_empty(), "left behind: {left:#?}");
        self.say("nothing is left");
    }

    /// What there is of the world besides its own namespaces, wires and programs.
    pub fn left(&self) -> Vec<String> {
        let mut left: Vec<String> = Vec::new();
        let own: Vec<u32> = [&self.core_process]
            .into_iter()
            .chain(&self.components)
            .filter_map(|running| Some(running.as_ref()?.pid()))
            .collect();
        for place in [&self.core, &self.host, &self.member] {
            let processes = place.processes().into_iter();
            let others = processes.filter(|process| !own.contains(&process.pid.cast_unsigned()));
            left.extend(others.map(|process| format!("process {process}")));
        }
        let namespaces = Kind::ALL.into_iter().flat_map(|kind| self.namespaces(kind));
        left.extend(namespaces.map(|name| format!("namespace {name}")));
        for line in self.host.ip("-o link").lines() {
            let own = ["lo:", "tocore@", "tomember@"];
            if !own.iter().any(|name| line.contains(&format!(" {name}"))) {
                left.push(format!("link {line}"));
            }
        }
        let rules = self
            .host
            .run(|| host::command("nft", &["list", "tables"], None));
        let others = rules.lines().filter(|line| *line != "table inet world");
        left.extend(others.map(|line| format!("nftables {line}")));
        let states = Kind::ALL.map(|kind| self.state(kind));
        for state in states.iter().chain([&Newcomer::state(self)]) {
            let files = files_below(state);
            left.extend(files.iter().map(|path| format!("file {}", path.display())));
        }
        left.sort();
        left
    }

    /// The namespaces of routers on the host.
    pub fn routers(&self) -> Vec<String> {
        self.namespaces(Kind::Linux)
    }

    fn namespaces(&self, kind: Kind) -> Vec<String> {
        let end = format!("-{}", self.mark(kind));
        let list = host::command("ip", &["netns", "list"], None);
        let names = list
            .lines()
            .filter_map(|line| line.split_whitespace().next());
        names
            .filter(|name| name.ends_with(&end))
            .map(str::to_owned)
            .collect()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.tell();
        }
        self.stop();
        for kind in Kind::ALL {
            if let Err(error) = self.down(kind) {
                eprintln!("{error}");
            }
        }
        for name in self.routers() {
            eprintln!("the router {name} was left behind");
            place::delete(&name);
        }
    }
}

async fn interrupted() {
    let wait_for = |kind| signal(kind).expect("signals can be waited for");
    let (mut interrupt, mut terminate) = (
        wait_for(SignalKind::interrupt()),
        wait_for(SignalKind::terminate()),
    );
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
}

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() && !path.is_symlink() {
            found.extend(files_below(&path));
        } else {
            found.push(path);
        }
    }
    found
}
