//! What SQLite and PostgreSQL do not have in common.

use sqlx::error::DatabaseError;
use sqlx::{AnyConnection, Executor};

/// Which database it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// Embedded: one writer, write-ahead log, each commit on the disk before it is answered.
    Sqlite,
}

impl Dialect {
    pub(crate) fn of(_url: &str) -> Self {
        Self::Sqlite
    }

    /// The database's URL with what a new database needs.
    pub(crate) fn url(self, url: &str) -> String {
        match self {
            Self::Sqlite if url.contains('?') => url.to_owned(),
            Self::Sqlite => format!("{url}?mode=rwc"),
        }
    }

    pub(crate) fn connections(self) -> u32 {
        match self {
            Self::Sqlite => 8,
        }
    }

    pub(crate) async fn prepare(self, connection: &mut AnyConnection) -> Result<(), sqlx::Error> {
        match self {
            Self::Sqlite => {
                const PRAGMAS: &str = "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; \
                     PRAGMA foreign_keys = ON; PRAGMA busy_timeout = 10000;";
                connection.execute(PRAGMAS).await.map(drop)
            }
        }
    }

    /// Begins a transaction that will write: taking the write lock now, not at its first write, where
    /// it could fail.
    pub(crate) fn begin(self) -> &'static str {
        match self {
            Self::Sqlite => "BEGIN IMMEDIATE",
        }
    }

    /// The id of the next event, in a transaction. With one writer at a time, counting is in the order
    /// of the commits.
    pub(crate) fn next_event(self) -> &'static str {
        match self {
            Self::Sqlite => "SELECT CAST(COALESCE(MAX(id), 0) + 1 AS BIGINT) AS id FROM events",
        }
    }
}

/// Whether an error says that there is no room on the disk: SQLite's result code 13, SQLITE_FULL.
pub(crate) fn is_full(error: &dyn DatabaseError) -> bool {
    error.code().is_some_and(|code| code == "13")
}
