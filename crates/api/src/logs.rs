//! Where the core's log goes: standard error, as text or JSON.

use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};

use crate::configuration::{Log, LogFormat};

/// Starts logging. A level that is none was refused before; `info` stands in for it.
///
/// # Errors
/// When the process logs already.
pub fn start(log: &Log) -> Result<(), TryInitError> {
    let level: Targets = log
        .level
        .parse()
        .unwrap_or_else(|_| Targets::new().with_default(tracing::Level::INFO));
    let registry = tracing_subscriber::registry().with(level);
    let output = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    match log.format {
        LogFormat::Text => registry.with(output.with_ansi(false)).try_init(),
        LogFormat::Json => registry.with(output.json().flatten_event(true)).try_init(),
    }
}
