//! The network component for a Linux host: `rhyzome-linux`.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;
use async_trait::async_trait;
use clap::Subcommand;
use rhyzome_component::Driver;
use rhyzome_component::program::{self, ComponentSettings, Context, Program};
use rhyzome_hostnet::underlay::End;
use rhyzome_linux::{Configuration, LinuxDriver};
use rhyzome_model::component::ComponentKind;
use rhyzome_wireguard::endpoint;

struct Linux;

#[derive(Debug, Subcommand)]
enum Own {
    /// Becomes the WireGuard endpoint of a network. Started by the component.
    #[command(hide = true)]
    WireguardEndpoint { folder: PathBuf },
}

#[async_trait]
impl Program for Linux {
    const NAME: &'static str = "rhyzome-linux";
    const KIND: ComponentKind = ComponentKind::Linux;
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const ABOUT: &'static str = "The component of Rhyzome on a router: makes networks, leases and WireGuard \
        endpoints, as a core tells it. Stopping it stops none of them; `down` does.";
    const UNIT: &'static str = include_str!("../../../packaging/systemd/rhyzome-linux.service");
    const SYSUSERS: Option<&'static str> = None;
    // What is asked about the peers of one network is done together.
    const AT_ONCE: usize = 64;
    type Settings = Configuration;
    type Command = Own;

    fn component(settings: &Configuration) -> &ComponentSettings {
        &settings.component
    }

    async fn driver(settings: Configuration, context: Context) -> anyhow::Result<Arc<dyn Driver>> {
        let program =
            endpoint::Program::current().context("this program's own path is not known")?;
        let mut settings = settings.into_settings(program);
        if settings.tunnel == End::Nowhere {
            settings.tunnel = End::Towards(context.core);
        }
        Ok(Arc::new(LinuxDriver::new(settings)))
    }

    async fn down(settings: Configuration, purge: bool) -> anyhow::Result<()> {
        rhyzome_linux::down(&settings.state_dir()).await?;
        if purge {
            rhyzome_linux::purge(&settings.state_dir())?;
        }
        Ok(())
    }

    fn command(Own::WireguardEndpoint { folder }: Own) -> anyhow::Result<()> {
        endpoint::main(&folder).context("the WireGuard endpoint")
    }
}

fn main() -> ExitCode {
    program::main::<Linux>()
}
