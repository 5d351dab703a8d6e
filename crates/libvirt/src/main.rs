//! The component of a hypervisor.

use std::path::PathBuf;

use anyhow::Context;
use clap::{Parser, Subcommand};
use rhyzome_libvirt::{Libvirt, Settings, down, embed, host, hypervisor::Hypervisor};

#[derive(Parser)]
#[command(name = "rhyzome-libvirt", version, about)]
struct Arguments {
    /// Where its state is.
    #[arg(long, global = true, env = "RHYZOME_LIBVIRT_STATE_DIR", default_value = "/var/lib/rhyzome/libvirt")]
    state_dir: PathBuf,
    /// A libvirt to connect to, as qemu:///system; by default one inside this process.
    #[arg(long, global = true, env = "RHYZOME_LIBVIRT_URI")]
    uri: Option<String>,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Stops all instances and takes all that this component made off the host. Its records and images
    /// stay, unless they are purged.
    Down {
        /// Removes records, consoles and images too.
        #[arg(long)]
        purge: bool,
    },
    /// Looks at this machine as a hypervisor, and says what to do.
    Doctor,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let mut settings = Settings::new(arguments.state_dir);
    if let Some(uri) = arguments.uri {
        settings.libvirt = Libvirt::Uri(uri);
    }
    // Before the runtime starts its threads.
    embed::prepare(&settings)?;
    let runtime = tokio::runtime::Runtime::new().context("starting the runtime")?;
    runtime.block_on(async {
        match arguments.verb {
            Verb::Down { purge } => down::down(&settings, purge).await.context("taking the component down"),
            Verb::Doctor => doctor(&settings).await,
        }
    })
}

async fn doctor(settings: &Settings) -> anyhow::Result<()> {
    let (events, _inbox) = tokio::sync::mpsc::unbounded_channel();
    let opened = Hypervisor::open(&settings.uri(), events).await;
    let findings = host::examine(settings, opened.as_ref()).await;
    for finding in &findings {
        println!("{} {}", if finding.fine { "ok     " } else { "problem" }, finding.text);
    }
    anyhow::ensure!(findings.iter().all(|finding| finding.fine), "instances cannot be made here");
    Ok(())
}
