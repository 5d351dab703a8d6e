//! Consoles of instances: as they come, and both ways.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures::{SinkExt, StreamExt};
use reqwest::header::{CONNECTION, UPGRADE};
use reqwest::{Method, StatusCode, Upgraded};
use rhyzome_model::Name;
use rhyzome_model::console::ConsoleFrom;
pub use rhyzome_wire::console::ConsoleEvent;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::Role;

use crate::{Error, Instances};

/// The core asks for a sign of life more often than that.
const SILENCE: Duration = Duration::from_secs(60);

/// Whether to write to a console, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConsoleMode {
    Read,
    /// Refused with `in_use` while somebody else writes.
    Write,
    /// Whoever writes now only reads from then on.
    Take,
}

impl ConsoleMode {
    fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Take => "take",
        }
    }
}

/// What an instance writes from now on.
pub struct ConsoleLog {
    /// Of the next byte.
    pub position: u64,
    /// How many of the first bytes had been written before.
    pub recorded: u64,
    response: reqwest::Response,
}

/// A console that this is attached to.
pub struct ConsoleSocket(WebSocketStream<Upgraded>);

/// What comes out of a console.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConsoleMessage {
    Bytes(Bytes),
    Event(ConsoleEvent),
}

impl Instances {
    /// What the instance writes, from a position on, until either side ends it.
    pub async fn console_follow(
        &self,
        name: &Name,
        from: ConsoleFrom,
    ) -> Result<ConsoleLog, Error> {
        let call = self.client.get(&format!("{}/console", self.at(name)));
        let call = match from {
            ConsoleFrom::Position(position) => call.query("from", position),
            ConsoleFrom::Last(bytes) => call.query("bytes", bytes.clamp(1, 1 << 20)),
        };
        let response = call.query("follow", true).stream().await?;
        let number = |header: &str| {
            let value = response.headers().get(header)?;
            value.to_str().ok()?.parse().ok()
        };
        Ok(ConsoleLog {
            position: number("x-console-position").unwrap_or(0),
            recorded: number("x-console-recorded").unwrap_or(0),
            response,
        })
    }

    /// Attaches to the console.
    pub async fn console_attach(
        &self,
        name: &Name,
        mode: ConsoleMode,
        bytes: u32,
    ) -> Result<ConsoleSocket, Error> {
        let key = STANDARD.encode(uuid::Uuid::new_v4().as_bytes());
        let call = self
            .client
            .call(Method::GET, &format!("{}/console/attach", self.at(name)))
            .query("mode", mode.as_str())
            .query("bytes", bytes.clamp(1, 1 << 20))
            .header(CONNECTION, "upgrade")
            .header(UPGRADE, "websocket")
            .header(reqwest::header::SEC_WEBSOCKET_VERSION, "13")
            .header(reqwest::header::SEC_WEBSOCKET_KEY, &key);
        let upgraded = call.upgrade(StatusCode::SWITCHING_PROTOCOLS).await?;
        let socket = WebSocketStream::from_raw_socket(upgraded, Role::Client, None).await;
        Ok(ConsoleSocket(socket))
    }
}

impl ConsoleLog {
    /// The next bytes; none at the end.
    pub async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        let piece = self.response.chunk().await;
        let piece = piece.map_err(|source| Error::Console {
            why: source.without_url().to_string(),
        })?;
        if let Some(piece) = &piece {
            self.position += piece.len() as u64;
        }
        Ok(piece)
    }
}

impl ConsoleSocket {
    /// What comes next; none when the console is not there any more. May be dropped half-way.
    pub async fn next(&mut self) -> Result<Option<ConsoleMessage>, Error> {
        loop {
            let next = tokio::time::timeout(SILENCE, self.0.next()).await;
            let Some(message) = next.map_err(|_| broken("the core is silent"))? else {
                return Ok(None);
            };
            match message.map_err(broken)? {
                Message::Binary(bytes) => return Ok(Some(ConsoleMessage::Bytes(bytes))),
                Message::Text(text) => {
                    // What a newer core says besides is passed over.
                    if let Ok(event) = serde_json::from_str(&text) {
                        return Ok(Some(ConsoleMessage::Event(event)));
                    }
                }
                Message::Close(_) => return Ok(None),
                Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => {}
            }
        }
    }

    /// Types.
    pub async fn write(&mut self, bytes: Bytes) -> Result<(), Error> {
        self.0.send(Message::Binary(bytes)).await.map_err(broken)
    }

    /// Detaches in good order.
    pub async fn close(mut self) {
        // Gone either way.
        let _ = self.0.close(None).await;
    }
}

fn broken(why: impl ToString) -> Error {
    Error::Console {
        why: why.to_string(),
    }
}
