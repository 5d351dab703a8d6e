//! Running statements.

use std::time::Duration;

use sqlx::Any;
use sqlx::any::AnyArguments;
use sqlx::query::Query;

use crate::column::Columns;
use crate::{Conn, Doing, Result};

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
