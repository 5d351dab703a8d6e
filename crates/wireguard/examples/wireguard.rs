//! The two ends of a network's WireGuard as programs: the endpoint's process, and a client that
//! fetches bytes through a tunnel of its own, as any user and without any privilege, and says whose TCP
//! was above it.
//!
//! ```text
//! wireguard wireguard-endpoint FOLDER
//! wireguard tunnel-holder
//! wireguard fetch CONFIGURATION ADDRESS:PORT
//! ```

use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail};
use rhyzome_wireguard::config::ClientConfig;
use rhyzome_wireguard::endpoint;
use rhyzome_wireguard::tunnel::Tunnel;
use rhyzome_wireguard::tunnel::kernel::{self, Holder};
use tokio::io::AsyncReadExt;
use tracing_subscriber::EnvFilter;

fn main() -> anyhow::Result<()> {
    if std::env::args()
        .nth(1)
        .is_some_and(|verb| verb == "tunnel-holder")
    {
        return Ok(kernel::main()?);
    }
    tracing_subscriber::fmt()
        .with_env_filter(
            EnvFilter::try_from_default_env()
                .unwrap_or_else(|_| EnvFilter::new(endpoint::LOG_FILTER)),
        )
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .init();
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args[..] {
        ["wireguard-endpoint", dir] => Ok(endpoint::main(Path::new(dir))?),
        ["fetch", config, destination] => {
            let text = std::fs::read_to_string(config).context("reading the configuration")?;
            let config = ClientConfig::parse(&text).context("in the configuration")?;
            fetch(&config, destination.parse().context("the destination")?)
        }
        _ => bail!("usage: wireguard-endpoint FOLDER | fetch CONFIGURATION ADDRESS:PORT"),
    }
}

/// Connects, and writes all that comes to the standard output.
#[tokio::main(flavor = "current_thread")]
async fn fetch(config: &ClientConfig, destination: SocketAddr) -> anyhow::Result<()> {
    let holder = Holder {
        path: std::env::current_exe()?,
        args: vec!["tunnel-holder".to_owned()],
    };
    let tunnel = Tunnel::start_with(config, &holder).await;
    let tunnel = tunnel.context("starting the tunnel")?;
    let whose = match tunnel.has_kernel_tcp() {
        true => "the kernel's",
        false => "its own",
    };
    eprintln!("TCP: {whose}");
    let bound = Duration::from_secs(10);
    let mut stream = tunnel.connect(destination, bound).await?;
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await.context("reading")?;
    std::io::stdout().write_all(&bytes)?;
    Ok(())
}
