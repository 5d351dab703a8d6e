//! What goes wrong with a location.

use std::io;

pub type Result<T> = std::result::Result<T, Error>;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("there is no room left in {location}")]
    Full { location: String },
    #[error("{location} has nothing under {key}")]
    Missing { location: String, key: String },
    #[error("cannot {operation} {path}")]
    File {
        operation: &'static str,
        path: String,
        source: io::Error,
    },
    #[error("cannot {operation} in {location}")]
    Object {
        operation: &'static str,
        location: String,
        source: object_store::Error,
    },
    #[error("{location} cannot be used: {reason}")]
    Unusable { location: String, reason: String },
    #[error("cannot read bytes")]
    Read { source: io::Error },
    #[error("a task for blobs ended early")]
    Task { source: tokio::task::JoinError },
}

impl Error {
    /// Whether what was staged is not there any more, so that it has to begin anew.
    pub fn is_gone(&self) -> bool {
        match self {
            Self::Object { source, .. } => matches!(source, object_store::Error::NotFound { .. }),
            Self::File { source, .. } => source.kind() == io::ErrorKind::NotFound,
            _ => false,
        }
    }

    /// Whether it is worth another try as it stands.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Object { .. } | Self::Read { .. })
    }
}
