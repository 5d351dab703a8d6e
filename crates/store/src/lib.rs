//! The state of a site in SQL. One module a resource; the same statements for SQLite and PostgreSQL,
//! what differs is in [`dialect`].
//!
//! Functions that read take a connection, functions that write take a [`Tx`] or, where they decide
//! nothing, an [`Aside`]: whoever calls them decides what is one transaction. Nothing here asks for a second connection while one is open.
//! Texts and 64-bit integers are the only column types.

pub mod audit;
pub mod blob;
pub mod cause;
pub mod column;
pub mod component;
pub mod connection;
pub mod copy;
pub mod dialect;
pub mod event;
mod filling;
pub mod idempotency;
pub mod image;
pub mod image_tag;
pub mod instance;
pub mod invitation;
pub mod job;
pub mod join_token;
pub mod lease;
pub mod login;
pub mod member;
pub mod migration;
pub mod network;
pub mod peer;
pub mod placement;
pub mod project;
pub mod quota;
pub mod refill;
pub mod restored;
pub mod revocation;
pub mod site;
mod sqlite;
pub mod ssh_key;
mod statement;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
pub mod token;
pub mod upgrade;
pub mod upload;
pub mod url;
pub mod user;
mod value;
pub mod vtep;
pub mod wake;

use cause::Cause;
pub use connection::{Aside, Conn, Store, Tx};
use dialect::Meaning;

/// Why the database did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot open the database {url}")]
    Open { url: String, source: Cause },
    #[error(
        "the database {url} shows a certificate that is not good for it: sslrootcert has to be its authority, and \
         the host's name has to be in the certificate"
    )]
    OpenUntrusted { url: String, source: Cause },
    #[error("the database {url} can only be read: it is a replica, or still recovering")]
    OpenReadOnly { url: String },
    #[error("another core runs on the database {url}")]
    Taken { url: String },
    #[error("the database did not {operation}")]
    Sql {
        operation: &'static str,
        source: Cause,
    },
    #[error("cannot {operation}: another one took the same name, address or port first")]
    Conflict {
        operation: &'static str,
        source: Cause,
    },
    /// Nothing was written, and what is there can be read.
    #[error("cannot {operation}: the database's disk is full")]
    Full {
        operation: &'static str,
        source: Cause,
    },
    /// A replica, or a server that is recovering.
    #[error("cannot {operation}: this database can only be read")]
    ReadOnly {
        operation: &'static str,
        source: Cause,
    },
    /// Nothing was written; the same again may do.
    #[error("cannot {operation}: another transaction is in the way")]
    Busy {
        operation: &'static str,
        source: Cause,
    },
    /// The connection is lost or none is to be had. Where it was lost at a commit, it is not known
    /// whether that was done.
    #[error("cannot {operation}: the database does not answer")]
    Away {
        operation: &'static str,
        source: Cause,
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
        source: Cause,
    },
    #[error(
        "the database is at version {found}, newer than this program's {known}: upgrade the program"
    )]
    Newer { found: i64, known: i64 },
    #[error("the database {url} has tables that are not Rhyzome's: it needs one of its own")]
    Foreign { url: String },
    #[error(
        "the database {url} was being filled by `{what}`, which has not ended: run that again, or wait for it"
    )]
    Unfinished { url: String, what: String },
    #[error("the copy's table {table} does not fit into the database")]
    Unfit { table: String },
    #[error("the database {url} is not empty: its table {table} holds something")]
    NotEmpty { url: String, table: String },
    #[error(
        "the table {table} did not arrive as it was: {found} rows instead of {expected}, or others"
    )]
    Differs {
        table: String,
        expected: u64,
        found: u64,
    },
    #[error(
        "the database {url} is at version {found}, and this program at {wanted}: start this program's core on it once"
    )]
    OtherVersion {
        url: String,
        found: i64,
        wanted: i64,
    },
    #[error("cannot write as JSON")]
    Json(#[source] serde_json::Error),
}

pub type Result<T> = std::result::Result<T, Error>;

/// Says what was being done when the database failed.
pub(crate) trait Doing<T> {
    fn doing(self, operation: &'static str) -> Result<T>;
}

impl<T, E: Into<Cause>> Doing<T> for std::result::Result<T, E> {
    fn doing(self, operation: &'static str) -> Result<T> {
        self.map_err(|source| {
            let source = source.into();
            match source.meaning() {
                Meaning::Conflict => Error::Conflict { operation, source },
                Meaning::Full => Error::Full { operation, source },
                Meaning::ReadOnly => Error::ReadOnly { operation, source },
                Meaning::Busy => Error::Busy { operation, source },
                Meaning::Away => Error::Away { operation, source },
                Meaning::Other => Error::Sql { operation, source },
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
