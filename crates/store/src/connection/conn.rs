//! A connection, to whichever database it is.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures::TryStreamExt;
use sqlx::pool::PoolConnection;
use sqlx::postgres::PgArguments;
use sqlx::query::Query;
use sqlx::{AssertSqlSafe, PgConnection, Postgres, Transaction};

use crate::cause::Cause;
use crate::column::Columns;
use crate::sqlite::Leased;
use crate::statement::{Prepared, in_time};
use crate::value::Value;
use crate::{Doing, Error, Result};

/// What every reading function takes: a connection of its own or a transaction's.
pub struct Conn(Inner, Count);

/// How many statements were run; shared by all connections of a store.
pub(super) type Count = Arc<AtomicU64>;

enum Inner {
    Sqlite(Leased),
    Postgres(PoolConnection<Postgres>),
    Transaction(Transaction<'static, Postgres>),
    /// With the thread that reads a table on it.
    Lent,
}

/// What answers a statement.
enum Engine<'c> {
    Sqlite(&'c mut Leased),
    Postgres(&'c mut PgConnection),
}

impl Conn {
    pub(super) fn sqlite(leased: Leased, count: &Count) -> Self {
        Self(Inner::Sqlite(leased), count.clone())
    }

    pub(super) fn postgres(connection: PoolConnection<Postgres>, count: &Count) -> Self {
        Self(Inner::Postgres(connection), count.clone())
    }

    pub(super) fn transaction(transaction: Transaction<'static, Postgres>, count: &Count) -> Self {
        Self(Inner::Transaction(transaction), count.clone())
    }

    pub(super) async fn commit(self) -> Result<()> {
        const OPERATION: &str = "commit";
        match self.0 {
            Inner::Sqlite(leased) => leased.commit().await.doing(OPERATION),
            Inner::Transaction(transaction) => in_time(transaction.commit()).await.doing(OPERATION),
            // Nothing was begun.
            Inner::Postgres(_) => Ok(()),
            Inner::Lent => Err(Cause::Lent).doing(OPERATION),
        }
    }

    fn engine(&mut self) -> std::result::Result<Engine<'_>, Cause> {
        self.1.fetch_add(1, Ordering::Relaxed);
        match &mut self.0 {
            Inner::Sqlite(leased) => Ok(Engine::Sqlite(leased)),
            Inner::Postgres(connection) => Ok(Engine::Postgres(connection)),
            Inner::Transaction(transaction) => Ok(Engine::Postgres(transaction)),
            Inner::Lent => Err(Cause::Lent),
        }
    }

    /// Runs a statement; returns how many rows it changed.
    pub(crate) async fn run(&mut self, statement: Prepared) -> std::result::Result<u64, Cause> {
        match self.engine()? {
            Engine::Sqlite(leased) => leased.run(&statement.text, &statement.values),
            Engine::Postgres(connection) => {
                let done = in_time(bound(statement).execute(connection)).await?;
                Ok(done.rows_affected())
            }
        }
    }

    /// Reads at most so many rows of a statement's answer.
    pub(crate) async fn rows<T>(
        &mut self,
        statement: Prepared,
        operation: &'static str,
        limit: usize,
        read: impl Fn(&Columns<'_>) -> Result<T>,
    ) -> Result<Vec<T>> {
        let mut all = Vec::new();
        match self.engine().doing(operation)? {
            Engine::Sqlite(leased) => {
                let see = |row: &rusqlite::Row<'_>| {
                    all.push(read(&Columns::sqlite(row)).map_err(Unread::Row)?);
                    Ok(all.len() < limit)
                };
                match leased.each_row(&statement.text, &statement.values, see) {
                    Ok(()) => {}
                    Err(Unread::Row(error)) => return Err(error),
                    Err(Unread::All(cause)) => return Err(cause).doing(operation),
                }
            }
            Engine::Postgres(connection) => {
                let answer = in_time(bound(statement).fetch_all(connection)).await;
                for row in answer.doing(operation)?.iter().take(limit) {
                    all.push(read(&Columns::Postgres(row))?);
                }
            }
        }
        Ok(all)
    }

    /// Runs several statements that have no values.
    pub(crate) async fn script(&mut self, text: &str) -> std::result::Result<(), Cause> {
        match self.engine()? {
            Engine::Sqlite(leased) => leased.script(text),
            Engine::Postgres(connection) => {
                let script = sqlx::raw_sql(AssertSqlSafe(text.to_owned()));
                in_time(script.execute(connection)).await.map(drop)
            }
        }
    }

    /// Gives all rows of an answer, so many at a time.
    pub(crate) async fn stream<T: Send + 'static, E: From<Error>>(
        &mut self,
        statement: Prepared,
        (operation, chunk): (&'static str, usize),
        read: impl Fn(&Columns<'_>) -> Result<T> + Send + 'static,
        mut take: impl AsyncFnMut(Vec<T>) -> std::result::Result<(), E>,
    ) -> std::result::Result<(), E> {
        let mut leased = match std::mem::replace(&mut self.0, Inner::Lent) {
            Inner::Sqlite(leased) => leased,
            other => {
                self.0 = other;
                return self
                    .stream_postgres(statement, (operation, chunk), read, take)
                    .await;
            }
        };
        let (sender, mut receiver) = tokio::sync::mpsc::channel(1);
        let reading = tokio::task::spawn_blocking(move || {
            let done = in_chunks(&mut leased, &statement, (operation, chunk), read, |rows| {
                sender.blocking_send(rows).is_ok()
            });
            (leased, done)
        });
        let mut taken = Ok(());
        while let (Ok(()), Some(rows)) = (&taken, receiver.recv().await) {
            taken = take(rows).await;
        }
        drop(receiver);
        // It ends by itself, and does not panic.
        let Ok((leased, done)) = reading.await else {
            return Err(Cause::Lent).doing(operation).map_err(E::from);
        };
        self.0 = Inner::Sqlite(leased);
        taken.and(done.map_err(E::from))
    }

    async fn stream_postgres<T, E: From<Error>>(
        &mut self,
        statement: Prepared,
        (operation, chunk): (&'static str, usize),
        read: impl Fn(&Columns<'_>) -> Result<T>,
        mut take: impl AsyncFnMut(Vec<T>) -> std::result::Result<(), E>,
    ) -> std::result::Result<(), E> {
        let Engine::Postgres(connection) = self.engine().doing(operation)? else {
            return Err(Cause::Lent).doing(operation).map_err(E::from);
        };
        let mut answer = bound(statement).fetch(connection);
        let mut rows = Vec::new();
        while let Some(row) = answer.try_next().await.doing(operation)? {
            rows.push(read(&Columns::Postgres(&row))?);
            if rows.len() == chunk {
                take(std::mem::take(&mut rows)).await?;
            }
        }
        if rows.is_empty() {
            return Ok(());
        }
        take(rows).await
    }

    /// What the database says to a text that it does not take.
    #[cfg(test)]
    pub(crate) async fn prepare(&mut self, text: String) -> std::result::Result<(), Cause> {
        use sqlx::{Executor, SqlSafeStr};

        match self.engine()? {
            Engine::Sqlite(leased) => leased.prepare(&text),
            Engine::Postgres(connection) => {
                let text = AssertSqlSafe(text).into_sql_str();
                Ok(connection.prepare(text).await.map(drop)?)
            }
        }
    }
}

/// Why rows were not read to their end.
enum Unread {
    /// One that holds what it should not.
    Row(Error),
    All(Cause),
}

impl From<Cause> for Unread {
    fn from(cause: Cause) -> Self {
        Self::All(cause)
    }
}

/// Reads all rows of an answer of SQLite, until nobody takes them.
fn in_chunks<T>(
    leased: &mut Leased,
    statement: &Prepared,
    (operation, chunk): (&'static str, usize),
    read: impl Fn(&Columns<'_>) -> Result<T>,
    give: impl Fn(Vec<T>) -> bool,
) -> Result<()> {
    let mut rows = Vec::new();
    let see = |row: &rusqlite::Row<'_>| {
        rows.push(read(&Columns::sqlite(row)).map_err(Unread::Row)?);
        Ok(rows.len() < chunk || give(std::mem::take(&mut rows)))
    };
    match leased.each_row(&statement.text, &statement.values, see) {
        Ok(()) => {}
        Err(Unread::Row(error)) => return Err(error),
        Err(Unread::All(cause)) => return Err(cause).doing(operation),
    }
    if !rows.is_empty() {
        give(rows);
    }
    Ok(())
}

/// A statement for PostgreSQL, with its values.
fn bound(statement: Prepared) -> Query<'static, Postgres, PgArguments> {
    let mut query = statement.text.into_query();
    for value in statement.values {
        query = match value {
            Value::Integer(value) => query.bind(value),
            Value::Text(value) => query.bind(value),
        };
    }
    query
}
