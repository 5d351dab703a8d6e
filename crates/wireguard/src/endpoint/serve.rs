//! The endpoint's process itself: starts the interface, restores its peers, and obeys requests.
//!
//! Tasks: one for each of the two listening sockets, one for each connection, and the caller of
//! [`run`], which owns device and peers and takes the requests one after another.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use gotatun::device::uapi::{UapiClient, UapiServer};
use serde::Serialize;
use serde_json::Value;
use tokio::net::UnixListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

use super::control::{Applied, Failure, Request, Response, Status};
use super::listen::{Asked, bind, listen_for_requests, listen_for_wg};
use super::options::{EndpointOptions, OptionsError};
use super::process::{ProcessError, ProcessName};
use super::state::{StateDir, StateError};
use super::userspace::{Userspace, UserspaceError};
use super::{Backend, PeerStatus};
use crate::key::PublicKey;
use crate::peers::{Changes, Peer, PeerSet, plan, settle};

/// Why an endpoint did not start, or ended by itself.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The options are wrong or cannot be read.
    #[error("the endpoint's options cannot be used")]
    Options(#[source] OptionsError),
    /// The folder cannot be used, or another endpoint has it.
    #[error("the endpoint's folder cannot be used")]
    State(#[source] StateError),
    /// The process cannot find out about itself.
    #[error("the endpoint cannot name its own process")]
    Process(#[source] ProcessError),
    /// There is no interface.
    #[error("there is no WireGuard interface")]
    Interface(#[source] UserspaceError),
    /// A socket cannot be listened on.
    #[error("{path} cannot be listened on")]
    Listen {
        /// The socket.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The link for `wg` cannot be made.
    #[error("the link {path} cannot be made")]
    Link {
        /// The link.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Signals cannot be received.
    #[error("signals cannot be received")]
    Signals(#[source] io::Error),
    /// There is no runtime.
    #[error("the runtime cannot be started")]
    Runtime(#[source] io::Error),
    /// The interface was removed while the endpoint ran.
    #[error("the interface {0} is gone")]
    Gone(String),
}

/// The whole life of an endpoint's process whose options are in the folder `dir`: what a program's
/// subcommand `wireguard-endpoint DIR` has to call.
///
/// Leaves the session of whoever started it, so that a terminal's end does not reach it.
///
/// # Errors
/// It did not start, or its interface went away.
pub fn main(dir: &Path) -> Result<(), RunError> {
    // Fails only for the leader of a process group, and that one is nobody's child to be hung up.
    let _ = nix::unistd::setsid();
    let options = EndpointOptions::load(dir).map_err(RunError::Options)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(RunError::Runtime)?;
    runtime.block_on(run(options))
}

/// Runs an endpoint until it is asked to stop, on its control socket or by SIGTERM or SIGINT.
///
/// # Errors
/// It did not start, or its interface went away.
pub async fn run(options: EndpointOptions) -> Result<(), RunError> {
    options.validate().map_err(RunError::Options)?;
    let state = StateDir::create(&options.dir).map_err(RunError::State)?;
    let _lock = state.lock().map_err(RunError::State)?;
    let key = state
        .private_key(&mut rand::rng())
        .map_err(RunError::State)?;
    let process = ProcessName::own().map_err(RunError::Process)?;
    process.write(&state).map_err(RunError::State)?;

    let (uapi, uapi_server) = UapiServer::new();
    let device = Userspace::start(&options, &key, uapi_server)
        .await
        .map_err(RunError::Interface)?;
    let mut endpoint = Endpoint {
        public_key: key.public_key(),
        pid: process.pid,
        options,
        state,
        device,
        peers: PeerSet::new(),
    };
    endpoint.restore().await.map_err(RunError::State)?;
    let ended = endpoint.serve(uapi).await;
    endpoint.leave().await;
    ended
}

/// The owner of device and peers.
struct Endpoint {
    public_key: PublicKey,
    pid: u32,
    options: EndpointOptions,
    state: StateDir,
    device: Userspace,
    /// What is in force and written down.
    peers: PeerSet,
}

impl Endpoint {
    async fn restore(&mut self) -> Result<(), StateError> {
        let changes = Changes {
            add: self.state.peers()?,
            ..Changes::default()
        };
        let settled = settle(&PeerSet::new(), &changes, &self.public_key);
        for (peer, refusal) in &settled.refused {
            tracing::warn!(%peer, %refusal, "a peer was not restored");
        }
        self.device.apply(&self.peers, &settled.peers, &[]).await;
        self.peers = settled.peers;
        Ok(())
    }

    async fn serve(&mut self, uapi: UapiClient) -> Result<(), RunError> {
        let listen = |kind| signal(kind).map_err(RunError::Signals);
        let mut terminate = listen(SignalKind::terminate())?;
        let mut interrupt = listen(SignalKind::interrupt())?;
        // Taken and ignored: a terminal that goes away is no reason to end a network's tunnels.
        let _hangup: Signal = listen(SignalKind::hangup())?;
        listen_for_wg(listener(self.state.wg_socket())?, uapi);
        self.link()?;
        let (ask, mut asked) = mpsc::channel::<Asked>(64);
        listen_for_requests(listener(self.state.control_socket())?, ask);
        tracing::info!(
            interface = self.options.interface,
            port = self.options.listen_port,
            peers = self.peers.len(),
            public_key = %self.public_key,
            "the endpoint is up"
        );
        loop {
            tokio::select! {
                request = asked.recv() => match request {
                    Some((Request::Stop, answer)) => {
                        let _ = answer.send(Response::Ok(Value::Null));
                        return Ok(());
                    }
                    Some((request, answer)) => {
                        let response = self.obey(request).await;
                        // Whoever asked may be gone; what was asked is done all the same.
                        let _ = answer.send(response);
                    }
                    None => return Ok(()),
                },
                () = self.device.failed() => {
                    return Err(RunError::Gone(self.options.interface.clone()));
                }
                _ = terminate.recv() => return Ok(()),
                _ = interrupt.recv() => return Ok(()),
            }
        }
    }

    async fn obey(&mut self, request: Request) -> Response {
        let mut failed = Vec::new();
        let changes = match request {
            Request::Status { of } => return answer(&self.status(of.as_deref()).await),
            Request::Stop => return Response::Ok(Value::Null),
            Request::Apply {
                add,
                remove,
                change,
            } => Changes {
                add: read_peers(add, &mut failed),
                remove: read_keys(remove, &mut failed),
                change: read_peers(change, &mut failed),
            },
            Request::Replace { peers } => {
                let read = read_peers(peers, &mut failed);
                self.towards(read, &failed)
            }
        };
        match self.apply(&changes, failed).await {
            Ok(applied) => answer(&applied),
            Err(error) => Response::Error(with_causes(&error)),
        }
    }

    /// The changes that leave only the wanted peers. One that is wanted but made no sense stays as
    /// it is, if it is there: it is not one that has to go.
    fn towards(&self, wanted: Vec<Peer>, failed: &[Failure]) -> Changes {
        let kept = failed.iter().filter_map(|failure| {
            let key: PublicKey = failure.public_key.parse().ok()?;
            self.peers.get(&key).cloned()
        });
        let wanted = kept.chain(wanted).map(|peer| (peer.public_key, peer));
        plan(&self.peers, &wanted.collect())
    }

    async fn status(&self, of: Option<&[PublicKey]>) -> Status {
        let mut peers: Vec<PeerStatus> = self.device.peers().await;
        if let Some(of) = of {
            peers.retain(|peer| of.contains(&peer.public_key));
        }
        Status {
            pid: self.pid,
            backend: Backend::Userspace,
            public_key: self.public_key,
            options: self.options.clone(),
            peers,
        }
    }

    /// First in force, then written down: if writing fails, the caller is told and asks again.
    async fn apply(
        &mut self,
        changes: &Changes,
        mut failed: Vec<Failure>,
    ) -> Result<Applied, StateError> {
        let settled = settle(&self.peers, changes, &self.public_key);
        let before = std::mem::replace(&mut self.peers, settled.peers);
        self.device
            .apply(&before, &self.peers, &changes.remove)
            .await;
        self.state.write_peers(&self.peers)?;
        failed.extend(settled.refused.into_iter().map(|(key, refusal)| Failure {
            public_key: key.to_string(),
            reason: refusal.to_string(),
        }));
        tracing::info!(
            peers = self.peers.len(),
            failed = failed.len(),
            "applied changes"
        );
        Ok(Applied {
            peers: self.peers.len(),
            failed,
        })
    }

    /// Puts the socket for `wg` where `wg` looks for it.
    fn link(&self) -> Result<(), RunError> {
        let Some(path) = &self.options.wg_link else {
            return Ok(());
        };
        let linked = match fs::symlink_metadata(path) {
            // A link of an earlier run; anything else is somebody else's and stays.
            Ok(there) if there.is_symlink() => fs::remove_file(path),
            _ => path.parent().map_or(Ok(()), fs::create_dir_all),
        };
        linked
            .and_then(|()| std::os::unix::fs::symlink(self.state.wg_socket(), path))
            .map_err(|source| RunError::Link {
                path: path.clone(),
                source,
            })
    }

    async fn leave(self) {
        let sockets = [self.state.control_socket(), self.state.wg_socket()];
        let link = self.options.wg_link.iter().filter(|path| path.is_symlink());
        for path in sockets.iter().chain(link) {
            if let Err(error) = fs::remove_file(path) {
                tracing::debug!(path = %path.display(), %error, "left behind");
            }
        }
        self.device.stop().await;
        tracing::info!("the endpoint is down");
    }
}

fn listener(path: PathBuf) -> Result<UnixListener, RunError> {
    bind(&path).map_err(|source| RunError::Listen { path, source })
}

fn answer(value: &impl Serialize) -> Response {
    match serde_json::to_value(value) {
        Ok(value) => Response::Ok(value),
        Err(error) => Response::Error(error.to_string()),
    }
}

fn read_peers(values: Vec<Value>, failed: &mut Vec<Failure>) -> Vec<Peer> {
    let mut peers = Vec::with_capacity(values.len());
    for value in values {
        let name = value.get("public_key").and_then(Value::as_str);
        let name = name.unwrap_or_default().to_owned();
        match serde_json::from_value(value) {
            Ok(peer) => peers.push(peer),
            Err(error) => failed.push(Failure {
                public_key: name,
                reason: error.to_string(),
            }),
        }
    }
    peers
}

fn read_keys(values: Vec<Value>, failed: &mut Vec<Failure>) -> Vec<PublicKey> {
    let mut keys = Vec::with_capacity(values.len());
    for value in values {
        let name = value.as_str().unwrap_or_default().to_owned();
        match serde_json::from_value(value) {
            Ok(key) => keys.push(key),
            Err(error) => failed.push(Failure {
                public_key: name,
                reason: error.to_string(),
            }),
        }
    }
    keys
}

/// An error with all that led to it, for the other side of the socket.
fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
