//! The network component for a Linux host.

use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "rhyzome-linux", version, about)]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Takes all that this component made off the host. Its records stay, unless they are purged.
    Down {
        /// Where its state is.
        #[arg(
            long,
            env = "RHYZOME_LINUX_STATE_DIR",
            default_value = "/var/lib/rhyzome/linux"
        )]
        state_dir: PathBuf,
        /// Removes the state directory too: records, keys and identity.
        #[arg(long)]
        purge: bool,
    },
    /// Becomes the WireGuard endpoint of a network. Started by the component.
    #[command(hide = true)]
    WireguardEndpoint { folder: PathBuf },
}

fn main() -> anyhow::Result<()> {
    match Arguments::parse().verb {
        Verb::Down { state_dir, purge } => down(&state_dir, purge),
        Verb::WireguardEndpoint { folder } => {
            rhyzome_wireguard::endpoint::main(&folder).context("the WireGuard endpoint")
        }
    }
}

#[tokio::main(flavor = "current_thread")]
async fn down(state_dir: &Path, purge: bool) -> anyhow::Result<()> {
    rhyzome_linux::down(state_dir).await?;
    if purge {
        rhyzome_linux::purge(state_dir)?;
    }
    Ok(())
}
