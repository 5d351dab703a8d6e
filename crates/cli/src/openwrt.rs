//! `rhyzome openwrt …`: routers made of OpenWrt's images.

mod create;
mod interruption;
mod pack;
mod prepare;

use std::env;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Subcommand;
use rhyzome_model::Name;
use rhyzome_model::component::ComponentKind;
use rhyzome_wire::request::{CreateJoinToken, JoinToken};

use crate::failure::Failure;
use crate::session::{Cx, Session};

/// The component's program for routers, and where packages of ours have it.
const AGENT: &str = "rhyzome-openwrt";
const PACKAGED: &str = "/usr/lib/rhyzome/rhyzome-openwrt";

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make a router of an official OpenWrt image: it joins the core by itself when it starts.
    ///
    /// Takes images for x86/64 with an ext4 root (openwrt-*-x86-64-generic-ext4-combined.img.gz, or combined-efi),
    /// leaves them as they are, and needs neither root nor a loop device, but e2fsprogs. The component's program, its
    /// init script, a join token and the uplink's configuration are written into a copy, which becomes an image of the
    /// core's, or a file with --output. What the image lacks is named and given as files with --package.
    #[command(after_help = "\
Example:
  rhyzome openwrt prepare openwrt-24.10.4-x86-64-generic-ext4-combined.img.gz --name gw \\
    --package kmod-wireguard.ipk wireguard-tools.ipk
  rhyzome openwrt prepare openwrt.img.gz --name gw --output gw.img --root-size 256MiB \\
    --uplink-mac 52:54:00:12:34:56 --trunk-mac 52:54:00:12:34:57")]
    Prepare(Box<prepare::Prepare>),
    /// Run a prepared image as a router: an instance on bridges of a hypervisor's own, that joins by itself.
    #[command(after_help = "\
Example:
  rhyzome openwrt create gw --host host1-libvirt
  rhyzome openwrt create gw --host host1-libvirt --uplink-bridge lan --segmentation vxlan")]
    Create(create::Create),
    /// Print an archive that makes a component of a router that is there: program, init script and join token.
    ///
    /// The router has to have WireGuard already. Nothing but the service is in it: the router's networks stay as they are.
    #[command(after_help = "\
Example:
  rhyzome openwrt pack --name gw --trunk eth1 > gw.tar.gz")]
    Pack(pack::Pack),
}

impl Command {
    pub async fn run(self, cx: &Cx) -> Result<(), Failure> {
        match self {
            Self::Prepare(prepare) => prepare.run(cx).await,
            Self::Create(create) => create.run(cx).await,
            Self::Pack(pack) => pack.run(cx).await,
        }
    }
}

/// What tells sites apart, and projects: routers of the same name in two of them have cards of different MACs.
async fn site(session: &Session<'_>) -> Result<String, Failure> {
    let project = session.client.project().get(&session.project).await?;
    Ok(project.meta.id.to_string())
}

/// Lets one router join, and says where a core cannot be reached from elsewhere.
async fn token(
    session: &Session<'_>,
    name: &Name,
    expires: Duration,
) -> Result<JoinToken, rhyzome_client::Error> {
    let request = CreateJoinToken {
        kind: Some(ComponentKind::Openwrt),
        name: Some(name.clone()),
        expires_in: u32::try_from(expires.as_secs()).unwrap_or(u32::MAX),
    };
    let token = session.client.component().create_token(&request).await?;
    note_loopback(session, &token.url);
    Ok(token)
}

/// The program that was given, or else the one that came with this one.
fn agent(given: Option<&Path>) -> Result<PathBuf, Failure> {
    if let Some(given) = given {
        return Ok(given.to_owned());
    }
    let own = env::current_exe().unwrap_or_default();
    let beside = own.with_file_name(AGENT);
    let mut places = [beside.clone(), PathBuf::from(PACKAGED)].into_iter();
    places.find(|path| path.is_file()).ok_or_else(|| {
        Failure::Usage(format!(
            "{} is not there, nor {PACKAGED}: give the component's program for routers with --agent",
            beside.display()
        ))
    })
}

/// A router somewhere else finds nobody there.
fn note_loopback(session: &Session<'_>, url: &str) {
    let loopback = ["//127.", "//localhost", "//[::1]"];
    if loopback.iter().any(|host| url.contains(host)) {
        session.output.note(&format!(
            "the core says that components reach it at {url}, which no other machine does: see `grpc_public_url` in its \
             configuration"
        ));
    }
}
