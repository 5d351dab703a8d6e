//! The embedded database: connections of this process, used on the thread that asks.
//!
//! A statement takes microseconds here, less than to hand it to another thread and to be woken with its
//! answer. What waits for the disk, which is a commit, lets others have the thread's work first. All that
//! changes something runs on one connection, whose pages stay in memory from one change to the next, and
//! those who wait for their turn there share a commit ([`group`]).

mod group;

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags, Row};
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::cause::Cause;
use crate::value::Value;
use group::{Ended, Group};

/// Connections that read at a time.
const READERS: u32 = 8;
/// How long one waits for a connection, or for another process that writes.
const PATIENCE: Duration = Duration::from_secs(30);
const LOOK_AGAIN: Duration = Duration::from_millis(5);
/// Statements that a connection keeps prepared: more than there are.
const STATEMENTS: usize = 512;

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Read,
    Write,
}

/// A database file. Clones are the same one.
#[derive(Clone, Debug)]
pub(crate) struct File(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    path: PathBuf,
    flags: OpenFlags,
    reading: Side,
    writing: Side,
    group: Group,
    closed: AtomicBool,
}

#[derive(Debug)]
struct Side {
    idle: Mutex<Vec<Connection>>,
    /// How many may be in use.
    room: Arc<Semaphore>,
}

impl Side {
    fn new(room: u32) -> Self {
        Self {
            idle: Mutex::default(),
            room: Arc::new(Semaphore::new(room as usize)),
        }
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Connection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shared {
    fn side(&self, role: Role) -> &Side {
        match role {
            Role::Read => &self.reading,
            Role::Write => &self.writing,
        }
    }

    fn connect(&self) -> Result<Connection, Cause> {
        let connection = Connection::open_with_flags(&self.path, self.flags)?;
        connection.set_prepared_statement_cache_capacity(STATEMENTS);
        connection.busy_timeout(PATIENCE)?;
        // Plans that do not depend on the values: else one is planned anew whenever they change.
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
        connection.execute_batch(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;",
        )?;
        Ok(connection)
    }
}

impl File {
    /// The file of a URL, `sqlite:///path/to/file` or with `?mode=ro`, `rw` or `rwc` behind it; made if it
    /// is not there, unless a mode says otherwise.
    ///
    /// # Errors
    /// If it cannot be opened, or is no database.
    pub(crate) fn open(url: &str) -> Result<Self, Cause> {
        let (path, flags) = parse(url)?;
        let file = Self(Arc::new(Shared {
            path,
            flags: flags | OpenFlags::SQLITE_OPEN_NO_MUTEX,
            reading: Side::new(READERS),
            writing: Side::new(1),
            group: Group::default(),
            closed: AtomicBool::new(false),
        }));
        let first = file.0.connect()?;
        file.0.writing.idle().push(first);
        Ok(file)
    }

    /// A connection; one that writes is waited for in turn.
    pub(crate) async fn acquire(&self, role: Role) -> Result<Leased, Cause> {
        let turn = self.0.side(role).room.clone().acquire_owned();
        let turn = match role {
            Role::Read => tokio::time::timeout(PATIENCE, turn)
                .await
                .map_err(|_| Cause::NoConnection)?,
            Role::Write => {
                let _waits = group::waits(&self.0);
                turn.await
            }
        };
        let turn = turn.map_err(|_| Cause::Closed)?;
        let leased = Leased::new(&self.0, role, turn)?;
        if self.is_closed() {
            return Err(Cause::Closed);
        }
        Ok(leased)
    }

    /// Closes all connections, each after what runs on it has ended.
    pub(crate) async fn close(&self) {
        self.0.closed.store(true, Ordering::SeqCst);
        let of_readers = self.0.reading.room.acquire_many(READERS).await;
        let of_writer = self.0.writing.room.clone().acquire_owned().await;
        if let Ok(turn) = of_writer {
            group::finish(&self.0, turn);
        }
        self.0.reading.room.close();
        self.0.writing.room.close();
        drop(of_readers);
        // The last to be closed puts the log into the file.
        self.0.reading.idle().clear();
        self.0.writing.idle().clear();
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.0.closed.load(Ordering::SeqCst)
    }
}

/// The path in a URL, and how it is opened.
fn parse(url: &str) -> Result<(PathBuf, OpenFlags), Cause> {
    let place = url.strip_prefix("sqlite:").unwrap_or(url);
    let place = place.strip_prefix("//").unwrap_or(place);
    let (path, query) = place.split_once('?').unwrap_or((place, ""));
    let flags = match query {
        "" | "mode=rwc" => OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE,
        "mode=rw" => OpenFlags::SQLITE_OPEN_READ_WRITE,
        "mode=ro" => OpenFlags::SQLITE_OPEN_READ_ONLY,
        other => return Err(Cause::Query(other.to_owned())),
    };
    let path = percent_encoding::percent_decode_str(path).decode_utf8_lossy();
    Ok((PathBuf::from(path.as_ref()), flags))
}

/// A connection in use. Dropped, it goes back without what was begun on it and not committed.
#[derive(Debug)]
pub(crate) struct Leased {
    /// There until it is dropped. Never locked: it makes this one that threads may share, who cannot use it.
    connection: Option<Mutex<Connection>>,
    role: Role,
    begun: Begun,
    of: Arc<Shared>,
    turn: Option<OwnedSemaphorePermit>,
}

/// What was begun on a connection in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Begun {
    /// Nothing. There may be a transaction all the same, of others who have joined.
    Nothing,
    /// A transaction.
    Whole,
    /// A part of a transaction that others have joined before.
    Within,
    /// It is over, and what it did stays for those who commit.
    Joined,
}

impl Drop for Leased {
    fn drop(&mut self) {
        let Some(connection) = self.connection.take() else {
            return;
        };
        let connection = connection
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner);
        let clean = connection.is_autocommit()
            || match self.begun {
                Begun::Nothing | Begun::Joined => true,
                Begun::Within => connection.execute_batch(group::UNDO).is_ok(),
                Begun::Whole => connection.execute_batch("ROLLBACK").is_ok(),
            };
        if self.role == Role::Write && (!clean || connection.is_autocommit()) {
            // What had joined before went with it, if anything had.
            self.of.group.end(&Ended::Lost);
        }
        let wanted = !self.of.closed.load(Ordering::SeqCst) || self.of.group.is_open();
        if clean && wanted {
            self.of.side(self.role).idle().push(connection);
        }
        drop(self.turn.take());
        if self.role == Role::Write {
            group::settle(&self.of);
        }
    }
}

impl Leased {
    fn new(of: &Arc<Shared>, role: Role, turn: OwnedSemaphorePermit) -> Result<Self, Cause> {
        let idle = of.side(role).idle().pop();
        let connection = match idle {
            Some(connection) => connection,
            None => of.connect()?,
        };
        Ok(Self {
            connection: Some(Mutex::new(connection)),
            role,
            begun: Begun::Nothing,
            of: of.clone(),
            turn: Some(turn),
        })
    }

    fn connection(&mut self) -> &mut Connection {
        let connection = self.connection.as_mut().expect("it is there until the end");
        connection.get_mut().unwrap_or_else(PoisonError::into_inner)
    }

    fn execute(&mut self, text: &str) -> rusqlite::Result<()> {
        let mut statement = self.connection().prepare_cached(text)?;
        statement.execute(()).map(drop)
    }

    /// Begins a transaction. Only another process can be in the way, and is waited for.
    pub(crate) async fn begin(&mut self, text: &str) -> Result<(), Cause> {
        if !self.connection().is_autocommit() {
            self.execute(group::PART)?;
            self.begun = Begun::Within;
            return Ok(());
        }
        let asked = Instant::now();
        loop {
            match self.try_to_begin(text) {
                Err(error)
                    if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy)
                        && asked.elapsed() < PATIENCE => {}
                done => {
                    done?;
                    self.begun = Begun::Whole;
                    return Ok(());
                }
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    fn try_to_begin(&mut self, text: &str) -> rusqlite::Result<()> {
        self.connection().busy_timeout(Duration::ZERO)?;
        let begun = self.execute(text);
        self.connection().busy_timeout(PATIENCE)?;
        begun
    }

    /// Commits, together with others that wait to write; what was begun is undone where that fails.
    pub(crate) async fn commit(mut self) -> Result<(), Cause> {
        if self.begun == Begun::Within {
            self.execute(group::DONE)?;
        }
        if self.connection().is_autocommit() || !self.of.group.is_waited_for() {
            return self.commit_all();
        }
        self.begun = Begun::Joined;
        let of = self.of.clone();
        let ended = of.group.join();
        drop(self);
        group::committed(&of, ended).await
    }

    /// Commits what was done here, and for all who have joined.
    fn commit_all(&mut self) -> Result<(), Cause> {
        let mut commit = || self.execute("COMMIT");
        let many = Handle::try_current()
            .is_ok_and(|handle| handle.runtime_flavor() == RuntimeFlavor::MultiThread);
        let done = if many {
            tokio::task::block_in_place(commit)
        } else {
            commit()
        };
        if done.is_err() {
            // Not a part of it alone is undone.
            self.begun = Begun::Whole;
        }
        self.of.group.end(&Ended::of(&done));
        Ok(done?)
    }

    /// Runs several statements without values.
    pub(crate) fn script(&mut self, text: &str) -> Result<(), Cause> {
        Ok(self.connection().execute_batch(text)?)
    }

    /// Whether the database takes a text.
    #[cfg(test)]
    pub(crate) fn prepare(&mut self, text: &str) -> Result<(), Cause> {
        Ok(self.connection().prepare(text).map(drop)?)
    }

    /// Runs a statement to its end; returns how many rows it changed.
    pub(crate) fn run(&mut self, text: &str, values: &[Value]) -> Result<u64, Cause> {
        self.each_row(text, values, |_| Ok::<_, Cause>(true))?;
        Ok(self.connection().changes())
    }

    /// Gives the rows of an answer, until there are none or one is enough.
    pub(crate) fn each_row<E: From<Cause>>(
        &mut self,
        text: &str,
        values: &[Value],
        mut see: impl FnMut(&Row<'_>) -> Result<bool, E>,
    ) -> Result<(), E> {
        let failed = |error: rusqlite::Error| E::from(Cause::from(error));
        let mut statement = self.connection().prepare_cached(text).map_err(failed)?;
        for index in 1..=statement.parameter_count() {
            // It numbers them as they come, whatever they are called.
            let named = statement.parameter_name(index);
            let number = named.and_then(|name| name.get(1..)?.parse::<usize>().ok());
            let value = values.get(number.unwrap_or(index) - 1);
            let value = value.ok_or_else(|| E::from(Cause::NoValue(index)))?;
            statement.raw_bind_parameter(index, value).map_err(failed)?;
        }
        let mut rows = statement.raw_query();
        while let Some(row) = rows.next().map_err(failed)? {
            if !see(row)? {
                break;
            }
        }
        Ok(())
    }
}
