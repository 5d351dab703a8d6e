//! Connections and transactions.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use sqlx::any::AnyPoolOptions;
use sqlx::pool::PoolConnection;
use sqlx::{Any, AnyConnection, AnyPool, Transaction};
use tokio::sync::{Mutex, OwnedMutexGuard};

use crate::dialect::Dialect;
use crate::{Doing, Error, Result, migration};

/// What every reading function takes: a connection of its own or a transaction's.
pub type Conn = AnyConnection;

/// A site's database.
#[derive(Clone, Debug)]
pub struct Store {
    pool: AnyPool,
    dialect: Dialect,
    /// SQLite has one writer: waiting here is fair and does not poll.
    writer: Arc<Mutex<()>>,
}

impl Store {
    /// Opens a database, `sqlite:///path/to/file` , and migrates it to this program's version.
    ///
    /// # Errors
    /// If it cannot be opened or is newer than this program.
    pub async fn open(url: &str) -> Result<Self> {
        sqlx::any::install_default_drivers();
        let dialect = Dialect::of(url);
        let pool = AnyPoolOptions::new()
            .max_connections(dialect.connections())
            .after_connect(move |connection, _| Box::pin(dialect.prepare(connection)))
            .connect(&dialect.url(url))
            .await
            .map_err(|source| Error::Open {
                url: without_password(url),
                source,
            })?;
        let store = Self {
            pool,
            dialect,
            writer: Arc::default(),
        };
        migration::run(&store).await?;
        Ok(store)
    }

    /// A connection to read with.
    pub async fn read(&self) -> Result<PoolConnection<Any>> {
        self.pool.acquire().await.doing("give a connection")
    }

    /// A transaction to write in. Dropped without [`Tx::commit`], it leaves nothing.
    pub async fn write(&self) -> Result<Tx> {
        let turn = match self.dialect {
            Dialect::Sqlite => Some(self.writer.clone().lock_owned().await),
        };
        let inner = self
            .pool
            .begin_with(self.dialect.begin())
            .await
            .doing("begin a transaction")?;
        Ok(Tx {
            inner,
            dialect: self.dialect,
            _turn: turn,
        })
    }

    pub fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// Closes all connections, after what runs on them has ended.
    pub async fn close(&self) {
        self.pool.close().await;
    }
}

/// A transaction that may write.
pub struct Tx {
    inner: Transaction<'static, Any>,
    pub(crate) dialect: Dialect,
    // Dropped after the transaction: the next writer begins when this one has ended.
    _turn: Option<OwnedMutexGuard<()>>,
}

impl Tx {
    pub async fn commit(self) -> Result<()> {
        self.inner.commit().await.doing("commit")
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

fn without_password(url: &str) -> String {
    match (url.split_once("://"), url.rfind('@')) {
        (Some((scheme, _)), Some(at)) => format!("{scheme}://…{}", &url[at..]),
        _ => url.to_owned(),
    }
}
