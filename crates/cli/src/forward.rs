//! `rhyzome forward`: ports of this machine that lead to an instance, through a tunnel in this process.

mod ports;
mod stdio;

use std::net::SocketAddr;
use std::num::NonZeroU16;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use clap_complete::ArgValueCandidates;
use rhyzome_model::Name;
use rhyzome_wireguard::tunnel::Tunnel;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::complete;
use crate::failure::Failure;
use crate::output::Mode;
use crate::session::Cx;
use crate::tunnel::{self, As};

use ports::{Local, Ports};

/// How long a connection may take to be made.
const CONNECT: Duration = Duration::from_secs(20);

/// The pause after this machine could not take a connection, for lack of files say.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  rhyzome forward web 8080:80
  rhyzome forward web 0:80 127.0.0.2:8443:443
  rhyzome forward --config lab.conf --to 10.96.12.5:80 8080
  rhyzome forward web --stdio 25

Each port is printed once it can be used; local port 0 takes a free one.
Without an address, only this machine can use it.")]
pub struct Forward {
    /// The instance, and the ports: [ADDRESS:]LOCAL:REMOTE. With --to, only [ADDRESS:]LOCAL.
    #[arg(value_name = "INSTANCE> <LOCAL:REMOTE", required = true)]
    #[arg(add = ArgValueCandidates::new(complete::instances))]
    words: Vec<String>,
    #[command(flatten)]
    options: As,
    /// Where to, with --config: an address inside the network and a port.
    #[arg(long, value_name = "IP:PORT", requires = "config")]
    to: Option<SocketAddr>,
    /// Make one connection to this port of the instance, and carry it over the standard input and output.
    #[arg(long, value_name = "PORT", conflicts_with_all = ["to", "config"])]
    stdio: Option<NonZeroU16>,
}

/// A port of this machine and where it leads.
struct Listener {
    socket: TcpListener,
    local: SocketAddr,
    remote: SocketAddr,
}

impl Forward {
    pub async fn run(self, cx: &Cx) -> Result<(), Failure> {
        if let Some(port) = self.stdio {
            let [instance] = self.words.as_slice() else {
                return Err(Failure::Usage(
                    "with --stdio, the instance alone is named".to_owned(),
                ));
            };
            let instance = instance.parse::<Name>();
            let instance = instance.map_err(|e| Failure::Usage(e.to_string()))?;
            return stdio::carry(cx, &instance, &self.options.device, port.get()).await;
        }
        let (config, wanted) = match (&self.options.config, self.to) {
            (Some(path), Some(to)) => {
                let locals = self
                    .words
                    .iter()
                    .map(|word| word.parse::<Local>())
                    .collect::<Result<Vec<_>, _>>();
                let wanted = locals
                    .map_err(Failure::Usage)?
                    .into_iter()
                    .map(|local| (local, to))
                    .collect();
                (tunnel::read(path, to.ip())?, wanted)
            }
            (Some(_), None) => {
                return Err(Failure::Usage(
                    "with --config, --to says where the ports lead".to_owned(),
                ));
            }
            (None, _) => {
                let (instance, ports) = spoken(&self.words)?;
                let way = tunnel::find(cx, &instance, &self.options.device).await?;
                let to = |ports: Ports| (ports.local, SocketAddr::new(way.address, ports.remote));
                (way.config, ports.into_iter().map(to).collect::<Vec<_>>())
            }
        };
        let mut listeners = Vec::new();
        for (local, remote) in wanted {
            listeners.push(listen(local, remote).await?);
        }
        let tunnel = tunnel::start(cx, &config, CONNECT).await?;
        for listener in &listeners {
            announce(cx, listener)?;
        }
        serve(cx, listeners, tunnel).await;
        Ok(())
    }
}

fn spoken(words: &[String]) -> Result<(Name, Vec<Ports>), Failure> {
    let usage = |text: String| Failure::Usage(text);
    let (instance, ports) = words
        .split_first()
        .ok_or_else(|| usage("no instance is named".to_owned()))?;
    let instance = instance.parse().map_err(|e| usage(format!("{e}")))?;
    if ports.is_empty() {
        return Err(usage(format!(
            "which ports? For example: rhyzome forward {instance} 8080:80"
        )));
    }
    let ports = ports
        .iter()
        .map(|word| word.parse())
        .collect::<Result<_, _>>()
        .map_err(usage)?;
    Ok((instance, ports))
}

async fn listen(local: Local, remote: SocketAddr) -> Result<Listener, Failure> {
    let wanted = SocketAddr::new(local.address, local.port);
    let failed = |source| Failure::Listen {
        address: wanted.to_string(),
        source,
    };
    let socket = TcpListener::bind(wanted).await.map_err(failed)?;
    let local = socket.local_addr().map_err(failed)?;
    Ok(Listener {
        socket,
        local,
        remote,
    })
}

fn announce(cx: &Cx, listener: &Listener) -> Result<(), Failure> {
    let Listener { local, remote, .. } = listener;
    match cx.output.mode {
        Mode::Json => cx
            .output
            .json_line(&serde_json::json!({ "local": local, "remote": remote })),
        Mode::Quiet => cx.output.line(&local.to_string()),
        Mode::People => cx.output.line(&format!("{local} leads to {remote}")),
    }
}

/// Carries connections until the user has enough.
async fn serve(cx: &Cx, listeners: Vec<Listener>, tunnel: Tunnel) {
    let tunnel = Arc::new(tunnel);
    let mut ports = JoinSet::new();
    let quiet = cx.output.mode == Mode::Quiet;
    for listener in listeners {
        ports.spawn(accept(listener, Arc::clone(&tunnel), quiet));
    }
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = ports.join_next() => {}
    }
    ports.shutdown().await;
    if let Ok(tunnel) = Arc::try_unwrap(tunnel) {
        tunnel.stop().await;
    }
}

/// Takes connections of one port for ever; they end with it.
async fn accept(listener: Listener, tunnel: Arc<Tunnel>, quiet: bool) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            taken = listener.socket.accept() => match taken {
                Ok((stream, _)) => {
                    connections.spawn(carry(stream, listener.remote, Arc::clone(&tunnel), quiet));
                }
                Err(e) => {
                    eprintln!("{}: a connection could not be taken: {e}", listener.local);
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn carry(mut local: TcpStream, remote: SocketAddr, tunnel: Arc<Tunnel>, quiet: bool) {
    match tunnel.connect(remote, CONNECT).await {
        Ok(mut stream) => {
            // Either side may go away at any time; the other one sees the end then.
            let _ended = copy_bidirectional(&mut local, &mut stream).await;
        }
        Err(e) if quiet => drop(e),
        Err(e) => {
            let because = std::error::Error::source(&e).map(|cause| format!(": {cause}"));
            eprintln!("{e}{}", because.unwrap_or_default());
        }
    }
}
