//! Connections and transactions.

use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use sqlx::any::AnyPoolOptions;
use sqlx::pool::PoolConnection;
use sqlx::{Any, AnyConnection, AnyPool, Connection, SqlSafeStr, Transaction};
use tokio::sync::OwnedMutexGuard;

use crate::dialect::Dialect;
use crate::statement::in_time;
use crate::url::without_password;
use crate::{Doing, Error, Result, migration};

/// How long a new connection may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// After one was not to be had, the next is asked for no sooner: who comes meanwhile is told at once.
const PAUSE: Duration = Duration::from_secs(1);

/// What every reading function takes: a connection of its own or a transaction's.
pub type Conn = AnyConnection;

/// A site's database.
#[derive(Clone, Debug)]
pub struct Store {
    pool: AnyPool,
    dialect: Dialect,
    url: Arc<str>,
    /// There is one writer at a time: waiting here is fair, does not poll and holds no connection.
    writer: Arc<tokio::sync::Mutex<()>>,
    /// When a connection was not to be had.
    failed: Arc<Mutex<Option<Instant>>>,
}

impl Store {
    /// Opens a database, `sqlite:///path/to/file` or `postgres://user@host/name`, and migrates it to
    /// this program's version.
    ///
    /// # Errors
    /// If it cannot be opened, can only be read, is newer than this program, or was not filled to the end.
    pub async fn open(url: &str) -> Result<Self> {
        let store = Self::open_as_it_is(url).await?;
        migration::run(&store).await?;
        Ok(store)
    }

    /// Opens a database and leaves it at the version at which it is.
    ///
    /// # Errors
    /// As [`Store::open`].
    pub async fn open_as_it_is(url: &str) -> Result<Self> {
        let store = Self::open_to_fill(url).await?;
        store.refuse_unfinished().await?;
        Ok(store)
    }

    /// Opens a database to fill it from elsewhere, also where that was begun before.
    ///
    /// # Errors
    /// If it cannot be opened or can only be read.
    pub async fn open_to_fill(url: &str) -> Result<Self> {
        sqlx::any::install_default_drivers();
        let dialect = Dialect::of(url);
        let failed = |source: sqlx::Error| {
            let url = without_password(url);
            if is_untrusted(&source) {
                Error::OpenUntrusted { url, source }
            } else {
                Error::Open { url, source }
            }
        };
        if try_once(dialect, url).await.map_err(failed)? {
            return Err(Error::OpenReadOnly {
                url: without_password(url),
            });
        }
        let pool = AnyPoolOptions::new()
            .max_connections(dialect.connections())
            .acquire_timeout(match dialect {
                Dialect::Sqlite => Duration::from_secs(30),
                Dialect::Postgres => PATIENCE,
            })
            .after_connect(move |connection, _| Box::pin(dialect.prepare(connection)))
            // A full disk makes SQLite end a transaction by itself, which sqlx does not notice: such a
            // connection could never begin another one.
            .before_acquire(|connection, _| {
                let usable = !connection.is_in_transaction();
                Box::pin(async move { Ok(usable) })
            })
            .connect(&dialect.url(url))
            .await
            .map_err(failed)?;
        Ok(Self {
            pool,
            dialect,
            url: url.into(),
            writer: Arc::default(),
            failed: Arc::default(),
        })
    }

    /// A connection to read with.
    pub async fn read(&self) -> Result<PoolConnection<Any>> {
        self.acquire().await
    }

    /// A transaction to write in, of which there is one at a time over all cores: what it has read
    /// stays true until it commits. Dropped without [`Tx::commit`], it leaves nothing.
    pub async fn write(&self) -> Result<Tx> {
        let turn = self.writer.clone().lock_owned().await;
        let connection = self.acquire().await?;
        let inner = Transaction::begin(connection, Some(self.dialect.begin().into_sql_str()));
        let inner = in_time(inner).await.doing("begin a transaction")?;
        Ok(Tx {
            inner,
            dialect: self.dialect,
            _turn: turn,
        })
    }

    /// A transaction that decides nothing, and need not wait for those that do.
    pub async fn aside(&self) -> Result<Aside> {
        let turn = match self.dialect {
            Dialect::Sqlite => Some(self.writer.clone().lock_owned().await),
            Dialect::Postgres => None,
        };
        let connection = self.acquire().await?;
        let inner = Transaction::begin(connection, Some(self.dialect.begin_aside().into_sql_str()));
        let inner = in_time(inner).await.doing("begin a transaction")?;
        Ok(Aside {
            inner,
            dialect: self.dialect,
            _turn: turn,
        })
    }

    /// A transaction to read in, all as it was at its first look.
    pub async fn snapshot(&self) -> Result<Transaction<'static, Any>> {
        let connection = self.acquire().await?;
        let inner = Transaction::begin(
            connection,
            Some(self.dialect.begin_snapshot().into_sql_str()),
        );
        in_time(inner).await.doing("begin to read")
    }

    pub fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// Where it is, without a password.
    pub fn place(&self) -> String {
        without_password(&self.url)
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Whether the database answers, and takes changes.
    ///
    /// # Errors
    /// What it would say to a change.
    pub async fn ready(&self) -> Result<()> {
        const OPERATION: &str = "be ready";
        let mut connection = self.acquire().await?;
        let read_only = in_time(self.dialect.is_read_only(&mut connection)).await;
        if read_only.doing(OPERATION)? {
            return Err(Error::ReadOnly {
                operation: OPERATION,
                source: sqlx::Error::Configuration("transaction_read_only is on".into()),
            });
        }
        Ok(())
    }

    /// Closes all connections, after what runs on them has ended.
    pub async fn close(&self) {
        self.pool.close().await;
    }

    /// Whether [`Store::close`] was called: the next core sees to what is left.
    pub fn is_closed(&self) -> bool {
        self.pool.is_closed()
    }

    async fn acquire(&self) -> Result<PoolConnection<Any>> {
        const OPERATION: &str = "give a connection";
        let failed = || self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        if failed().is_some_and(|at| at.elapsed() < PAUSE) {
            return Err(sqlx::Error::PoolTimedOut).doing(OPERATION);
        }
        let acquired = self.pool.acquire().await.doing(OPERATION);
        *failed() = match &acquired {
            Err(Error::Away { .. }) => Some(Instant::now()),
            _ => None,
        };
        acquired
    }
}

/// A transaction that may write, and decide what to write from what it reads.
pub struct Tx {
    inner: Transaction<'static, Any>,
    pub(crate) dialect: Dialect,
    // Dropped after the transaction: the next writer begins when this one has ended.
    _turn: OwnedMutexGuard<()>,
}

/// A transaction that notes something about rows that it names, and waits for nobody while it holds
/// any: several of them run beside each other and beside a [`Tx`].
pub struct Aside {
    inner: Transaction<'static, Any>,
    pub(crate) dialect: Dialect,
    _turn: Option<OwnedMutexGuard<()>>,
}

impl Tx {
    pub async fn commit(self) -> Result<()> {
        in_time(self.inner.commit()).await.doing("commit")
    }
}

impl Aside {
    pub async fn commit(self) -> Result<()> {
        in_time(self.inner.commit()).await.doing("commit")
    }
}

impl Deref for Tx {
    type Target = Conn;
    fn deref(&self) -> &Conn {
        &self.inner
    }
}

impl DerefMut for Tx {
    fn deref_mut(&mut self) -> &mut Conn {
        &mut self.inner
    }
}

impl Deref for Aside {
    type Target = Conn;
    fn deref(&self) -> &Conn {
        &self.inner
    }
}

impl DerefMut for Aside {
    fn deref_mut(&mut self) -> &mut Conn {
        &mut self.inner
    }
}

/// Whether it was the server's certificate that was refused: sqlx passes rustls' error on within others.
fn is_untrusted(error: &sqlx::Error) -> bool {
    matches!(error, sqlx::Error::Io(_) | sqlx::Error::Tls(_))
        && error.to_string().contains("invalid peer certificate")
}

/// A pool tries again until its time is over, and then says that alone: a connection of our own says at
/// once what is wrong. Whether the database can only be read.
async fn try_once(dialect: Dialect, url: &str) -> std::result::Result<bool, sqlx::Error> {
    let mut connection = in_time(AnyConnection::connect(&dialect.url(url))).await?;
    dialect.prepare(&mut connection).await?;
    let read_only = dialect.is_read_only(&mut connection).await?;
    connection.close().await?;
    Ok(read_only)
}

#[cfg(test)]
mod tests;
