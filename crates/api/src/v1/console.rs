//! Instances' serial consoles: their last bytes, as they come, and both ways.

use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade, close_code};
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use rhyzome_app as app;
use rhyzome_app::consoles::Writer;
use rhyzome_app::instance::attach::{self, Attached, Mode};
use rhyzome_model::Name;
use rhyzome_model::console::{ConsoleFrom, ConsolePiece};
use rhyzome_wire::console::ConsoleEvent;
use serde::Deserialize;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::context::{Api, Context};
use crate::extract::{Path, Query};
use crate::limits::Held;
use crate::problem::{Failure, Refused};

/// How often it is asked whether a caller may still be attached.
const ASK_AGAIN: Duration = Duration::from_secs(1);
/// How often an attached caller is asked for a sign of life, and after how long without one it is gone:
/// what it held to write is then free.
const PING: Duration = Duration::from_secs(15);
const GONE: Duration = Duration::from_secs(45);
/// How long an attached caller may take to take what is sent.
const TAKE_WITHIN: Duration = Duration::from_secs(20);
/// The header that says the position of a stream's first byte.
const POSITION: &str = "x-console-position";
/// The header that says how many of a stream's first bytes were recorded before it began.
const RECORDED: &str = "x-console-recorded";

pub fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(show))
        .routes(routes!(attach))
}

/// How much of a console.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct ConsoleQuery {
    /// How many of the last bytes: 1 to 1048576.
    #[serde(default)]
    #[param(value_type = u32, minimum = 1, maximum = 1048576, default = 65536, required = false)]
    bytes: ConsoleBytes,
    /// `true`: go on with what it writes, until the caller ends the stream. The header
    /// `X-Console-Position` then says the position of the first byte, and `X-Console-Recorded` how many
    /// bytes had been written before.
    #[serde(default)]
    #[param(default = false, required = false)]
    follow: bool,
    /// Following, begin at this position (or the first byte behind it that is kept) instead.
    #[serde(default)]
    #[param(value_type = Option<u64>, minimum = 0, required = false)]
    from: Option<u64>,
}

/// A number of a console's last bytes.
#[derive(Debug, Deserialize)]
#[serde(try_from = "String")]
struct ConsoleBytes(u32);

impl Default for ConsoleBytes {
    fn default() -> Self {
        Self(64 << 10)
    }
}

impl TryFrom<String> for ConsoleBytes {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        match text.parse() {
            Ok(bytes) if (1..=1 << 20).contains(&bytes) => Ok(Self(bytes)),
            _ => Err(format!("{text:?} is no number from 1 to 1048576")),
        }
    }
}

/// Shows the last bytes of an instance's serial console, and goes on with what it writes if asked.
#[utoipa::path(get, path = "/v1/projects/{project}/instances/{name}/console", operation_id = "instance_console", tag = "instances",
    params(ConsoleQuery),
    responses((status = 200, body = String, content_type = "text/plain")))]
async fn show(
    cx: Context,
    Path((project, name)): Path<(Name, Name)>,
    Query(query): Query<ConsoleQuery>,
) -> Result<Response, Failure> {
    let kind = (CONTENT_TYPE, "text/plain; charset=utf-8");
    if !query.follow {
        if query.from.is_some() {
            return Err(Refused::Invalid {
                field: "from".to_owned(),
                detail: "a position is for following: follow=true".to_owned(),
            }
            .into());
        }
        let bytes = query.bytes.0;
        let bytes = app::instance::console(cx.core(), &cx.caller, &project, &name, bytes).await?;
        return Ok(([kind], bytes).into_response());
    }
    let from = match query.from {
        Some(position) => ConsoleFrom::Position(position),
        None => ConsoleFrom::Last(query.bytes.0),
    };
    let target = Target::new(cx, project, name)?;
    let attached = target.attach(from, Mode::Read).await?;
    let position = attached.first.position.to_string();
    let recorded = attached.first.bytes.len().to_string();
    let reader = Reader::new(target, attached);
    let pieces = futures::stream::unfold(reader, |mut reader| async move {
        let piece = reader.next().await?;
        Some((
            Ok::<_, std::convert::Infallible>(Bytes::from(piece.bytes)),
            reader,
        ))
    });
    let headers = [
        (kind.0.as_str(), kind.1.to_owned()),
        (POSITION, position),
        (RECORDED, recorded),
    ];
    Ok((headers, Body::from_stream(pieces)).into_response())
}

/// How to attach.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct AttachQuery {
    /// Whether to write, too: one caller at a time does.
    #[serde(default)]
    #[param(default = "read", required = false)]
    #[param(inline)]
    mode: AttachMode,
    /// How many of the last bytes to begin with: 1 to 1048576.
    #[serde(default)]
    #[param(value_type = u32, minimum = 1, maximum = 1048576, default = 65536, required = false)]
    bytes: ConsoleBytes,
    /// The position to begin at (or the first byte behind it that is kept) instead.
    #[serde(default)]
    #[param(value_type = Option<u64>, minimum = 0, required = false)]
    from: Option<u64>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum AttachMode {
    #[default]
    Read,
    /// Refused with `in_use` while another caller writes.
    Write,
    /// Whoever writes now only reads from then on.
    Take,
}

/// Attaches to an instance's serial console, as a WebSocket (RFC 6455): binary messages are bytes, both
/// ways; text messages are JSON, from the core only, and say what happens (`event`): `attached`, `lost`,
/// `writer`.
#[utoipa::path(get, path = "/v1/projects/{project}/instances/{name}/console/attach", operation_id = "instance_console_attach", tag = "instances",
    params(AttachQuery),
    responses((status = 101, description = "It is attached")))]
async fn attach(
    cx: Context,
    Path((project, name)): Path<(Name, Name)>,
    Query(query): Query<AttachQuery>,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, Failure> {
    attach::attachable(cx.core(), &cx.caller, &project, &name).await?;
    let upgrade = upgrade.map_err(|rejection| Refused::Invalid {
        field: "Upgrade".to_owned(),
        detail: format!("this is a WebSocket: {}", rejection.body_text()),
    })?;
    let from = match query.from {
        Some(position) => ConsoleFrom::Position(position),
        None => ConsoleFrom::Last(query.bytes.0),
    };
    let mode = match query.mode {
        AttachMode::Read => Mode::Read,
        AttachMode::Write => Mode::Write,
        AttachMode::Take => Mode::Take,
    };
    let target = Target::new(cx, project, name)?;
    let attached = target.attach(from, mode).await?;
    let upgrade = upgrade.max_message_size(1 << 20).write_buffer_size(0);
    Ok(upgrade.on_upgrade(move |socket| talk(Reader::new(target, attached), socket)))
}

/// Whose console, and who wants to see it.
struct Target {
    cx: Context,
    project: Name,
    name: Name,
    _open: Held,
}

impl Target {
    fn new(cx: Context, project: Name, name: Name) -> Result<Self, Failure> {
        let open = cx.api.limits.streams.open(cx.caller.credential)?;
        Ok(Self {
            cx,
            project,
            name,
            _open: open,
        })
    }

    async fn attach(&self, from: ConsoleFrom, mode: Mode) -> Result<Attached, app::Error> {
        let target = (&self.project, &self.name);
        attach::attach(self.cx.core(), &self.cx.caller, target, from, mode).await
    }

    /// Whether the caller may still see this console. Where nobody can be asked, the stream stays.
    async fn is_allowed(&self, attached: &Attached) -> bool {
        let core = self.cx.core();
        let asked = async {
            let caller = self.cx.again().await?;
            attach::attachable(core, &caller, &self.project, &self.name).await
        };
        match asked.await {
            Ok(found) => found.id == attached.instance,
            Err(error) => matches!(error.kind(), app::Kind::Unavailable | app::Kind::Internal),
        }
    }
}

/// A stream of pieces that ends when the caller may not see it any more or the core stops.
struct Reader {
    target: Target,
    attached: Attached,
    first: Option<ConsolePiece>,
    ask: Interval,
}

impl Reader {
    fn new(target: Target, mut attached: Attached) -> Self {
        let first = ConsolePiece {
            position: attached.first.position,
            bytes: std::mem::take(&mut attached.first.bytes),
        };
        let mut ask = interval(ASK_AGAIN);
        ask.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self {
            target,
            attached,
            first: Some(first),
            ask,
        }
    }

    /// The next piece. May be dropped half-way.
    async fn next(&mut self) -> Option<ConsolePiece> {
        if let Some(first) = self.first.take() {
            return Some(first);
        }
        loop {
            tokio::select! {
                piece = self.attached.stream.output.recv() => return piece?.ok(),
                _ = self.ask.tick() => {
                    if !self.target.is_allowed(&self.attached).await {
                        return None;
                    }
                }
                () = self.target.cx.api.stopping.cancelled() => return None,
            }
        }
    }

    fn writer(&self) -> Option<Writer> {
        let consoles = &self.target.cx.core().consoles;
        consoles.writer(self.attached.instance)
    }
}

/// Both ways, until either side has enough.
async fn talk(reader: Reader, socket: WebSocket) {
    let writer = told(reader.writer());
    let mut talk = Talk {
        position: reader.attached.first.position,
        reader,
        socket,
        writer,
        typed: None,
        heard: Instant::now(),
        pinged: Instant::now(),
    };
    // However it ended, there is nobody left to be told.
    let _ = talk.run().await;
}

/// One caller that is attached.
struct Talk {
    reader: Reader,
    socket: WebSocket,
    /// Of the next byte.
    position: u64,
    /// Who the caller was told writes.
    writer: Option<String>,
    /// What was typed and the guest has not taken: the caller is not read from meanwhile.
    typed: Option<Bytes>,
    heard: Instant,
    pinged: Instant,
}

impl Talk {
    async fn run(&mut self) -> Result<(), ()> {
        let attached = ConsoleEvent::Attached {
            position: self.position,
            writing: self.reader.attached.writing.is_some(),
            writer: self.writer.clone(),
        };
        say(&mut self.socket, event(&attached)).await?;
        let mut ticks = interval(ASK_AGAIN);
        let input = self.reader.attached.stream.input.clone();
        loop {
            let lost = self.reader.attached.writing.as_ref();
            let lost = lost.map(|writing| writing.lost.clone());
            tokio::select! {
                piece = self.reader.next() => match piece {
                    Some(piece) => pass(&mut self.socket, piece, &mut self.position).await?,
                    None => return self.close().await,
                },
                message = self.socket.recv(), if self.typed.is_none() => self.hear(message)?,
                permit = input.reserve(), if self.typed.is_some() => {
                    permit.map_err(drop)?.send(self.typed.take().unwrap_or_default().into());
                }
                () = taken_over(lost) => {
                    self.reader.attached.writing = None;
                    // Said even where it is the same person elsewhere.
                    self.writer = None;
                }
                _ = ticks.tick() => self.keep_alive().await?,
            }
            self.tell_writer().await?;
        }
    }

    /// What is typed without the right to write goes nowhere.
    fn hear(&mut self, message: Option<Result<Message, axum::Error>>) -> Result<(), ()> {
        self.heard = Instant::now();
        match message {
            Some(Ok(Message::Binary(bytes))) => {
                self.typed = Some(bytes).filter(|_| self.reader.attached.writing.is_some());
                Ok(())
            }
            Some(Ok(Message::Text(_) | Message::Ping(_) | Message::Pong(_))) => Ok(()),
            Some(Ok(Message::Close(_)) | Err(_)) | None => Err(()),
        }
    }

    async fn keep_alive(&mut self) -> Result<(), ()> {
        if self.typed.is_none() && self.heard.elapsed() > GONE {
            return Err(());
        }
        if self.pinged.elapsed() > PING {
            self.pinged = Instant::now();
            say(&mut self.socket, Message::Ping(Bytes::new())).await?;
        }
        Ok(())
    }

    async fn tell_writer(&mut self) -> Result<(), ()> {
        let now = told(self.reader.writer());
        if now == self.writer {
            return Ok(());
        }
        self.writer.clone_from(&now);
        let writing = self.reader.attached.writing.is_some();
        let changed = ConsoleEvent::Writer {
            writing,
            writer: now,
        };
        say(&mut self.socket, event(&changed)).await
    }

    async fn close(&mut self) -> Result<(), ()> {
        let close = CloseFrame {
            code: close_code::AWAY,
            reason: "the console is not there any more".into(),
        };
        say(&mut self.socket, Message::Close(Some(close))).await
    }
}

async fn pass(socket: &mut WebSocket, piece: ConsolePiece, position: &mut u64) -> Result<(), ()> {
    if piece.position != *position {
        let bytes = piece.position.saturating_sub(*position);
        say(socket, event(&ConsoleEvent::Lost { bytes })).await?;
    }
    *position = piece.position + piece.bytes.len() as u64;
    if piece.bytes.is_empty() {
        return Ok(());
    }
    say(socket, Message::Binary(piece.bytes.into())).await
}

async fn taken_over(lost: Option<tokio_util::sync::CancellationToken>) {
    match lost {
        Some(lost) => lost.cancelled().await,
        None => std::future::pending().await,
    }
}

fn told(writer: Option<Writer>) -> Option<String> {
    writer.map(|writer| writer.name)
}

fn event(event: &ConsoleEvent) -> Message {
    let text = serde_json::to_string(event).expect("an event is plain data");
    Message::Text(text.into())
}

async fn say(socket: &mut WebSocket, message: Message) -> Result<(), ()> {
    match tokio::time::timeout(TAKE_WITHIN, socket.send(message)).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) | Err(_) => Err(()),
    }
}
