//! `rhyzome instance logs`: what a guest wrote to its serial console, once or as it comes.

use std::time::Duration;

use clap::Args;
use clap_complete::ArgValueCandidates;
use rhyzome_client::{ConsoleLog, Instances};
use rhyzome_model::Name;
use rhyzome_model::console::ConsoleFrom;

use crate::complete;
use crate::failure::Failure;
use crate::output::Mode;
use crate::session::Cx;

/// How long a pause follows when a followed console broke off.
const PAUSE: Duration = Duration::from_secs(1);
/// All that is kept of a console, and what is shown if nothing is said.
const ALL: u32 = 1 << 20;
const USUAL: u32 = 64 << 10;

#[derive(Debug, Args)]
pub struct Logs {
    #[arg(value_name = "NAME", add = ArgValueCandidates::new(complete::instances))]
    name: Name,
    /// Go on with what it writes.
    #[arg(long, short)]
    follow: bool,
    /// How many of the last lines to begin with.
    #[arg(long, short = 'n', value_name = "COUNT")]
    lines: Option<usize>,
    /// How many of the last bytes to begin with.
    #[arg(long, value_name = "COUNT", conflicts_with = "lines")]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=1 << 20))]
    bytes: Option<u32>,
    /// Print the guest's bytes as they are: it may then give this terminal orders.
    #[arg(long)]
    raw: bool,
}

impl Logs {
    pub fn new(name: Name, follow: bool, bytes: Option<u32>, raw: bool) -> Self {
        Self {
            name,
            follow,
            lines: None,
            bytes,
            raw,
        }
    }

    pub async fn run(self, cx: &Cx) -> Result<(), Failure> {
        let instances = cx.session()?.scope.instance();
        let tame = cx.output.is_terminal() && !self.raw;
        let most = match (self.bytes, self.lines) {
            (Some(bytes), _) => bytes,
            (None, Some(_)) => ALL,
            (None, None) => USUAL,
        };
        if self.follow {
            let mut printer = Printer {
                cx,
                tame,
                held: Vec::new(),
            };
            return self.follow(&instances, most, &mut printer).await;
        }
        let seen = instances.console(&self.name, most).await?;
        let seen = last_lines(&seen, self.lines);
        match (cx.output.mode, tame) {
            (Mode::Json, _) => cx.output.json(&String::from_utf8_lossy(seen)),
            (_, true) => cx.output.print(&tamed(seen)),
            (_, false) => cx.output.bytes(seen),
        }
    }

    /// For ever: over a core that restarts, and a hypervisor that is away for a while.
    async fn follow(
        &self,
        instances: &Instances,
        most: u32,
        printer: &mut Printer<'_>,
    ) -> Result<(), Failure> {
        let mut log = instances
            .console_follow(&self.name, ConsoleFrom::Last(most))
            .await?;
        let recorded = recorded(&mut log).await?;
        printer.print(last_lines(&recorded, self.lines))?;
        loop {
            while let Ok(Some(piece)) = log.next().await {
                printer.print(&piece)?;
            }
            tokio::time::sleep(PAUSE).await;
            let from = ConsoleFrom::Position(log.position);
            match instances.console_follow(&self.name, from).await {
                Ok(again) => log = again,
                Err(error) if error.is_not_found() => return Err(error.into()),
                Err(error) => {
                    say_again(printer.cx, &error);
                }
            }
        }
    }
}

/// Said once a try, where people look.
fn say_again(cx: &Cx, error: &rhyzome_client::Error) {
    cx.output.note(&format!("[{error}; trying again]"));
}

/// What was there before the stream began.
async fn recorded(log: &mut ConsoleLog) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    while (bytes.len() as u64) < log.recorded {
        match log.next().await? {
            Some(piece) => bytes.extend(piece),
            None => break,
        }
    }
    Ok(bytes)
}

/// Prints a stream in pieces that are cut anywhere.
struct Printer<'a> {
    cx: &'a Cx,
    tame: bool,
    /// The beginning of something that is not whole yet.
    held: Vec<u8>,
}

impl Printer<'_> {
    fn print(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        let mut whole = std::mem::take(&mut self.held);
        whole.extend(bytes);
        if self.tame || self.cx.output.mode == Mode::Json {
            self.held = whole.split_off(whole.len() - unfinished(&whole));
        }
        if whole.is_empty() {
            return Ok(());
        }
        match (self.cx.output.mode, self.tame) {
            (Mode::Json, _) => self.cx.output.json_line(&String::from_utf8_lossy(&whole)),
            (_, true) => self.cx.output.print(&tamed(&whole)),
            (_, false) => self.cx.output.bytes(&whole),
        }
    }
}

/// How many bytes at the end are the beginning of a character or an escape sequence.
fn unfinished(bytes: &[u8]) -> usize {
    let end = &bytes[bytes.len().saturating_sub(32)..];
    if let Some(at) = end.iter().rposition(|byte| *byte == 0x1b) {
        let whole = match &end[at + 1..] {
            [] | [b'['] => false,
            [b'[', rest @ ..] => rest.iter().any(|byte| (b'@'..=b'~').contains(byte)),
            _ => true,
        };
        if !whole {
            return end.len() - at;
        }
    }
    match std::str::from_utf8(&end[end.len().saturating_sub(4)..]) {
        Err(error) if error.error_len().is_none() => {
            end[end.len().saturating_sub(4)..].len() - error.valid_up_to()
        }
        _ => 0,
    }
}

/// The last lines; all of them where no number is said.
fn last_lines(bytes: &[u8], lines: Option<usize>) -> &[u8] {
    let Some(lines) = lines else {
        return bytes;
    };
    let body = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    let mut ends = body.iter().enumerate().rev();
    let mut ends = ends.by_ref().filter(|(_, byte)| **byte == b'\n');
    match lines.checked_sub(1).map(|lines| ends.nth(lines)) {
        None => &[],
        Some(None) => bytes,
        Some(Some((at, _))) => &bytes[at + 1..],
    }
}

/// Without what gives a terminal orders: escape sequences go, other control characters but line ends
/// and tabs too.
fn tamed(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let mut tame = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\x1b' => {
                // ESC [ parameters final, as in ECMA-48; of others, the two characters.
                if chars.next() == Some('[') {
                    while chars.next_if(|c| !matches!(c, '@'..='~')).is_some() {}
                    chars.next();
                }
            }
            '\n' | '\t' => tame.push(c),
            c if c.is_control() => {}
            c => tame.push(c),
        }
    }
    tame
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_lines_are_as_many_as_were_asked_for() {
        let check = |bytes: &str, lines, expect: &str| {
            let got = last_lines(bytes.as_bytes(), lines);
            assert_eq!(got, expect.as_bytes(), "{bytes:?} {lines:?}");
        };
        check("a\nb\nc\n", Some(2), "b\nc\n");
        check("a\nb\nc", Some(2), "b\nc");
        check("a\nb\n", Some(5), "a\nb\n");
        check("a\nb\n", Some(0), "");
        check("a\nb\n", None, "a\nb\n");
        check("", Some(1), "");
    }

    #[test]
    fn what_is_not_whole_yet_waits_for_its_end() {
        let check = |bytes: &[u8], expect| assert_eq!(unfinished(bytes), expect, "{bytes:?}");
        check(b"abc", 0);
        check(b"abc\x1b", 1);
        check(b"abc\x1b[1;3", 5);
        check(b"abc\x1b[1;31mx", 0);
        check("ä".as_bytes(), 0);
        check(&"aä".as_bytes()[..2], 1);
        check(&"a€".as_bytes()[..3], 2);
    }

    #[test]
    fn a_guest_gives_no_orders_to_the_terminal() {
        assert_eq!(tamed(b"a\x1b[1;31mb\x1b[0m\r\n\x07c\x1b]d\te"), "ab\ncd\te");
    }
}
