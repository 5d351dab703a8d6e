//! Connections and transactions.

use std::ops::{Deref, DerefMut};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use sqlx::pool::PoolConnection;
use sqlx::postgres::PgPoolOptions;
use sqlx::{Connection, PgConnection, PgPool, Postgres, SqlSafeStr, Transaction};
use tokio::sync::OwnedMutexGuard;

use crate::cause::Cause;
use crate::dialect::Dialect;
use crate::sqlite::{self, Role};
use crate::statement::in_time;
use crate::url::without_password;
use crate::{Doing, Error, Result, migration};

mod conn;

pub use conn::Conn;
use conn::Count;

/// Connections to PostgreSQL at a time.
const CONNECTIONS: u32 = 16;
/// How long a new connection may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// After one was not to be had, the next is asked for no sooner: who comes meanwhile is told at once.
const PAUSE: Duration = Duration::from_secs(1);

/// A site's database.
#[derive(Clone, Debug)]
pub struct Store {
    pool: Pool,
    url: Arc<str>,
    statements: Count,
}

#[derive(Clone, Debug)]
enum Pool {
    Sqlite(sqlite::File),
    Postgres(Server),
}

/// PostgreSQL. Clones are the same one.
#[derive(Clone, Debug)]
struct Server {
    pool: PgPool,
    /// There is one writer at a time: waiting here is fair, does not poll and holds no connection.
    writer: Arc<tokio::sync::Mutex<()>>,
    /// When a connection was not to be had.
    failed: Arc<Mutex<Option<Instant>>>,
}

impl Server {
    async fn acquire(&self) -> Result<PoolConnection<Postgres>> {
        const OPERATION: &str = "give a connection";
        let failed = || self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        if failed().is_some_and(|at| at.elapsed() < PAUSE) {
            return Err(Cause::NoConnection).doing(OPERATION);
        }
        let acquired = self.pool.acquire().await.doing(OPERATION);
        *failed() = match &acquired {
            Err(Error::Away { .. }) => Some(Instant::now()),
            _ => None,
        };
        acquired
    }
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
        let failed = |source: Cause| {
            let url = without_password(url);
            if source.is_untrusted() {
                Error::OpenUntrusted { url, source }
            } else {
                Error::Open { url, source }
            }
        };
        let pool = match Dialect::of(url) {
            Dialect::Sqlite => Pool::Sqlite(sqlite::File::open(url).map_err(failed)?),
            Dialect::Postgres => {
                if try_once(url).await.map_err(failed)? {
                    return Err(Error::OpenReadOnly {
                        url: without_password(url),
                    });
                }
                Pool::Postgres(Server {
                    pool: connect(url).await.map_err(failed)?,
                    writer: Arc::default(),
                    failed: Arc::default(),
                })
            }
        };
        Ok(Self {
            pool,
            url: url.into(),
            statements: Count::default(),
        })
    }

    /// A connection to read with.
    pub async fn read(&self) -> Result<Conn> {
        match &self.pool {
            Pool::Sqlite(file) => leased(file, Role::Read, &self.statements).await,
            Pool::Postgres(server) => Ok(Conn::postgres(server.acquire().await?, &self.statements)),
        }
    }

    /// A transaction to write in, of which there is one at a time over all cores: what it has read
    /// stays true until it commits. Dropped without [`Tx::commit`], it leaves nothing.
    pub async fn write(&self) -> Result<Tx> {
        let turn = match &self.pool {
            Pool::Sqlite(_) => None,
            Pool::Postgres(server) => Some(server.writer.clone().lock_owned().await),
        };
        Ok(Tx {
            conn: self.begin(Role::Write, self.dialect().begin()).await?,
            dialect: self.dialect(),
            _turn: turn,
        })
    }

    /// A transaction that decides nothing, and need not wait for those that do.
    pub async fn aside(&self) -> Result<Aside> {
        let text = self.dialect().begin_aside().to_owned();
        Ok(Aside {
            conn: self.begin(Role::Write, text).await?,
            dialect: self.dialect(),
        })
    }

    /// A transaction to read in, all as it was at its first look.
    pub async fn snapshot(&self) -> Result<Conn> {
        let text = self.dialect().begin_snapshot().to_owned();
        self.begin(Role::Read, text).await
    }

    async fn begin(&self, role: Role, text: String) -> Result<Conn> {
        const OPERATION: &str = "begin a transaction";
        match &self.pool {
            Pool::Sqlite(file) => {
                let mut conn = file.acquire(role).await.doing("give a connection")?;
                conn.begin(&text).await.doing(OPERATION)?;
                Ok(Conn::sqlite(conn, &self.statements))
            }
            Pool::Postgres(server) => {
                let connection = server.acquire().await?;
                let text = sqlx::AssertSqlSafe(text).into_sql_str();
                let begun = in_time(Transaction::begin(connection, Some(text))).await;
                Ok(Conn::transaction(begun.doing(OPERATION)?, &self.statements))
            }
        }
    }

    pub fn dialect(&self) -> Dialect {
        match &self.pool {
            Pool::Sqlite(_) => Dialect::Sqlite,
            Pool::Postgres(_) => Dialect::Postgres,
        }
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
        match &self.pool {
            Pool::Sqlite(file) => leased(file, Role::Read, &self.statements).await.map(drop),
            Pool::Postgres(server) => {
                let mut connection = server.acquire().await?;
                if in_time(is_read_only(&mut connection))
                    .await
                    .doing(OPERATION)?
                {
                    return Err(Cause::TransactionReadOnly).doing(OPERATION);
                }
                Ok(())
            }
        }
    }

    /// How many statements were run on it by this process.
    pub fn statements(&self) -> u64 {
        self.statements.load(Ordering::Relaxed)
    }

    /// Closes all connections, after what runs on them has ended.
    pub async fn close(&self) {
        match &self.pool {
            Pool::Sqlite(file) => file.close().await,
            Pool::Postgres(server) => server.pool.close().await,
        }
    }

    /// Whether [`Store::close`] was called: the next core sees to what is left.
    pub fn is_closed(&self) -> bool {
        match &self.pool {
            Pool::Sqlite(file) => file.is_closed(),
            Pool::Postgres(server) => server.pool.is_closed(),
        }
    }
}

async fn leased(file: &sqlite::File, role: Role, count: &Count) -> Result<Conn> {
    let leased = file.acquire(role).await.doing("give a connection")?;
    Ok(Conn::sqlite(leased, count))
}

/// A transaction that may write, and decide what to write from what it reads.
pub struct Tx {
    conn: Conn,
    pub(crate) dialect: Dialect,
    // Dropped after the transaction: the next writer begins when this one has ended.
    _turn: Option<OwnedMutexGuard<()>>,
}

/// A transaction that notes something about rows that it names, and waits for nobody while it holds
/// any: several of them run beside each other and beside a [`Tx`].
pub struct Aside {
    conn: Conn,
    pub(crate) dialect: Dialect,
}

impl Tx {
    pub async fn commit(self) -> Result<()> {
        self.conn.commit().await
    }
}

impl Aside {
    pub async fn commit(self) -> Result<()> {
        self.conn.commit().await
    }
}

impl Deref for Tx {
    type Target = Conn;
    fn deref(&self) -> &Conn {
        &self.conn
    }
}

impl DerefMut for Tx {
    fn deref_mut(&mut self) -> &mut Conn {
        &mut self.conn
    }
}

impl Deref for Aside {
    type Target = Conn;
    fn deref(&self) -> &Conn {
        &self.conn
    }
}

impl DerefMut for Aside {
    fn deref_mut(&mut self) -> &mut Conn {
        &mut self.conn
    }
}

/// Connections to PostgreSQL.
async fn connect(url: &str) -> std::result::Result<PgPool, Cause> {
    let pool = PgPoolOptions::new()
        .max_connections(CONNECTIONS)
        .acquire_timeout(PATIENCE)
        .after_connect(|connection, _| Box::pin(prepare(connection)))
        .connect(url);
    Ok(pool.await?)
}

/// Makes a new connection ready. PostgreSQL is told to notice by itself when this process is gone (its
/// locks are free then), and not to let a transaction hold its locks for ever.
async fn prepare(connection: &mut PgConnection) -> std::result::Result<(), sqlx::Error> {
    let text = "SET client_min_messages = 'warning'; SET lock_timeout = '10s'; \
         SET idle_in_transaction_session_timeout = '60s'; \
         SET tcp_keepalives_idle = 10; SET tcp_keepalives_interval = 5; \
         SET tcp_keepalives_count = 3;";
    sqlx::Executor::execute(connection, text).await.map(drop)
}

/// Whether what is at this connection can only be read: a replica, or a server that is recovering.
async fn is_read_only(connection: &mut PgConnection) -> std::result::Result<bool, sqlx::Error> {
    let text = "SELECT current_setting('transaction_read_only') AS setting";
    let row = sqlx::Executor::fetch_one(connection, text).await?;
    Ok(sqlx::Row::try_get::<String, _>(&row, "setting")? == "on")
}

/// A pool tries again until its time is over, and then says that alone: a connection of our own says at
/// once what is wrong. Whether the database can only be read.
async fn try_once(url: &str) -> std::result::Result<bool, Cause> {
    let mut connection = in_time(PgConnection::connect(url)).await?;
    prepare(&mut connection).await?;
    let read_only = is_read_only(&mut connection).await?;
    connection.close().await?;
    Ok(read_only)
}

#[cfg(test)]
mod tests;
