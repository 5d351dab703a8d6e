//! The component of a hypervisor.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;
use async_trait::async_trait;
use clap::Subcommand;
use rhyzome_component::driver::Driver;
use rhyzome_component::program::{self, ComponentSettings, Context, Program};
use rhyzome_hostnet::underlay::End;
use rhyzome_libvirt::hypervisor::Hypervisor;
use rhyzome_libvirt::{Configuration, LibvirtDriver, Settings, down, host};
use rhyzome_model::component::ComponentKind;

fn main() -> ExitCode {
    program::main::<Hypervisors>()
}

struct Hypervisors;

#[derive(Subcommand)]
enum Command {
    /// Looks at this machine as a hypervisor, and says what to do.
    Doctor {
        /// Where the component's state is, or would be.
        #[arg(long, default_value = "/var/lib/rhyzome/libvirt")]
        state_dir: PathBuf,
    },
}

#[async_trait]
impl Program for Hypervisors {
    const NAME: &'static str = "rhyzome-libvirt";
    const KIND: ComponentKind = ComponentKind::Libvirt;
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const ABOUT: &'static str = "The component of Rhyzome on a hypervisor: makes instances, as a core tells \
        it. Stopping it stops no instance; `down` does.";
    const UNIT: &'static str = include_str!("../../../packaging/systemd/rhyzome-libvirt.service");
    const SYSUSERS: Option<&'static str> = Some(include_str!(
        "../../../packaging/sysusers/rhyzome-libvirt.conf"
    ));

    type Settings = Configuration;
    type Command = Command;

    fn component(settings: &Configuration) -> &ComponentSettings {
        &settings.component
    }

    async fn driver(settings: Configuration, context: Context) -> anyhow::Result<Arc<dyn Driver>> {
        let mut driver = settings.driver();
        if driver.tunnel == End::Nowhere {
            driver.tunnel = End::Towards(context.core);
        }
        let driver = LibvirtDriver::open(driver, context.blobs).await;
        Ok(Arc::new(
            driver.map_err(|error| anyhow::anyhow!(error.chain()))?,
        ))
    }

    async fn down(settings: Configuration, purge: bool) -> anyhow::Result<()> {
        Ok(down::down(&settings.driver(), purge).await?)
    }

    fn command(command: Command) -> anyhow::Result<()> {
        let Command::Doctor { state_dir } = command;
        let runtime = tokio::runtime::Runtime::new().context("starting the runtime")?;
        runtime.block_on(doctor(&Settings::new(state_dir)))
    }
}

async fn doctor(settings: &Settings) -> anyhow::Result<()> {
    let (events, _inbox) = tokio::sync::mpsc::unbounded_channel();
    let opened = Hypervisor::open(settings, events).await;
    let findings = host::examine(settings, opened.as_ref()).await;
    for finding in &findings {
        println!(
            "{} {}",
            if finding.fine { "ok     " } else { "problem" },
            finding.text
        );
    }
    anyhow::ensure!(
        findings.iter().all(|finding| finding.fine),
        "instances cannot be made here"
    );
    Ok(())
}
