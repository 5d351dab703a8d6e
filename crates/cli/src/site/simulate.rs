//! Simulated hosts: real components, with real sessions over mTLS, around drivers that only remember.
//!
//! `rhyzome simulate FOLDER`, which `rhyzome up --simulate` starts, runs all of them in one process.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use rhyzome_component::fake::{FakeDriver, Options};
use rhyzome_component::jobs::JobsConfig;
use rhyzome_component::{Component, Driver, Setup};
use rhyzome_model::component::{ComponentKind, HostFacts};
use rhyzome_model::instance::Firmware;
use rhyzome_model::{Name, Size};
use serde::{Deserialize, Serialize};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::Error;
use super::layout::Layout;
use super::program::{Member, SIMULATED};
use crate::failure::Failure;
use crate::private;

/// The file that says which hosts there are.
const FILE: &str = "hosts.json";

#[derive(Clone, Debug, Args)]
#[command(after_help = "Example:\n  rhyzome simulate STATE/simulated")]
pub struct Simulate {
    /// The folder that `rhyzome up --simulate` has made.
    folder: PathBuf,
}

/// All simulated hosts of a site.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Simulation {
    pub hosts: Vec<Simulated>,
}

/// A simulated host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Simulated {
    pub name: Name,
    pub kind: ComponentKind,
    pub cpus: u32,
    pub memory: Size,
    pub public_address: Option<String>,
}

impl Simulation {
    /// So many hypervisors, and one router.
    pub fn of(count: u16, public_address: &str) -> Self {
        let name = |text: &str| -> Name { text.parse().expect("letters, digits and a dash") };
        let hypervisors = (1..=count).map(|number| {
            let (cpus, memory) = size_of(number);
            Simulated {
                name: name(&format!("simulated-{number}")),
                kind: ComponentKind::Libvirt,
                cpus,
                memory,
                public_address: None,
            }
        });
        let router = Simulated {
            name: name("simulated-router"),
            kind: ComponentKind::Linux,
            cpus: 0,
            memory: Size::bytes(0),
            public_address: Some(public_address.to_owned()),
        };
        Self {
            hosts: hypervisors.chain([router]).collect(),
        }
    }

    pub fn names(&self) -> Vec<String> {
        self.hosts
            .iter()
            .map(|host| host.name.to_string())
            .collect()
    }

    pub fn save(&self, layout: &Layout) -> Result<(), Failure> {
        let text = serde_json::to_vec_pretty(self).expect("the hosts have a JSON form");
        private::write(&layout.simulated().join(FILE), &text)
    }

    fn load(folder: &Path) -> Result<Self, Error> {
        let path = folder.join(FILE);
        let text = std::fs::read(&path).map_err(Error::file(&path))?;
        serde_json::from_slice(&text).map_err(|e| Error::Syntax {
            path,
            reason: e.to_string(),
        })
    }
}

impl Simulated {
    pub fn member(&self, layout: &Layout) -> Member {
        Member {
            name: self.name.clone(),
            kind: self.kind,
            service: SIMULATED,
            state: layout.simulated().join(self.name.as_str()),
        }
    }

    fn facts(&self) -> HostFacts {
        let router = self.kind != ComponentKind::Libvirt;
        HostFacts {
            hostname: self.name.to_string(),
            cpus: self.cpus,
            memory: self.memory,
            public_address: self.public_address.clone(),
            endpoint_ports: router.then_some((51_820, 52_819)),
            mtu: Some(1500),
            host: "simulated".to_owned(),
            tunnel_address: None,
            tunnel_address_guessed: false,
            bridges: Vec::new(),
            firmware: if router {
                Vec::new()
            } else {
                vec![Firmware::Bios, Firmware::Uefi]
            },
            details: BTreeMap::from([("driver".to_owned(), "simulated".to_owned())]),
        }
    }

    fn open(&self, folder: &Path) -> Result<(Component, Arc<dyn Driver>), Error> {
        let failed = |reason: String| Error::Simulate {
            reason: format!("{}: {reason}", self.name),
        };
        let state_dir = folder.join(self.name.as_str());
        let setup = Setup {
            state_dir: state_dir.clone(),
            core: None,
            software_version: env!("CARGO_PKG_VERSION").to_owned(),
            jobs: JobsConfig::default(),
        };
        let component = Component::open(setup).map_err(|e| failed(chain(&e)))?;
        let options = Options {
            folder: Some(state_dir.join("host")),
            facts: self.facts(),
            blobs: Some(component.blobs()),
            ..Options::default()
        };
        let driver = match self.kind {
            ComponentKind::Libvirt => FakeDriver::libvirt(options),
            ComponentKind::Linux | ComponentKind::Openwrt => FakeDriver::linux(options),
        };
        Ok((component, driver.map_err(|e| failed(e.to_string()))?))
    }
}

impl Simulate {
    pub async fn run(self) -> Result<(), Failure> {
        let level = tracing_subscriber::filter::LevelFilter::INFO;
        tracing_subscriber::fmt()
            .with_writer(std::io::stderr)
            .with_ansi(false)
            .with_max_level(level)
            .init();
        let stop = CancellationToken::new();
        let mut running = tokio::task::JoinSet::new();
        for host in Simulation::load(&self.folder)?.hosts {
            let (component, driver) = host.open(&self.folder)?;
            running.spawn(component.run(driver, stop.clone()));
        }
        let of = |kind| signal(kind).map_err(|source| Error::Signals { source });
        let (mut terminate, mut interrupt) =
            (of(SignalKind::terminate())?, of(SignalKind::interrupt())?);
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        stop.cancel();
        while running.join_next().await.is_some() {}
        Ok(())
    }
}

/// How much a simulated hypervisor has.
fn size_of(number: u16) -> (u32, Size) {
    // Not all alike, so that placing has something to choose from.
    let cpus = 8 << (number % 3);
    (cpus, Size::mib(u64::from(cpus) * 4096))
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
