//! Running statements.

use sqlx::Any;
use sqlx::any::AnyArguments;
use sqlx::query::Query;

use crate::column::Columns;
use crate::{Conn, Doing, Result};

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
        Ok(self.execute(conn).await.doing(operation)?.rows_affected())
    }

    async fn rows<T>(
        self,
        conn: &mut Conn,
        operation: &'static str,
        read: impl Fn(&Columns<'_>) -> Result<T>,
    ) -> Result<Vec<T>> {
        let rows = self.fetch_all(conn).await.doing(operation)?;
        rows.iter().map(|row| read(&Columns(row))).collect()
    }

    async fn row<T>(
        self,
        conn: &mut Conn,
        operation: &'static str,
        read: impl Fn(&Columns<'_>) -> Result<T>,
    ) -> Result<Option<T>> {
        let row = self.fetch_optional(conn).await.doing(operation)?;
        row.as_ref().map(|row| read(&Columns(row))).transpose()
    }
}
