//! The log: to the router's syslog where procd runs the program, else to standard error.
//!
//! How much is said is in `RHYZOME_LOG`, as `info` or `info,rhyzome_component=debug`. What comes again and again is
//! counted ([`flood`]). Left out on purpose: spans, which nothing here is written with.

mod flood;
mod syslog;

use std::fmt::{self, Write as _};
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use anyhow::Context as _;
use flood::{Flood, Line};
use rhyzome_component::Clock;
use syslog::Syslog;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};
use tracing_subscriber::filter::Targets;

const VARIABLE: &str = "RHYZOME_LOG";
const SOCKET: &str = "/dev/log";

/// Says from now on what is worth saying.
///
/// # Errors
/// Where `RHYZOME_LOG` is not understood.
pub fn start(program: &str) -> anyhow::Result<()> {
    let wanted = std::env::var(VARIABLE).unwrap_or_else(|_| "info".to_owned());
    let wanted = wanted
        .parse()
        .with_context(|| format!("{VARIABLE} is not a filter: {wanted:?}"))?;
    let sink = match is_service() {
        true => Sink::Syslog(Syslog::new(SOCKET, program, std::process::id())),
        false => Sink::Stderr,
    };
    let log = Log {
        wanted,
        state: Mutex::new((Flood::default(), sink)),
        clock: Clock::default(),
    };
    tracing::subscriber::set_global_default(log).context("there is a log already")
}

/// Whether procd runs it: as the first process it is its parent, and standard error is nobody's or goes to the log as
/// errors, whatever they are.
fn is_service() -> bool {
    nix::unistd::getppid().as_raw() == 1 && Path::new(SOCKET).exists() || stderr_is_nowhere()
}

fn stderr_is_nowhere() -> bool {
    let null = nix::sys::stat::stat("/dev/null").map(|null| null.st_rdev);
    let stderr = nix::sys::stat::fstat(std::io::stderr().as_fd()).map(|stderr| stderr.st_rdev);
    matches!((null, stderr), (Ok(null), Ok(stderr)) if null == stderr)
}

enum Sink {
    Stderr,
    Syslog(Syslog),
}

struct Log {
    wanted: Targets,
    state: Mutex<(Flood, Sink)>,
    clock: Clock,
}

impl Subscriber for Log {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_event()
            && self
                .wanted
                .would_enable(metadata.target(), metadata.level())
    }

    fn new_span(&self, _span: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _span: &Id, _values: &Record<'_>) {}

    fn record_follows_from(&self, _span: &Id, _follows: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let line = Line {
            level: *event.metadata().level(),
            text: text(event),
        };
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let (flood, sink) = &mut *state;
        for line in flood.take(line, Instant::now()) {
            match sink {
                Sink::Stderr => eprintln!("{} {:>5} {}", self.clock.now(), line.level, line.text),
                // There is nowhere to say that it was lost.
                Sink::Syslog(syslog) => drop(syslog.send(&line, self.clock.now())),
            }
        }
    }

    fn enter(&self, _span: &Id) {}

    fn exit(&self, _span: &Id) {}
}

/// The message, and the values behind it: `connected to the core component=… name=gw`.
fn text(event: &Event<'_>) -> String {
    let mut words = Words::default();
    event.record(&mut words);
    words.message.push_str(&words.values);
    words.message
}

#[derive(Default)]
struct Words {
    message: String,
    values: String,
}

impl Visit for Words {
    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "message" => self.message.push_str(value),
            _ => self.record_debug(field, &value),
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let name = field.name();
        // Writing into a text does not fail.
        let _ = match name {
            "message" => write!(self.message, "{value:?}"),
            _ => write!(self.values, " {name}={value:?}"),
        };
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixDatagram;
    use std::time::Duration;

    use super::*;

    #[test]
    fn an_event_that_is_wanted_is_a_datagram_with_its_values_behind_its_message() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let socket = UnixDatagram::bind(&path).unwrap();
        socket
            .set_read_timeout(Some(Duration::from_secs(5)))
            .unwrap();
        let log = Log {
            wanted: "info,quiet=error".parse().unwrap(),
            state: Mutex::new((
                Flood::default(),
                Sink::Syslog(Syslog::new(&path, "rhyzome-openwrt", 7)),
            )),
            clock: Clock::default(),
        };
        tracing::subscriber::with_default(log, || {
            tracing::debug!("not wanted");
            tracing::warn!(target: "quiet", "not wanted");
            for _ in 0..1000 {
                tracing::info!(name = %"gw", error = "no core", "connected");
            }
            tracing::error!("the end");
        });
        let mut said = Vec::new();
        loop {
            let mut buffer = [0; 1024];
            let length = socket.recv(&mut buffer).unwrap();
            let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
            let (priority, text) = (text[..4].to_owned(), text[20..].to_owned());
            said.push((priority, text));
            if said
                .last()
                .is_some_and(|(_, text)| text.ends_with("the end"))
            {
                break;
            }
        }
        let expect = [
            (
                "<30>",
                "rhyzome-openwrt[7]: connected name=gw error=\"no core\"",
            ),
            ("<27>", "rhyzome-openwrt[7]: the end"),
        ];
        assert_eq!(
            said,
            expect.map(|(priority, text)| (priority.to_owned(), text.to_owned()))
        );
    }
}
