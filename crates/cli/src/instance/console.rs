//! `rhyzome instance console`: a terminal at a guest's serial console.

use bytes::Bytes;
use clap::Args;
use clap_complete::ArgValueCandidates;
use rhyzome_client::{ConsoleEvent, ConsoleMessage, ConsoleMode, ConsoleSocket};
use rhyzome_model::Name;
use tokio::io::{AsyncReadExt, AsyncWriteExt, stdin, stdout};
use tokio::signal::unix::{SignalKind, signal};

use super::logs::Logs;
use super::terminal::{self, Raw};
use crate::complete;
use crate::failure::Failure;
use crate::output::Mode;
use crate::session::Cx;

/// Ctrl-], as in `telnet` and `virsh`.
const DETACH: u8 = 0x1d;
const CTRL_C: u8 = 0x03;
/// How much of what was written before is shown.
const BEFORE: u32 = 8 << 10;

#[derive(Debug, Args)]
pub struct Console {
    #[arg(value_name = "NAME", add = ArgValueCandidates::new(complete::instances))]
    name: Name,
    /// Only read.
    #[arg(long)]
    read_only: bool,
    /// If somebody else writes, take over: they only read from then on.
    #[arg(long, conflicts_with = "read_only")]
    take: bool,
    /// As `rhyzome instance logs` has it, which is what is done then.
    #[arg(long, short, hide = true)]
    follow: bool,
    #[arg(long, value_name = "COUNT", hide = true)]
    bytes: Option<u32>,
    #[arg(long, hide = true)]
    raw: bool,
}

impl Console {
    pub async fn run(self, cx: &Cx) -> Result<(), Failure> {
        let log = self.follow || self.raw || self.bytes.is_some();
        let asked = self.take || self.read_only;
        if log || cx.output.mode == Mode::Json || !(asked || terminal::is_there()) {
            let logs = Logs::new(self.name, self.follow, self.bytes, self.raw);
            return logs.run(cx).await;
        }
        let mode = match (self.read_only, self.take) {
            (true, _) => ConsoleMode::Read,
            (_, true) => ConsoleMode::Take,
            _ => ConsoleMode::Write,
        };
        let instances = cx.session()?.scope.instance();
        let attached = instances.console_attach(&self.name, mode, BEFORE).await;
        let socket = attached.map_err(|error| taken(error, mode))?;
        attach(cx, &self.name, socket).await
    }
}

/// A console that somebody else writes to is told so with what to do.
fn taken(error: rhyzome_client::Error, mode: ConsoleMode) -> Failure {
    match error.problem() {
        Some(problem) if problem.code == "in_use" && mode == ConsoleMode::Write => {
            Failure::ConsoleTaken(problem.detail.clone())
        }
        _ => error.into(),
    }
}

/// Why it ended.
enum End {
    Detached,
    Gone,
}

async fn attach(cx: &Cx, name: &Name, mut socket: ConsoleSocket) -> Result<(), Failure> {
    cx.output.note(&format!(
        "attached to the console of {name}; Ctrl-] detaches"
    ));
    let raw = terminal::is_there().then(Raw::begin).transpose()?;
    let outcome = talk(&mut socket).await;
    drop(raw);
    let end = outcome?;
    socket.close().await;
    match end {
        End::Detached => cx.output.note("\ndetached; the instance goes on"),
        End::Gone => cx.output.note("\nthe console is not there any more"),
    }
    Ok(())
}

async fn talk(socket: &mut ConsoleSocket) -> Result<End, Failure> {
    let failed = |source| Failure::Output { source };
    let (mut keys, mut screen) = (stdin(), stdout());
    let mut buffer = [0; 4096];
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    let mut hangup = signal(SignalKind::hangup()).map_err(failed)?;
    let (mut writing, mut typing) = (false, true);
    loop {
        tokio::select! {
            message = socket.next() => match message? {
                None => return Ok(End::Gone),
                Some(ConsoleMessage::Bytes(bytes)) => {
                    screen.write_all(&bytes).await.map_err(failed)?;
                    screen.flush().await.map_err(failed)?;
                }
                Some(ConsoleMessage::Event(event)) => {
                    if let Some(text) = told(&event, &mut writing) {
                        eprint!("\r\n[{text}]\r\n");
                    }
                }
            },
            count = keys.read(&mut buffer), if typing => {
                let count = count.map_err(failed)?;
                // Where the input ends, the output may go on.
                typing = count > 0;
                let (typed, detach) = until_detached(&buffer[..count], writing);
                if writing && !typed.is_empty() {
                    socket.write(Bytes::copy_from_slice(typed)).await?;
                }
                if detach {
                    return Ok(End::Detached);
                }
            }
            _ = terminate.recv() => return Ok(End::Detached),
            _ = hangup.recv() => return Ok(End::Detached),
        }
    }
}

/// What is to be typed, and whether that was the end. Who only reads gets away by Ctrl-C, too.
fn until_detached(keys: &[u8], writing: bool) -> (&[u8], bool) {
    let ends = |key: &u8| *key == DETACH || (!writing && *key == CTRL_C);
    match keys.iter().position(ends) {
        Some(at) => (&keys[..at], true),
        None => (keys, false),
    }
}

/// What a person is told of an event, if anything.
fn told(event: &ConsoleEvent, was_writing: &mut bool) -> Option<String> {
    let (writing, writer) = match event {
        ConsoleEvent::Lost { bytes } => return Some(format!("{bytes} bytes were lost")),
        ConsoleEvent::Attached {
            writing, writer, ..
        }
        | ConsoleEvent::Writer { writing, writer } => (*writing, writer.as_deref()),
    };
    let before = std::mem::replace(was_writing, writing);
    let first = matches!(event, ConsoleEvent::Attached { .. });
    match (writing, writer) {
        (true, _) => None,
        (false, Some(who)) if before => Some(format!("{who} took over; you only read now")),
        (false, Some(who)) => Some(format!("{who} writes; you only read")),
        (false, None) if first => Some("you only read".to_owned()),
        (false, None) => Some("nobody writes any more".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ctrl_bracket_detaches_and_ctrl_c_only_who_does_not_write() {
        assert_eq!(until_detached(b"ls\r", true), (b"ls\r".as_slice(), false));
        assert_eq!(until_detached(b"a\x1db", true), (b"a".as_slice(), true));
        assert_eq!(until_detached(b"\x03", true), (b"\x03".as_slice(), false));
        assert_eq!(until_detached(b"\x03", false), (b"".as_slice(), true));
    }

    #[test]
    fn whoever_loses_the_console_is_told_to_whom() {
        let mut writing = false;
        let attached = ConsoleEvent::Attached {
            position: 0,
            writing: true,
            writer: Some("ann".to_owned()),
        };
        assert_eq!(told(&attached, &mut writing), None);
        let taken = ConsoleEvent::Writer {
            writing: false,
            writer: Some("bob".to_owned()),
        };
        let text = told(&taken, &mut writing);
        assert_eq!(text.as_deref(), Some("bob took over; you only read now"));
    }
}
