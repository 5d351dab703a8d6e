//! Running statements.
//!
//! Only [`query!`] and [`sql!`] make a statement's text, and they gather what they make: a test prepares
//! all of it on each database, so that a statement which only one of them takes is found though no
//! path of a test comes to it. What is generated for each table (`copy`, `refill`) is run for all tables
//! by the tests of copying, and migrations are run by all tests.

use std::ops::Deref;
use std::time::Duration;

use sqlx::AssertSqlSafe;
use sqlx::Postgres;
use sqlx::postgres::PgArguments;
use sqlx::query::Query;

use crate::cause::Cause;
use crate::column::Columns;
use crate::dialect::Dialect;
use crate::value::Value;
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
pub(crate) fn gathered(text: Text) -> Prepared {
    Prepared::new(Words::Gathered(text.0))
}

/// A query for rows of its alias that are then changed, without waiting for those that somebody else
/// is changing just now.
pub(crate) fn locking(dialect: Dialect, query: Locking) -> Prepared {
    match dialect {
        Dialect::Sqlite => Prepared::new(Words::Gathered(query.text)),
        Dialect::Postgres => generated(dialect.locking(query.text, query.alias)),
    }
}

/// A statement that is made for a table that the database has.
pub(crate) fn generated(text: String) -> Prepared {
    Prepared::new(Words::Generated(text))
}

/// A statement with the values of its parameters, in their order.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub(crate) text: Words,
    pub(crate) values: Vec<Value>,
}

/// A statement's text, from wherever it comes.
#[derive(Debug)]
pub(crate) enum Words {
    Gathered(&'static str),
    Generated(String),
}

impl Deref for Words {
    type Target = str;
    fn deref(&self) -> &str {
        match self {
            Self::Gathered(text) => text,
            Self::Generated(text) => text,
        }
    }
}

impl Words {
    #[expect(
        clippy::disallowed_methods,
        reason = "here is where statements come together"
    )]
    pub(crate) fn into_query(self) -> Query<'static, Postgres, PgArguments> {
        match self {
            Self::Gathered(text) => sqlx::query(text),
            Self::Generated(text) => sqlx::query(AssertSqlSafe(text)),
        }
    }
}

impl Prepared {
    fn new(text: Words) -> Self {
        Self {
            text,
            values: Vec::new(),
        }
    }

    /// Gives the next parameter its value.
    pub(crate) fn bind(mut self, value: impl Into<Value>) -> Self {
        self.values.push(value.into());
        self
    }

    /// How many rows it changed.
    pub(crate) async fn run(self, conn: &mut Conn, operation: &'static str) -> Result<u64> {
        conn.run(self).await.doing(operation)
    }

    pub(crate) async fn rows<T>(
        self,
        conn: &mut Conn,
        operation: &'static str,
        read: impl Fn(&Columns<'_>) -> Result<T>,
    ) -> Result<Vec<T>> {
        conn.rows(self, operation, usize::MAX, read).await
    }

    pub(crate) async fn row<T>(
        self,
        conn: &mut Conn,
        operation: &'static str,
        read: impl Fn(&Columns<'_>) -> Result<T>,
    ) -> Result<Option<T>> {
        Ok(conn.rows(self, operation, 1, read).await?.pop())
    }

    /// The whole number that a statement with a column `n` answers with; 0 for no row.
    pub(crate) async fn number(self, conn: &mut Conn, operation: &'static str) -> Result<i64> {
        let answer = self.row(conn, operation, |c| c.integer("n")).await?;
        Ok(answer.unwrap_or(0))
    }
}

/// How long a statement may take before its connection is taken for dead.
const LONGEST: Duration = Duration::from_secs(60);

/// What is to be had from the database within its time.
pub(crate) async fn in_time<T>(
    asked: impl Future<Output = std::result::Result<T, sqlx::Error>>,
) -> std::result::Result<T, Cause> {
    match tokio::time::timeout(LONGEST, asked).await {
        Ok(answered) => Ok(answered?),
        Err(_) => Err(Cause::Slow),
    }
}
