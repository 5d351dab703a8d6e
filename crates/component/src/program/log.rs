//! The log: to standard error, for people or as JSON, as much as `RHYZOME_LOG` says.

use std::io::IsTerminal as _;

use anyhow::Context as _;
use tracing_subscriber::EnvFilter;

const VARIABLE: &str = "RHYZOME_LOG";

pub(super) fn start(json: bool) -> anyhow::Result<()> {
    let filter = match std::env::var(VARIABLE) {
        Ok(text) => text
            .parse()
            .with_context(|| format!("{VARIABLE} is not a filter: {text:?}"))?,
        Err(_) => EnvFilter::new("info"),
    };
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    let started = if json {
        log.json().try_init()
    } else {
        log.try_init()
    };
    started.map_err(|error| anyhow::anyhow!("the log could not be started: {error}"))
}
