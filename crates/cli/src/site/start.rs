//! Starting a site: the core, then its components, each when what it needs is there.

use std::time::Duration;

use rhyzome_client::{Client, ClientOptions};
use rhyzome_model::Name;
use rhyzome_model::component::ComponentKind;
use tokio::time::{Instant, sleep};

use super::choices::{Choices, Hosts};
use super::layout::Layout;
use super::program::{Member, Programs, service_of};
use super::simulate::Simulation;
use super::steps::Steps;
use super::supervise::Supervised;
use super::{CONTEXT, Error, configuration, join, port, process};
use crate::context;
use crate::failure::Failure;
use crate::session::Cx;

/// How long the core may take to be ready, and the components to connect: migrations, and libvirt's
/// first look at QEMU, are in there.
const READY_WITHIN: Duration = Duration::from_secs(60);
const CONNECTED_WITHIN: Duration = Duration::from_secs(90);
/// How often other ports are tried.
const MOVES: usize = 20;
const LOOK: Duration = Duration::from_millis(50);

/// Whether other ports are as good.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Ports {
    Chosen,
    Free,
}

/// A site that is starting or running.
pub struct Site<'a> {
    pub cx: &'a Cx,
    pub layout: Layout,
    pub programs: Programs,
    pub choices: Choices,
    pub ports: Ports,
    pub steps: Steps<'a>,
    pub running: Vec<Supervised>,
}

impl Site<'_> {
    /// Starts all of it, and writes the way to it.
    pub async fn start(&mut self, own_context: bool) -> Result<(), Failure> {
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
        let moves = match self.ports {
            Ports::Chosen => 0,
            Ports::Free => MOVES,
        };
        for _ in 0..moves {
            if self.check_ports().is_ok() {
                match self.start_core().await {
                    Ok(client) => return Ok(client),
                    Err(failure) => {
                        self.stop().await;
                        if self.check_ports().is_ok() {
                            return Err(failure);
                        }
                    }
                }
            }
            self.steps
                .say("the ports were taken a moment ago; trying others");
            self.choices.find_ports()?;
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
        let (hypervisor, router) = (self.layout.libvirt(), self.layout.linux());
        let members = [
            ("hypervisor", ComponentKind::Libvirt, hypervisor),
            ("router", ComponentKind::Linux, router),
        ]
        .map(|(called, kind, state)| Member {
            name: name(called),
            kind,
            service: service_of(kind),
            state,
        });
        join::check_known(client, &self.layout, &members).await?;
        for member in &members {
            let service = self.programs.component(&self.layout, member.kind)?;
            if !join::has_joined(member) {
                join::forget_half_joined(client, &self.layout, member).await?;
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
        join::check_known(client, &self.layout, &members).await?;
        let missing: Vec<&Member> = members.iter().filter(|m| !join::has_joined(m)).collect();
        for member in &missing {
            join::forget_half_joined(client, &self.layout, member).await?;
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
                let service = self.running.iter().find(|s| s.name() == missing.service);
                let log = service.map(Supervised::log).unwrap_or_default();
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
    pub async fn stop(&mut self) {
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
