//! The endpoint's own protocol: one JSON object a line, a request and its answer.
//!
//! `{"op":"status"}`, `{"op":"status","of":[…]}`, `{"op":"apply","add":[…],"remove":[…],"change":[…]}`,
//! `{"op":"replace","peers":[…]}`, `{"op":"stop"}`. The answer is `{"ok":…}` or `{"error":"…"}`. Peers in a request are read one by one: one that makes
//! no sense is reported and the others are taken. A line that its writer did not end is not obeyed.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ipnet::IpNet;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::time::timeout;

use super::state::StateDir;
use super::{Backend, CONNECTED_MS, EndpointOptions};
use crate::key::PublicKey;
use crate::peers::{Changes, Peer};

/// The longest line taken, in bytes: room for a hundred thousand peers.
pub(super) const MAX_LINE: u64 = 64 << 20;

/// How long connecting, and an answer to a question, may take. On a host where all was busy, one that only waited for a
/// processor did not answer within 3 s; and one that is replaced loses its peers' sessions.
const ANSWER: Duration = Duration::from_secs(10);

/// How long hearing that it is to end may take: a signal says the same.
const HEARD: Duration = Duration::from_secs(3);

/// How long applying changes may take. A thousand peers take a tenth of a second.
const APPLY: Duration = Duration::from_secs(30);

/// What an endpoint does now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// The process.
    pub pid: u32,
    /// What moves the packets.
    pub backend: Backend,
    /// The endpoint's public key, for the clients' configurations.
    pub public_key: PublicKey,
    /// What it was started with.
    pub options: EndpointOptions,
    /// The peers in force, by key.
    pub peers: Vec<PeerStatus>,
}

/// One peer in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerStatus {
    /// The device's public key.
    pub public_key: PublicKey,
    /// The addresses it may use.
    pub allowed_ips: BTreeSet<IpNet>,
    /// Whether there is a preshared key. The key itself is not told.
    pub preshared_key: bool,
    /// Seconds between keepalives to it.
    pub keepalive: Option<u16>,
    /// Where it was last heard from, or is configured to be.
    pub endpoint: Option<SocketAddr>,
    /// Milliseconds since the last handshake; none if there was none since the process started or
    /// the peer was added.
    pub last_handshake_ms: Option<u64>,
    /// Bytes received from it.
    pub rx_bytes: u64,
    /// Bytes sent to it.
    pub tx_bytes: u64,
}

impl PeerStatus {
    /// Whether the last handshake is recent enough for a session.
    pub fn connected(&self) -> bool {
        self.last_handshake_ms.is_some_and(|age| age < CONNECTED_MS)
    }
}

/// What became of a request for changes. It is in force, and written down, when this is read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Applied {
    /// How many peers are in force now.
    pub peers: usize,
    /// The peers that were not taken. All others were.
    pub failed: Vec<Failure>,
}

/// A peer that was not taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// Its public key as it was given, which may be what is wrong with it.
    pub public_key: String,
    /// Why, for people.
    pub reason: String,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "lowercase")]
pub(super) enum Request {
    Status {
        /// Only these peers are told of; all where there is none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        of: Option<Vec<PublicKey>>,
    },
    Apply {
        #[serde(default)]
        add: Vec<Value>,
        #[serde(default)]
        remove: Vec<Value>,
        #[serde(default)]
        change: Vec<Value>,
    },
    Replace {
        peers: Vec<Value>,
    },
    Stop,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Response {
    Ok(Value),
    Error(String),
}

/// Why an endpoint did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// Nothing listens on the control socket.
    #[error("no endpoint answers at {path}")]
    Connect {
        /// The socket.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The connection broke.
    #[error("the connection to the endpoint broke")]
    Io(#[source] std::io::Error),
    /// No answer came in time. Whether the request was obeyed is not known.
    #[error("the endpoint did not answer within {}s", .0.as_secs())]
    Timeout(Duration),
    /// The endpoint closed the connection instead of answering.
    #[error("the endpoint closed the connection without an answer")]
    Closed,
    /// The request cannot be written as JSON.
    #[error("the request cannot be written")]
    Request(#[source] serde_json::Error),
    /// The answer is not what was expected: another version's, maybe.
    #[error("the endpoint's answer makes no sense")]
    Answer(#[source] serde_json::Error),
    /// The endpoint refused, or failed.
    #[error("the endpoint says: {0}")]
    Refused(String),
}

/// A connection to a running endpoint.
#[derive(Debug)]
pub struct Control {
    stream: BufReader<UnixStream>,
}

impl Control {
    /// Connects to the endpoint of the folder `dir`.
    ///
    /// # Errors
    /// Nobody listens there.
    pub async fn connect(dir: &Path) -> Result<Self, ControlError> {
        let path = StateDir::at(dir).control_socket();
        match timeout(ANSWER, UnixStream::connect(&path)).await {
            Ok(Ok(stream)) => Ok(Self {
                stream: BufReader::new(stream),
            }),
            Ok(Err(source)) => Err(ControlError::Connect { path, source }),
            Err(_) => Err(ControlError::Timeout(ANSWER)),
        }
    }

    /// Asks what the endpoint does.
    ///
    /// # Errors
    /// No answer, or none that makes sense.
    pub async fn status(&mut self) -> Result<Status, ControlError> {
        self.ask(&Request::Status { of: None }, ANSWER).await
    }

    /// As [`Self::status`], with no peers but these: with a thousand, that is most of the work.
    ///
    /// # Errors
    /// No answer, or none that makes sense.
    pub async fn status_of(&mut self, peers: &[PublicKey]) -> Result<Status, ControlError> {
        let of = Some(peers.to_vec());
        let mut status: Status = self.ask(&Request::Status { of }, ANSWER).await?;
        // One of an earlier version, which still runs, tells of all.
        status.peers.retain(|peer| peers.contains(&peer.public_key));
        Ok(status)
    }

    /// Asks for changes. They are in force when this returns, except for the peers it names.
    ///
    /// # Errors
    /// No answer: then what was done is not known, and the request may be repeated.
    pub async fn apply(&mut self, changes: &Changes) -> Result<Applied, ControlError> {
        let keys = changes.remove.iter();
        let request = Request::Apply {
            add: values(&changes.add)?,
            remove: keys.map(|key| Value::String(key.to_string())).collect(),
            change: values(&changes.change)?,
        };
        self.ask(&request, APPLY).await
    }

    /// Asks that these be the peers, and no others. Those that are there already are not touched;
    /// the rest is as with [`Self::apply`].
    ///
    /// # Errors
    /// No answer: then what was done is not known, and the request may be repeated.
    pub async fn replace<'a>(
        &mut self,
        peers: impl IntoIterator<Item = &'a Peer>,
    ) -> Result<Applied, ControlError> {
        let peers = values(peers)?;
        self.ask(&Request::Replace { peers }, APPLY).await
    }

    /// Asks the endpoint to end. It has heard when this returns, and ends soon after.
    ///
    /// # Errors
    /// No answer.
    pub async fn stop(&mut self) -> Result<(), ControlError> {
        self.ask(&Request::Stop, HEARD).await
    }

    async fn ask<T: DeserializeOwned>(
        &mut self,
        request: &Request,
        bound: Duration,
    ) -> Result<T, ControlError> {
        match timeout(bound, self.exchange(request)).await {
            Ok(Ok(Response::Ok(value))) => {
                serde_json::from_value(value).map_err(ControlError::Answer)
            }
            Ok(Ok(Response::Error(reason))) => Err(ControlError::Refused(reason)),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(ControlError::Timeout(bound)),
        }
    }

    async fn exchange(&mut self, request: &Request) -> Result<Response, ControlError> {
        let mut line = serde_json::to_vec(request).map_err(ControlError::Request)?;
        line.push(b'\n');
        let sent = self.stream.write_all(&line).await;
        sent.map_err(ControlError::Io)?;
        let answer = read_line(&mut self.stream)
            .await
            .map_err(ControlError::Io)?;
        let answer = answer.ok_or(ControlError::Closed)?;
        serde_json::from_slice(&answer).map_err(ControlError::Answer)
    }
}

fn values<'a>(peers: impl IntoIterator<Item = &'a Peer>) -> Result<Vec<Value>, ControlError> {
    let values = peers.into_iter().map(serde_json::to_value);
    values
        .collect::<Result<_, _>>()
        .map_err(ControlError::Request)
}

/// The next complete line; none at the end, also if it comes in the middle of a line.
pub(super) async fn read_line(
    stream: &mut (impl AsyncBufReadExt + Unpin),
) -> std::io::Result<Option<Vec<u8>>> {
    let mut line = Vec::new();
    stream.take(MAX_LINE).read_until(b'\n', &mut line).await?;
    Ok((line.pop() == Some(b'\n')).then_some(line))
}
