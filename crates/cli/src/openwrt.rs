//! `rhyzome openwrt …`: routers made of OpenWrt's images.

mod interruption;
mod prepare;

use clap::Subcommand;

use crate::failure::Failure;
use crate::session::Cx;

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
}

impl Command {
    pub async fn run(self, cx: &Cx) -> Result<(), Failure> {
        match self {
            Self::Prepare(prepare) => prepare.run(cx).await,
        }
    }
}
