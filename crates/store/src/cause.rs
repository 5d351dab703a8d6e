//! What the database said, or what is between it and us.

use crate::dialect::{self, Meaning};

/// Why something that was asked of the database did not happen.
#[derive(Debug, thiserror::Error)]
pub enum Cause {
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
    #[error(transparent)]
    Postgres(#[from] sqlx::Error),
    #[error("it was closed")]
    Closed,
    /// With others, because of what one of them met.
    #[error("the transaction was undone by the database")]
    Undone,
    #[error("no connection was to be had in time")]
    NoConnection,
    #[error("it did not answer in time")]
    Slow,
    #[error("transaction_read_only is on")]
    TransactionReadOnly,
    #[error("the URL's `?{0}` is not known; an SQLite file takes mode=ro, rw or rwc")]
    Query(String),
    #[error("the statement's parameter {0} has no value")]
    NoValue(usize),
    #[error("the column {0} is of a kind that is not used here")]
    Kind(String),
    /// The connection is with another thread, which reads a table on it.
    #[error("the connection is in use")]
    Lent,
}

impl Cause {
    pub(crate) fn meaning(&self) -> Meaning {
        match self {
            Self::Sqlite(error) => dialect::sqlite_meaning(error),
            Self::Postgres(sqlx::Error::Database(error)) => {
                dialect::postgres_meaning(error.as_ref())
            }
            Self::Postgres(
                sqlx::Error::Io(_)
                | sqlx::Error::Tls(_)
                | sqlx::Error::Protocol(_)
                | sqlx::Error::BeginFailed
                | sqlx::Error::PoolTimedOut
                | sqlx::Error::PoolClosed
                | sqlx::Error::WorkerCrashed,
            )
            | Self::Closed
            | Self::NoConnection
            | Self::Slow => Meaning::Away,
            Self::Undone => Meaning::Busy,
            Self::TransactionReadOnly => Meaning::ReadOnly,
            Self::Postgres(_) | Self::Query(_) | Self::NoValue(_) | Self::Kind(_) | Self::Lent => {
                Meaning::Other
            }
        }
    }

    /// Whether it was the server's certificate that was refused: sqlx passes rustls' error on within others.
    pub(crate) fn is_untrusted(&self) -> bool {
        matches!(
            self,
            Self::Postgres(sqlx::Error::Io(_) | sqlx::Error::Tls(_))
        ) && self.to_string().contains("invalid peer certificate")
    }
}
