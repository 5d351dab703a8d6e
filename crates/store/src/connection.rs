//! Connections and transactions.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use sqlx::any::AnyPoolOptions;
use sqlx::pool::PoolConnection;
use sqlx::{Any, AnyConnection, AnyPool, Connection, Transaction};
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
        let failed = |source| Error::Open {
            url: without_password(url),
            source,
        };
        try_once(dialect, url).await.map_err(failed)?;
        let pool = AnyPoolOptions::new()
            .max_connections(dialect.connections())
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

/// A pool tries again until its time is over, and then says that alone: a connection of our own says at
/// once what is wrong.
async fn try_once(dialect: Dialect, url: &str) -> std::result::Result<(), sqlx::Error> {
    let mut connection = AnyConnection::connect(&dialect.url(url)).await?;
    dialect.prepare(&mut connection).await?;
    connection.close().await
}

fn without_password(url: &str) -> String {
    match (url.split_once("://"), url.rfind('@')) {
        (Some((scheme, _)), Some(at)) => format!("{scheme}://…{}", &url[at..]),
        _ => url.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sqlx::Executor;
    use std::time::{Duration, Instant};

    #[tokio::test]
    async fn a_file_that_is_no_database_is_refused_at_once_with_the_reason() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rhyzome.db");
        std::fs::write(&path, "garbage\n".repeat(100)).unwrap();
        let began = Instant::now();
        let Err(Error::Open { source, .. }) =
            Store::open(&format!("sqlite://{}", path.display())).await
        else {
            panic!("it was opened");
        };
        assert!(source.to_string().contains("not a database"), "{source}");
        assert!(began.elapsed() < Duration::from_secs(10));
    }

    #[tokio::test]
    async fn one_who_found_the_disk_full_is_in_nobodys_way() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rhyzome.db");
        let store = Store::open(&format!("sqlite://{}", path.display()))
            .await
            .unwrap();
        for _ in 0..20 {
            let mut tx = store.write().await.unwrap();
            // What SQLite does by itself.
            tx.execute("ROLLBACK").await.unwrap();
        }
        let mut tx = store.write().await.unwrap();
        tx.execute("CREATE TABLE small (i BIGINT)").await.unwrap();
        tx.commit().await.unwrap();
    }

    #[tokio::test]
    async fn a_full_disk_is_told_as_that() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rhyzome.db");
        let store = Store::open(&format!("sqlite://{}", path.display()))
            .await
            .unwrap();
        let mut tx = store.write().await.unwrap();
        // No page more than there are.
        tx.execute("PRAGMA max_page_count = 1").await.unwrap();
        let large = "CREATE TABLE large AS SELECT randomblob(1000000) AS bytes";
        let result = tx.execute(large).await.doing("fill the disk");
        assert!(matches!(result, Err(Error::Full { .. })), "{result:?}");
    }
}
