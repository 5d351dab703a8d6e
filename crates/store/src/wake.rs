//! A core's place at its database: that it is the one core there, and what wakes it.
//!
//! With SQLite both are within the process. With PostgreSQL a connection of its own listens, and holds
//! the advisory lock that says that a core runs here; both end with it. Polling is the net under it.

use std::time::Duration;

use rhyzome_model::ComponentId;
use sqlx::Executor;
use sqlx::postgres::{PgListener, PgPoolOptions};
use sqlx::{Postgres, Row};
use tokio::time::{Instant, sleep};

use crate::dialect::Dialect;
use crate::statement::{gathered, in_time, sql};
use crate::{Doing, Error, Result, Store, Tx};

/// The advisory lock of the core that runs: "rhyz" in ASCII, and a number.
const CORE: i64 = 0x7268_797a_0002;
const CHANNEL: &str = "rhyzome";
const EVENTS: &str = "events";
const LOOK_AGAIN: Duration = Duration::from_millis(200);

/// What may have changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wake {
    /// A component may have something to do.
    Component(ComponentId),
    Events,
    /// Nothing was heard for a while: anything may have happened.
    Everything,
}

/// The place. Dropped, another core may take it.
pub struct Place {
    store: Store,
    listener: Option<PgListener>,
}

impl Store {
    /// Takes the place of the one core on this database; waits for one that has just gone.
    ///
    /// # Errors
    /// [`Error::Taken`] if another core has it.
    pub async fn take_place(&self, patience: Duration) -> Result<Place> {
        let deadline = Instant::now() + patience;
        let mut place = Place {
            store: self.clone(),
            listener: None,
        };
        if self.dialect() == Dialect::Sqlite {
            return Ok(place);
        }
        while !place.take().await? {
            if Instant::now() >= deadline {
                return Err(Error::Taken { url: self.place() });
            }
            sleep(LOOK_AGAIN).await;
        }
        Ok(place)
    }
}

impl Place {
    /// Whether the place could be taken, on a new connection.
    async fn take(&mut self) -> Result<bool> {
        const OPERATION: &str = "take a core's place";
        let connecting = PgPoolOptions::new()
            .max_connections(1)
            .acquire_timeout(Duration::from_secs(5))
            .connect(self.store.url());
        let pool: sqlx::Pool<Postgres> = connecting.await.doing(OPERATION)?;
        let mut listener = PgListener::connect_with(&pool).await.doing(OPERATION)?;
        listener.ignore_pool_close_event(true);
        listener.eager_reconnect(false);
        // The server notices within half a minute when the machine of a core is gone.
        let settings = "SET tcp_keepalives_idle = 10; SET tcp_keepalives_interval = 5; \
             SET tcp_keepalives_count = 3;";
        in_time(listener.execute(settings)).await.doing(OPERATION)?;
        #[expect(
            clippy::disallowed_methods,
            reason = "it is PostgreSQL's alone, and run by each start on it"
        )]
        let asked = sqlx::query("SELECT pg_try_advisory_lock($1) AS taken").bind(CORE);
        let row = in_time(listener.fetch_one(asked)).await.doing(OPERATION)?;
        if !row.try_get::<bool, _>("taken").doing(OPERATION)? {
            return Ok(false);
        }
        in_time(listener.listen(CHANNEL)).await.doing(OPERATION)?;
        self.listener = Some(listener);
        Ok(true)
    }

    /// What happens next; never returns with SQLite.
    ///
    /// # Errors
    /// If the database does not answer, or another core took the place while it did not: to be asked
    /// again after a pause.
    pub async fn next(&mut self) -> Result<Wake> {
        if self.store.dialect() == Dialect::Sqlite {
            return std::future::pending().await;
        }
        let Some(listener) = &mut self.listener else {
            if !self.take().await? {
                let url = self.store.place();
                return Err(Error::Taken { url });
            }
            return Ok(Wake::Everything);
        };
        let heard = listener.try_recv().await;
        match heard {
            Ok(Some(notification)) => Ok(match notification.payload() {
                EVENTS => Wake::Events,
                component => component.parse().map_or(Wake::Everything, Wake::Component),
            }),
            // The connection is lost, and the lock with it.
            Ok(None) => {
                self.listener = None;
                Ok(Wake::Everything)
            }
            Err(error) => {
                self.listener = None;
                Err(error).doing("listen")
            }
        }
    }
}

impl Tx {
    /// Wakes all cores once this is committed.
    pub async fn notify(&mut self, wake: Wake) -> Result<()> {
        if self.dialect == Dialect::Sqlite {
            return Ok(());
        }
        let payload = match wake {
            Wake::Component(component) => component.to_string(),
            Wake::Events => EVENTS.to_owned(),
            Wake::Everything => String::new(),
        };
        gathered(sql!(Postgres: "SELECT pg_notify($1, $2)"))
            .bind(CHANNEL)
            .bind(payload)
            .run(self, "wake the cores")
            .await
            .map(drop)
    }
}
