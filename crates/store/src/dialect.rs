//! What SQLite and PostgreSQL do not have in common.
//!
//! | | SQLite | PostgreSQL |
//! | --- | --- | --- |
//! | a transaction that decides something | `BEGIN IMMEDIATE`, one at a time by nature | an advisory lock taken as it begins, so one at a time over all cores |
//! | one that notes something aside | the same | no lock; rows that another one holds are passed over |
//! | the next event's number | counted, in the order of commits because of that lock | the same |
//! | texts | bytes | bytes too: collation `C` |

use std::borrow::Cow;

use rusqlite::ErrorCode;
use sqlx::error::DatabaseError;

use crate::statement::{Text, sql};

/// The advisory lock of whoever decides something, migrations included: "rhyz" in ASCII, and a number.
const WRITER: i64 = 0x7268_797a_0001;

/// Which database it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// Embedded: one writer, write-ahead log, each commit on the disk before it is answered.
    Sqlite,
    Postgres,
}

impl Dialect {
    /// By the URL's scheme: `postgres://` or `postgresql://`, else SQLite.
    pub fn of(url: &str) -> Self {
        match url.split(':').next() {
            Some("postgres" | "postgresql") => Self::Postgres,
            _ => Self::Sqlite,
        }
    }

    /// Begins a transaction that decides something from what it reads: taking the one write lock now,
    /// not at its first write, where it could fail.
    pub(crate) fn begin(self) -> String {
        match self {
            Self::Sqlite => "BEGIN IMMEDIATE".to_owned(),
            Self::Postgres => format!(
                "BEGIN ISOLATION LEVEL READ COMMITTED; SELECT pg_advisory_xact_lock({WRITER})"
            ),
        }
    }

    /// Begins a transaction that only notes something about rows that it names.
    pub(crate) fn begin_aside(self) -> &'static str {
        match self {
            Self::Sqlite => "BEGIN IMMEDIATE",
            Self::Postgres => "BEGIN ISOLATION LEVEL READ COMMITTED",
        }
    }

    /// Begins a transaction that sees all as it was at its first look.
    pub(crate) fn begin_snapshot(self) -> &'static str {
        match self {
            Self::Sqlite => "BEGIN",
            Self::Postgres => "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
        }
    }

    /// The text of a query for rows of `alias` that are then changed, without waiting for those that
    /// somebody else is changing just now.
    pub(crate) fn locking(self, text: &str, alias: &str) -> String {
        match self {
            Self::Sqlite => text.to_owned(),
            Self::Postgres => format!("{text} FOR UPDATE OF {alias} SKIP LOCKED"),
        }
    }

    /// A migration's text. PostgreSQL orders and compares texts by the database's collation, which
    /// depends on the machine and changes with its C library: here by bytes, as SQLite does.
    pub(crate) fn migration(self, text: &'static str) -> Cow<'static, str> {
        match self {
            Self::Sqlite => Cow::Borrowed(text),
            Self::Postgres => Cow::Owned(text.replace(" TEXT", " TEXT COLLATE \"C\"")),
        }
    }

    /// The columns of all tables, in their order.
    pub(crate) fn columns(self) -> Text {
        match self {
            Self::Sqlite => sql!(Sqlite:
                            "SELECT m.name AS of_table, i.name AS name FROM sqlite_master m \
                             JOIN pragma_table_info(m.name) i WHERE m.type = 'table' \
                             AND m.name NOT LIKE 'sqlite_%' ORDER BY m.name, i.cid"
            ),
            Self::Postgres => sql!(Postgres:
                            "SELECT CAST(table_name AS TEXT) AS of_table, CAST(column_name AS TEXT) AS name \
                             FROM information_schema.columns WHERE table_schema = current_schema() \
                             ORDER BY table_name, ordinal_position"
            ),
        }
    }

    /// Which tables refer to which.
    pub(crate) fn references(self) -> Text {
        match self {
            Self::Sqlite => sql!(Sqlite:
                            "SELECT m.name AS of_table, f.\"table\" AS to_table FROM sqlite_master m \
                             JOIN pragma_foreign_key_list(m.name) f WHERE m.type = 'table'"
            ),
            Self::Postgres => sql!(Postgres:
                            "SELECT CAST(c.relname AS TEXT) AS of_table, CAST(p.relname AS TEXT) AS to_table \
                             FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid \
                             JOIN pg_class p ON p.oid = k.confrelid JOIN pg_namespace n ON n.oid = c.relnamespace \
                             WHERE k.contype = 'f' AND n.nspname = current_schema()"
            ),
        }
    }
}

/// What an error of the database means to whoever asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Meaning {
    Conflict,
    /// No room on the disk.
    Full,
    ReadOnly,
    /// Another transaction was in the way; the same again may do.
    Busy,
    /// It ended the connection, or takes none.
    Away,
    Other,
}

/// By SQLite's result codes (sqlite.org/rescode.html).
pub(crate) fn sqlite_meaning(error: &rusqlite::Error) -> Meaning {
    let unique = |failure: &rusqlite::ffi::Error| {
        matches!(
            failure.extended_code,
            rusqlite::ffi::SQLITE_CONSTRAINT_UNIQUE | rusqlite::ffi::SQLITE_CONSTRAINT_PRIMARYKEY
        )
    };
    match error.sqlite_error() {
        Some(failure) if unique(failure) => Meaning::Conflict,
        Some(failure) => match failure.code {
            ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => Meaning::Busy,
            ErrorCode::ReadOnly => Meaning::ReadOnly,
            ErrorCode::DiskFull => Meaning::Full,
            _ => Meaning::Other,
        },
        None => Meaning::Other,
    }
}

/// By PostgreSQL's SQLSTATEs (its manual, appendix A).
pub(crate) fn postgres_meaning(error: &dyn DatabaseError) -> Meaning {
    if error.is_unique_violation() {
        return Meaning::Conflict;
    }
    match error.code().unwrap_or_default().as_ref() {
        "53100" => Meaning::Full,
        "25006" => Meaning::ReadOnly,
        "40001" | "40P01" | "55P03" => Meaning::Busy,
        "25P03" | "53200" | "53300" => Meaning::Away,
        code if code.starts_with("08") || code.starts_with("57P") => Meaning::Away,
        _ => Meaning::Other,
    }
}
