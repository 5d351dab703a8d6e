//! The state of a site in SQL. One module a resource; the same statements for SQLite and PostgreSQL,
//! what differs is in [`dialect`].
//!
//! Functions that read take a connection, functions that write take a [`Tx`]: whoever calls them
//! decides what is one transaction. Nothing here asks for a second connection while one is open.
//! Texts and 64-bit integers are the only column types.

pub mod column;
pub mod component;
pub mod connection;
pub mod dialect;
pub mod event;
pub mod idempotency;
pub mod image;
pub mod instance;
pub mod job;
pub mod lease;
pub mod migration;
pub mod network;
pub mod peer;
pub mod placement;
pub mod project;
pub mod site;
pub mod ssh_key;
mod statement;
pub mod token;

pub use connection::{Conn, Store, Tx};

/// Why the database did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot open the database {url}")]
    Open { url: String, source: sqlx::Error },
    #[error("the database did not {operation}")]
    Sql {
        operation: &'static str,
        source: sqlx::Error,
    },
    #[error("cannot {operation}: another one took the same name, address or port first")]
    Conflict {
        operation: &'static str,
        source: sqlx::Error,
    },
    /// Nothing was written, and what is there can be read.
    #[error("cannot {operation}: the database's disk is full")]
    Full {
        operation: &'static str,
        source: sqlx::Error,
    },
    #[error("the column {column} holds {value:?}, which is no {wanted}")]
    Corrupt {
        column: &'static str,
        value: String,
        wanted: &'static str,
    },
    #[error("migration {version} ({name}) failed")]
    Migration {
        version: i64,
        name: &'static str,
        source: sqlx::Error,
    },
    #[error(
        "the database is at version {found}, newer than this program's {known}: upgrade the program"
    )]
    Newer { found: i64, known: i64 },
    #[error("cannot write as JSON")]
    Json(#[source] serde_json::Error),
}

pub type Result<T> = std::result::Result<T, Error>;

/// Says what was being done when the database failed.
pub(crate) trait Doing<T> {
    fn doing(self, operation: &'static str) -> Result<T>;
}

impl<T> Doing<T> for std::result::Result<T, sqlx::Error> {
    fn doing(self, operation: &'static str) -> Result<T> {
        self.map_err(|source| {
            let database = source.as_database_error();
            if database.is_some_and(|e| e.is_unique_violation()) {
                Error::Conflict { operation, source }
            } else if database.is_some_and(dialect::is_full) {
                Error::Full { operation, source }
            } else {
                Error::Sql { operation, source }
            }
        })
    }
}

/// A page of a list: at most so many rows behind a name.
#[derive(Clone, Debug)]
pub struct After {
    pub limit: i64,
    /// The last name of the page before; empty at the beginning.
    pub name: String,
}
