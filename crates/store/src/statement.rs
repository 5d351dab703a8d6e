//! Running statements.
//!
//! Only [`query!`] and [`sql!`] make a statement's text, and they gather what they make: a test prepares
//! all of it on each database, so that a statement which only one of them takes is found though no
//! path of a test comes to it. What is generated for each table (`copy`, `refill`) is run for all tables
//! by the tests of copying, and migrations are run by all tests.

use std::time::Duration;

use sqlx::Any;
use sqlx::any::AnyArguments;
use sqlx::query::Query;
use sqlx::{AssertSqlSafe, SqlSafeStr};

use crate::column::Columns;
use crate::dialect::Dialect;
use crate::{Conn, Doing, Result};

#[cfg(test)]
mod tests;

/// A statement's text that was gathered.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Text(&'static str);

/// Which databases a text is for, and how.
#[cfg(test)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum On {
    Both,
    Only(Dialect),
    /// On both, through [`Dialect::locking`] with this alias.
    Locking(&'static str),
}

/// The text of a query for rows that are then changed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Locking {
    text: &'static str,
    alias: &'static str,
}

/// What the test prepares.
#[cfg(test)]
#[derive(Clone, Copy, Debug)]
pub(crate) struct Gathered {
    pub text: &'static str,
    pub on: On,
    pub place: &'static str,
}

#[cfg(test)]
#[linkme::distributed_slice]
pub(crate) static GATHERED: [Gathered];

impl Text {
    /// For [`sql!`] alone.
    pub(crate) const fn gathered(text: &'static str) -> Self {
        Self(text)
    }
}

impl Locking {
    /// For [`sql!`] alone.
    pub(crate) const fn gathered(text: &'static str, alias: &'static str) -> Self {
        Self { text, alias }
    }
}

/// A statement's text: `sql!("SELECT …")`; for one kind of database `sql!(Postgres: "…")`; for rows that
/// are then changed `sql!(locking "alias": "SELECT …")`.
macro_rules! sql {
    ($text:expr $(,)?) => {{
        $crate::statement::gather!($text, $crate::statement::On::Both);
        $crate::statement::Text::gathered($text)
    }};
    ($dialect:ident: $text:expr $(,)?) => {{
        $crate::statement::gather!(
            $text,
            $crate::statement::On::Only($crate::dialect::Dialect::$dialect)
        );
        $crate::statement::Text::gathered($text)
    }};
    (locking $alias:literal: $text:expr $(,)?) => {{
        $crate::statement::gather!($text, $crate::statement::On::Locking($alias));
        $crate::statement::Locking::gathered($text, $alias)
    }};
}

/// Puts a text where the test finds it.
macro_rules! gather {
    ($text:expr, $on:expr) => {
        #[cfg(test)]
        #[linkme::distributed_slice($crate::statement::GATHERED)]
        static GATHERED: $crate::statement::Gathered = $crate::statement::Gathered {
            text: $text,
            on: $on,
            place: concat!(file!(), ":", line!()),
        };
    };
}

/// A statement, ready for its values.
macro_rules! query {
    ($text:expr $(,)?) => {
        $crate::statement::gathered($crate::statement::sql!($text))
    };
}

pub(crate) use {gather, query, sql};

/// A statement, ready for its values.
pub(crate) fn gathered(text: Text) -> Query<'static, Any, AnyArguments> {
    prepared(text.0)
}

/// A query for rows of its alias that are then changed, without waiting for those that somebody else
/// is changing just now.
pub(crate) fn locking(dialect: Dialect, query: Locking) -> Query<'static, Any, AnyArguments> {
    prepared(AssertSqlSafe(dialect.locking(query.text, query.alias)))
}

/// A statement that is made for a table that the database has.
pub(crate) fn generated(text: String) -> Query<'static, Any, AnyArguments> {
    prepared(AssertSqlSafe(text))
}

#[expect(
    clippy::disallowed_methods,
    reason = "here is where statements come together"
)]
fn prepared(text: impl SqlSafeStr) -> Query<'static, Any, AnyArguments> {
    sqlx::query(text)
}

/// How long a statement may take before its connection is taken for dead.
const LONGEST: Duration = Duration::from_secs(60);

/// What is to be had from the database within its time.
pub(crate) async fn in_time<T>(
    asked: impl Future<Output = std::result::Result<T, sqlx::Error>>,
) -> std::result::Result<T, sqlx::Error> {
    match tokio::time::timeout(LONGEST, asked).await {
        Ok(answered) => answered,
        Err(_) => Err(sqlx::Error::Io(std::io::ErrorKind::TimedOut.into())),
    }
}

/// What is done with a statement whose values are bound.
pub(crate) trait Statement: Sized {
    /// How many rows it changed.
    async fn run(self, conn: &mut Conn, operation: &'static str) -> Result<u64>;

    async fn rows<T>(
        self,
        conn: &mut Conn,
        operation: &'static str,
        read: impl Fn(&Columns<'_>) -> Result<T>,
    ) -> Result<Vec<T>>;

    async fn row<T>(
        self,
        conn: &mut Conn,
        operation: &'static str,
        read: impl Fn(&Columns<'_>) -> Result<T>,
    ) -> Result<Option<T>>;

    /// The whole number that a statement with a column `n` answers with; 0 for no row.
    async fn number(self, conn: &mut Conn, operation: &'static str) -> Result<i64> {
        Ok(self
            .row(conn, operation, |c| c.integer("n"))
            .await?
            .unwrap_or(0))
    }
}

impl Statement for Query<'_, Any, AnyArguments> {
    async fn run(self, conn: &mut Conn, operation: &'static str) -> Result<u64> {
        let done = in_time(self.execute(conn)).await;
        Ok(done.doing(operation)?.rows_affected())
    }

    async fn rows<T>(
        self,
        conn: &mut Conn,
        operation: &'static str,
        read: impl Fn(&Columns<'_>) -> Result<T>,
    ) -> Result<Vec<T>> {
        let rows = in_time(self.fetch_all(conn)).await.doing(operation)?;
        rows.iter().map(|row| read(&Columns(row))).collect()
    }

    async fn row<T>(
        self,
        conn: &mut Conn,
        operation: &'static str,
        read: impl Fn(&Columns<'_>) -> Result<T>,
    ) -> Result<Option<T>> {
        let row = in_time(self.fetch_optional(conn)).await.doing(operation)?;
        row.as_ref().map(|row| read(&Columns(row))).transpose()
    }
}
