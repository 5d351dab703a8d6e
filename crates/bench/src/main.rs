//! `cargo xtask bench NAME --json`: one object of figures, measured on the programs as they are built, over
//! HTTP, gRPC and mutual TLS. Each sets up and takes away what it needs.
//!
//! Figures are facts about a machine and a moment: compare those of one run.

mod audit;
mod authorization;
mod control_plane;
mod core;
mod figures;
mod first_request;
mod fleet;
mod footprint;
mod machine;
mod peers;
mod site;
mod start;
mod tunnel;

use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Parser, ValueEnum};
use tokio::signal::unix::SignalKind;

/// Measures Rhyzome.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask bench", bin_name = "cargo xtask bench", version)]
struct Arguments {
    /// What to measure.
    name: Name,
    /// One JSON object instead of lines for people.
    #[arg(long)]
    json: bool,
    /// The core's database, where it has one: an empty one on PostgreSQL; otherwise SQLite.
    #[arg(long, value_name = "URL")]
    database: Option<String>,
    /// A smaller measurement, to see that it works: its figures mean little.
    #[arg(long)]
    quick: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Name {
    /// Creates, lists and jobs of a core with simulated hosts, small and large.
    ControlPlane,
    /// From the request for an instance until it runs, against `virsh create`.
    Start,
    /// From the request for an instance to its first answer through a tunnel, part by part.
    FirstRequest,
    /// What a tunnel carries, against wireguard-go and gotatun.
    Tunnel,
    /// Peers that come and go: how soon, and what others lose by it.
    Peers,
    /// Changes a second with and without the audit log, in this process.
    Audit,
    /// Each program's size and start, and an idle core's memory and time to ready.
    Footprint,
}

fn main() -> ExitCode {
    match measure(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn measure(arguments: &Arguments) -> anyhow::Result<()> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    let runtime = builder.enable_all().build().context("a runtime")?;
    let measured = async {
        let mut ended = tokio::signal::unix::signal(SignalKind::terminate())?;
        tokio::select! {
            measured = named(arguments) => measured,
            _ = tokio::signal::ctrl_c() => anyhow::bail!("interrupted"),
            _ = ended.recv() => anyhow::bail!("ended"),
        }
    };
    let mut figures = runtime.block_on(measured)?;
    figures.insert("machine", machine::described());
    if arguments.json {
        println!("{}", figures.as_json());
    } else {
        print!("{}", figures.as_text());
    }
    Ok(())
}

async fn named(arguments: &Arguments) -> anyhow::Result<figures::Figures> {
    match arguments.name {
        Name::ControlPlane => {
            control_plane::measure(arguments.database.as_deref(), arguments.quick).await
        }
        Name::Audit => audit::measure(arguments.database.as_deref(), arguments.quick).await,
        Name::Start => start::measure(arguments.quick).await,
        Name::FirstRequest => first_request::measure(arguments.quick).await,
        Name::Tunnel => tunnel::measure(arguments.quick).await,
        Name::Peers => peers::measure(arguments.quick).await,
        Name::Footprint => footprint::measure().await,
    }
}
