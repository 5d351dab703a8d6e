//! `rhyzome up`: starts a site, keeps it running, and stops it in good order.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use rhyzome_client::{Client, ClientOptions};
use rhyzome_model::component::ComponentKind;
use rhyzome_model::{Name, Size};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{Instant, sleep};

use super::choices::{Choices, Hosts, Wishes};
use super::layout::Layout;
use super::lock::{Lock, Phase};
use super::program::{Member, Programs};
use super::simulate::{Simulated, Simulation};
use super::steps::Steps;
use super::supervise::Supervised;
use super::{Error, configuration, detach, join, port, process, report};
use crate::context;
use crate::failure::Failure;
use crate::session::Cx;

/// How long the core may take to be ready, and the components to connect: migrations, and libvirt's
/// first look at QEMU, are in there.
const READY_WITHIN: Duration = Duration::from_secs(60);
const CONNECTED_WITHIN: Duration = Duration::from_secs(90);
/// How often other ports are tried.
const MOVES: usize = 5;
const LOOK: Duration = Duration::from_millis(50);

/// The context's name in a file of contexts.
pub const CONTEXT: &str = "local";

#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Example:
  sudo rhyzome up --detach
  rhyzome up --simulate 3

Ctrl-C or SIGTERM stops the site's programs. Instances, networks and tunnels go on without them;
`rhyzome down` stops those too.")]
pub struct Up {
    /// The folder with all state; by default /var/lib/rhyzome/site for root, else below ~/.local/state.
    #[arg(long, value_name = "DIR", env = "RHYZOME_STATE")]
    pub state: Option<PathBuf>,
    /// The folder is the usual one all the same: the way to the site goes among the user's contexts.
    #[arg(long, hide = true)]
    pub usual: bool,
    /// Return when the site is up; it goes on in the background.
    #[arg(long)]
    pub detach: bool,
    /// Instead of this machine, N simulated hypervisors and a simulated router. Needs no root.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=500))]
    pub simulate: Option<u16>,
    /// Where people and programs connect to; by default the first free port of 127.0.0.1 from 8080 on.
    #[arg(long, value_name = "IP:PORT")]
    pub listen: Option<SocketAddr>,
    /// Where components connect to; by default the first free port of 127.0.0.1 from 9090 on.
    #[arg(long, value_name = "IP:PORT")]
    pub listen_components: Option<SocketAddr>,
    /// The address or name that peers reach this machine by; by default its own address.
    #[arg(long, value_name = "HOST")]
    pub public_address: Option<String>,
    /// What guests run on; by default KVM where a guest can really run on it.
    #[arg(long, value_name = "auto|kvm|qemu", value_parser = ["auto", "kvm", "qemu"])]
    pub accelerator: Option<String>,
    /// A libvirt to use, as qemu:///system; by default one of the site's own.
    #[arg(long, value_name = "URI")]
    pub libvirt: Option<String>,
    /// Where rhyzome-api, rhyzome-libvirt and rhyzome-linux are; by default beside this program.
    #[arg(long, value_name = "DIR")]
    pub bin_dir: Option<PathBuf>,
}

impl Up {
    pub async fn run(self, cx: &Cx) -> Result<(), Failure> {
        let layout = Layout::of(self.state.as_deref())?;
        let programs = Programs::find(self.bin_dir.clone())?;
        if self.detach {
            return detach::run(cx, &self, &layout, &programs).await;
        }
        let mut signals = Signals::new()?;
        let steps = Steps::new(&cx.output);
        let (mut lock, choices, ports) = self.begin(&layout, &programs)?;
        let mut site = Site {
            cx,
            layout,
            programs,
            choices,
            ports,
            steps,
            running: Vec::new(),
        };
        let started = tokio::select! {
            started = site.start(self.state.is_some() && !self.usual) => started,
            () = signals.any() => Err(Error::Interrupted.into()),
        };
        if started.is_ok() {
            lock.reached(Phase::Up)?;
            site.steps.say("the site is up");
            report::print(&cx.output, &site.layout, &site.choices)?;
            signals.any().await;
            cx.output.note("stopping the core and its components");
        }
        lock.reached(Phase::Stopping)?;
        site.stop().await;
        if started.is_ok() {
            cx.output.note(
                "stopped. Instances, networks and tunnels go on; `rhyzome up` takes care of them \
                 again, `rhyzome down` stops them",
            );
        }
        started
    }

    /// All that can be found out before anything is started.
    fn begin(
        &self,
        layout: &Layout,
        programs: &Programs,
    ) -> Result<(Lock, Choices, Ports), Failure> {
        layout.prepare()?;
        let lock = Lock::take(layout, Phase::Starting)?;
        let wishes = Wishes {
            http: self.listen,
            grpc: self.listen_components,
            simulate: self.simulate,
            public_address: self.public_address.clone(),
            accelerator: self.accelerator.clone(),
            libvirt: self.libvirt.clone(),
        };
        let before = Choices::load(layout)?;
        let ports = match (&before, wishes.http, wishes.grpc) {
            (None, None, None) => Ports::Free,
            _ => Ports::Chosen,
        };
        let choices = Choices::make(before, wishes)?;
        let real = choices.hosts == Hosts::Real;
        if real && !nix::unistd::geteuid().is_root() {
            return Err(Error::NotRoot.into());
        }
        join::check(programs, real)?;
        if real {
            layout.bind()?;
            if let Some(missing) = ["nft", "dnsmasq"]
                .into_iter()
                .find(|tool| !join::has_tool(tool))
            {
                return Err(Error::NoTool(missing).into());
            }
        }
        Ok((lock, choices, ports))
    }
}

/// Whether other ports are as good.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ports {
    Chosen,
    Free,
}

/// A site that is starting or running.
struct Site<'a> {
    cx: &'a Cx,
    layout: Layout,
    programs: Programs,
    choices: Choices,
    ports: Ports,
    steps: Steps<'a>,
    running: Vec<Supervised>,
}

impl Site<'_> {
    async fn start(&mut self, own_context: bool) -> Result<(), Failure> {
        self.steps
            .say(&format!("state in {}", self.layout.root().display()));
        let left = process::of_site(&self.layout);
        if !left.is_empty() {
            self.steps.say(&format!(
                "ending {} programs of an earlier start",
                left.len()
            ));
            let survived = process::end(&left, Duration::from_secs(15)).await;
            if !survived.is_empty() {
                let pids = survived.iter().map(|process| process.pid).collect();
                return Err(Error::Survived { pids }.into());
            }
        }
        let client = self.start_core_somewhere().await?;
        match self.choices.hosts {
            Hosts::Real => self.start_real(&client).await?,
            Hosts::Simulated(count) => self.start_simulated(&client, count).await?,
        }
        self.write_context(own_context)
    }

    /// Starts the core; at other ports where somebody else took the free ones at the same time.
    async fn start_core_somewhere(&mut self) -> Result<Client, Failure> {
        for _ in 0..MOVES {
            if self.ports == Ports::Free && self.check_ports().is_err() {
                self.choices.find_ports()?;
            }
            self.check_ports()?;
            match self.start_core().await {
                Err(_) if self.ports == Ports::Free && self.check_ports().is_err() => {
                    self.stop().await;
                    self.steps
                        .say("the ports were taken a moment ago; trying others");
                }
                started => return started,
            }
        }
        self.check_ports()?;
        self.start_core().await
    }

    fn check_ports(&self) -> Result<(), Error> {
        port::check(self.choices.http)?;
        port::check(self.choices.grpc)
    }

    async fn start_core(&mut self) -> Result<Client, Failure> {
        self.choices.save(&self.layout)?;
        configuration::write(&self.layout, &self.choices)?;
        let core = Supervised::start(self.programs.core(&self.layout)?)?;
        self.running.push(core);
        let [core] = &self.running[..] else {
            unreachable!("the core is the first one")
        };
        let until = Instant::now() + READY_WITHIN;
        let client = loop {
            if let Some(client) = self.client()
                && client.site().get().await.is_ok()
            {
                break client;
            }
            if Instant::now() >= until {
                let (what, seconds) = ("the core".to_owned(), READY_WITHIN.as_secs());
                return Err(Error::NotReady {
                    what,
                    seconds,
                    log: core.log(),
                }
                .into());
            }
            tokio::select! {
                how = core.fell() => return Err(ended(core, how)),
                () = sleep(LOOK) => {}
            }
        };
        self.steps
            .say(&format!("the core is ready at {}", self.choices.http_url()));
        Ok(client)
    }

    /// A client, once the core has written its authority and the administrator's token.
    fn client(&self) -> Option<Client> {
        let token = std::fs::read_to_string(self.layout.admin_token()).ok()?;
        let authority_pem = std::fs::read_to_string(self.layout.authority()).ok()?;
        let options = ClientOptions {
            url: self.choices.http_url(),
            token: Some(token.trim().to_owned()),
            authority_pem: Some(authority_pem),
        };
        Client::new(options).ok()
    }

    async fn start_real(&mut self, client: &Client) -> Result<(), Failure> {
        let members = [
            Member {
                name: name("hypervisor"),
                kind: ComponentKind::Libvirt,
                state: self.layout.libvirt(),
            },
            Member {
                name: name("router"),
                kind: ComponentKind::Linux,
                state: self.layout.linux(),
            },
        ];
        for member in &members {
            let service = self.programs.component(&self.layout, member.kind)?;
            if !join::has_joined(member) {
                join::forget_half_joined(client, member).await?;
                let core = self.choices.grpc_url();
                join::real(client, &self.layout, &service, member, &core).await?;
                self.steps
                    .say(&format!("{} has joined ({})", member.name, member.kind));
            }
            self.running.push(Supervised::start(service)?);
        }
        self.connected(client, &members).await
    }

    async fn start_simulated(&mut self, client: &Client, count: u16) -> Result<(), Failure> {
        let simulation = Simulation::of(count, &self.choices.public_address);
        let members: Vec<Member> = simulation
            .hosts
            .iter()
            .map(|host| host.member(&self.layout))
            .collect();
        let missing: Vec<&Member> = members.iter().filter(|m| !join::has_joined(m)).collect();
        for member in &missing {
            join::forget_half_joined(client, member).await?;
            join::simulated(client, member, &self.choices.grpc_url()).await?;
        }
        if !missing.is_empty() {
            self.steps
                .say(&format!("{} simulated hosts have joined", missing.len()));
        }
        simulation.save(&self.layout)?;
        self.running
            .push(Supervised::start(self.programs.simulated(&self.layout))?);
        self.connected(client, &members).await
    }

    /// Waits until all are connected, or one of their programs ends.
    async fn connected(&self, client: &Client, members: &[Member]) -> Result<(), Failure> {
        let until = Instant::now() + CONNECTED_WITHIN;
        loop {
            let there = client.component().all().await?;
            let missing = members.iter().find(|member| {
                !there
                    .iter()
                    .any(|one| one.meta.name == member.name && one.connected)
            });
            let Some(missing) = missing else { break };
            let fallen = self
                .running
                .iter()
                .map(|one| Box::pin(async move { (one, one.fell().await) }));
            if Instant::now() >= until {
                let log = self.running.last().map(Supervised::log).unwrap_or_default();
                let (what, seconds) = (missing.name.to_string(), CONNECTED_WITHIN.as_secs());
                return Err(Error::NotReady { what, seconds, log }.into());
            }
            tokio::select! {
                ((one, how), ..) = futures::future::select_all(fallen) => return Err(ended(one, how)),
                () = sleep(LOOK * 2) => {}
            }
        }
        self.steps.say(&match members.len() {
            1 | 2 => {
                members
                    .iter()
                    .map(|m| m.name.as_str())
                    .collect::<Vec<_>>()
                    .join(" and ")
                    + " are connected"
            }
            many => format!("{many} components are connected"),
        });
        Ok(())
    }

    /// Writes the way to this core into the state folder and, for the usual site, among the user's
    /// contexts.
    fn write_context(&self, own: bool) -> Result<(), Failure> {
        let context = context::Context {
            url: self.choices.http_url(),
            project: None,
            token_file: Some(self.layout.admin_token()),
            authority_file: Some(self.layout.authority()),
            authority: None,
        };
        let mut files = vec![self.layout.context()];
        if !own {
            files.push(self.cx.paths.config.clone());
        }
        for path in files {
            let mut file = context::File::load(&path)?;
            let other = file
                .contexts
                .get(CONTEXT)
                .is_some_and(|c| c.token_file != context.token_file);
            if other {
                let own = self.layout.context();
                self.cx.output.note(&format!(
                    "{} has another context {CONTEXT}: `export RHYZOME_CONFIG={}` for this site",
                    path.display(),
                    own.display()
                ));
                continue;
            }
            file.contexts.insert(CONTEXT.to_owned(), context.clone());
            file.current.get_or_insert_with(|| CONTEXT.to_owned());
            file.save(&path)?;
        }
        Ok(())
    }

    /// The components first, together; then the core.
    async fn stop(&mut self) {
        let components = self.running.split_off(1.min(self.running.len()));
        futures::future::join_all(components.into_iter().map(Supervised::stop)).await;
        for core in self.running.drain(..) {
            core.stop().await;
        }
    }
}

fn ended(one: &Supervised, how: String) -> Failure {
    Error::Ended {
        program: one.name().to_owned(),
        how,
        log: one.log(),
    }
    .into()
}

fn name(text: &str) -> Name {
    text.parse().expect("a name of lower case letters")
}

/// SIGTERM and SIGINT.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> Result<Self, Error> {
        let of = |kind| signal(kind).map_err(|source| Error::Signals { source });
        Ok(Self {
            terminate: of(SignalKind::terminate())?,
            interrupt: of(SignalKind::interrupt())?,
        })
    }

    async fn any(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// How much a simulated hypervisor has.
pub fn simulated_size(number: u16) -> (u32, Size) {
    // Not all alike, so that placing has something to choose from.
    let cpus = 8 << (number % 3);
    (cpus, Size::mib(u64::from(cpus) * 4096))
}

impl Simulated {
    fn member(&self, layout: &Layout) -> Member {
        Member {
            name: self.name.clone(),
            kind: self.kind,
            state: layout.simulated().join(self.name.as_str()),
        }
    }
}
