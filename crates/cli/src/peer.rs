//! `rhyzome peer …`
//!
//! A peer is one device of one person. Its key pair is made here, on the device; only the public key
//! is sent.

pub mod config;
pub mod keys;
mod show;
pub mod verbs;

use std::path::PathBuf;

use clap::{Args, Subcommand};
use clap_complete::ArgValueCandidates;
use rhyzome_model::Name;

use crate::args::WaitArgs;
use crate::complete;
use crate::failure::Failure;
use crate::session::Cx;

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make this device a peer: its key pair is made here, and the private key stays here.
    #[command(after_help = "Example:\n  rhyzome peer create laptop --network lab --network web")]
    Create(Create),
    /// Print the WireGuard configuration of a peer that was made on this device.
    #[command(after_help = "\
Example:
  rhyzome peer config laptop --output lab.conf && wg-quick up ./lab.conf
  rhyzome peer config telephone --qr
  rhyzome forward --config lab.conf --to 10.96.12.5:80 8080")]
    Config(Config),
    /// List the peers and the networks that they reach.
    #[command(after_help = "Example:\n  rhyzome peer list")]
    List,
    /// Show a peer: its addresses, and which endpoints know it.
    #[command(after_help = "Example:\n  rhyzome peer show laptop")]
    Show(Named),
    /// Change which networks a peer reaches.
    #[command(after_help = "\
Example:
  rhyzome peer update laptop --add-network web --remove-network lab")]
    Update(Update),
    /// Delete a peer: it says when the endpoints were asked, and when each had applied it.
    #[command(after_help = "Example:\n  rhyzome peer delete laptop")]
    Delete(Delete),
}

#[derive(Debug, Args)]
pub struct Named {
    #[arg(value_name = "NAME", add = ArgValueCandidates::new(complete::peers))]
    name: Name,
}

#[derive(Debug, Args)]
pub struct Create {
    /// What to call this device.
    #[arg(value_name = "NAME")]
    name: Name,
    /// A network that it may reach. May be given several times.
    #[arg(long = "network", value_name = "NETWORK", required = true)]
    #[arg(add = ArgValueCandidates::new(complete::networks))]
    networks: Vec<Name>,
    #[command(flatten)]
    wait: WaitArgs,
}

#[derive(Debug, Args)]
pub struct Config {
    #[arg(value_name = "NAME", add = ArgValueCandidates::new(complete::peers))]
    name: Name,
    /// Draw it as a QR code, for the WireGuard app of a telephone. It shows the private key.
    #[arg(long, conflicts_with = "output")]
    qr: bool,
    /// Write it to a file of mode 0600.
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
}

#[derive(Debug, Args)]
#[group(id = "change", required = true, multiple = true, args = ["add_network", "remove_network"])]
pub struct Update {
    #[arg(value_name = "NAME", add = ArgValueCandidates::new(complete::peers))]
    name: Name,
    /// A network that it may reach from now on. May be given several times.
    #[arg(long, value_name = "NETWORK", add = ArgValueCandidates::new(complete::networks))]
    add_network: Vec<Name>,
    /// A network that it may not reach any more. May be given several times.
    #[arg(long, value_name = "NETWORK", add = ArgValueCandidates::new(complete::networks))]
    remove_network: Vec<Name>,
    #[command(flatten)]
    wait: WaitArgs,
}

#[derive(Debug, Args)]
pub struct Delete {
    #[arg(value_name = "NAME", add = ArgValueCandidates::new(complete::peers))]
    name: Name,
    #[command(flatten)]
    wait: WaitArgs,
}

impl Command {
    pub async fn run(self, cx: &Cx) -> Result<(), Failure> {
        match self {
            Self::Create(Create {
                name,
                networks,
                wait,
            }) => {
                let session = cx.session()?;
                let store = keys::Store::of(cx, &session).await?;
                let peer = verbs::create(&session, &store, &name, networks, wait).await?;
                verbs::report_created(&session, &peer)
            }
            Self::Config(config) => config::print(cx, &config.name, config.qr, config.output).await,
            Self::List => {
                let peers = cx.session()?.scope.peer().all().await?;
                cx.output.list(
                    &peers,
                    "there are no peers; `rhyzome peer create` makes this device one",
                )
            }
            Self::Show(Named { name }) => cx
                .output
                .thing(&cx.session()?.scope.peer().get(&name).await?),
            Self::Update(update) => {
                let session = cx.session()?;
                let (add, remove) = (&update.add_network, &update.remove_network);
                let peer = verbs::update(&session, &update.name, add, remove, update.wait).await?;
                cx.output.done(
                    &peer,
                    &format!("peer {}: {}", update.name, show::reaches(&peer)),
                )
            }
            Self::Delete(Delete { name, wait }) => verbs::delete(cx, &name, wait).await,
        }
    }
}
