//! What SQLite and PostgreSQL do not have in common.
//!
//! | | SQLite | PostgreSQL |
//! | --- | --- | --- |
//! | a transaction that decides something | `BEGIN IMMEDIATE`, one at a time by nature | an advisory lock taken as it begins, so one at a time over all cores |
//! | one that notes something aside | the same | no lock; rows that another one holds are passed over |
//! | the next event's number | counted, in the order of commits because of that lock | the same |
//! | texts | bytes | bytes too: collation `C` |

use std::borrow::Cow;

use sqlx::error::DatabaseError;
use sqlx::{AnyConnection, AssertSqlSafe, Executor, Row};

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

    /// The database's URL with what a new database needs.
    pub(crate) fn url(self, url: &str) -> String {
        match self {
            Self::Sqlite if url.contains('?') => url.to_owned(),
            Self::Sqlite => format!("{url}?mode=rwc"),
            Self::Postgres => url.to_owned(),
        }
    }

    pub(crate) fn connections(self) -> u32 {
        match self {
            Self::Sqlite => 8,
            Self::Postgres => 16,
        }
    }

    /// Makes a new connection ready. PostgreSQL is told to notice by itself when this process is gone
    /// (its locks are free then), and not to let a transaction hold its locks for ever.
    pub(crate) async fn prepare(self, connection: &mut AnyConnection) -> Result<(), sqlx::Error> {
        let text = match self {
            Self::Sqlite => {
                "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; \
                 PRAGMA foreign_keys = ON; PRAGMA busy_timeout = 10000;"
            }
            Self::Postgres => {
                "SET client_min_messages = 'warning'; SET lock_timeout = '10s'; \
                 SET idle_in_transaction_session_timeout = '60s'; \
                 SET tcp_keepalives_idle = 10; SET tcp_keepalives_interval = 5; \
                 SET tcp_keepalives_count = 3;"
            }
        };
        connection.execute(text).await.map(drop)
    }

    /// Whether what is at this connection can only be read: a replica, or a server that is recovering.
    pub(crate) async fn is_read_only(
        self,
        connection: &mut AnyConnection,
    ) -> Result<bool, sqlx::Error> {
        match self {
            Self::Sqlite => Ok(false),
            Self::Postgres => {
                let text = "SELECT current_setting('transaction_read_only') AS setting";
                let row = connection.fetch_one(text).await?;
                Ok(row.try_get::<String, _>("setting")? == "on")
            }
        }
    }

    /// Begins a transaction that decides something from what it reads: taking the one write lock now,
    /// not at its first write, where it could fail.
    pub(crate) fn begin(self) -> AssertSqlSafe<String> {
        AssertSqlSafe(match self {
            Self::Sqlite => "BEGIN IMMEDIATE".to_owned(),
            Self::Postgres => format!(
                "BEGIN ISOLATION LEVEL READ COMMITTED; SELECT pg_advisory_xact_lock({WRITER})"
            ),
        })
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

/// By SQLite's result codes (sqlite.org/rescode.html) and PostgreSQL's SQLSTATEs (its manual, appendix
/// A), which are not as long.
pub(crate) fn meaning(error: &dyn DatabaseError) -> Meaning {
    if error.is_unique_violation() {
        return Meaning::Conflict;
    }
    let code = error.code().unwrap_or_default();
    match code.as_ref() {
        "53100" => Meaning::Full,
        "25006" => Meaning::ReadOnly,
        "40001" | "40P01" | "55P03" => Meaning::Busy,
        "25P03" | "53200" | "53300" => Meaning::Away,
        code if code.len() == 5 && (code.starts_with("08") || code.starts_with("57P")) => {
            Meaning::Away
        }
        code if code.len() < 5 => match code.parse::<u32>().map(|code| code & 0xff) {
            Ok(5 | 6) => Meaning::Busy,
            Ok(8) => Meaning::ReadOnly,
            Ok(13) => Meaning::Full,
            _ => Meaning::Other,
        },
        _ => Meaning::Other,
    }
}
