//! `rhyzome up`: starts a site, keeps it running, and stops it in good order.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::choices::{Choices, Hosts, Wishes};
use super::layout::Layout;
use super::lock::{Lock, Phase};
use super::program::Programs;
use super::start::{Ports, Site};
use super::steps::Steps;
use super::{Error, detach, join, report};
use crate::failure::Failure;
use crate::session::Cx;

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
        layout.check_path()?;
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
