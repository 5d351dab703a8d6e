//! One commit for several transactions.
//!
//! All that writes does so on one connection, in turn. Who is done while others wait for their turn leaves
//! what it did in the open transaction and lets them go on within it, each in a part of its own that can
//! be undone alone. It waits behind them for another turn, in which it commits for all who have done so
//! by then, unless one of them had nobody behind and did it before. So nobody is answered before the commit
//! that has its changes, nobody waits for one that is not under way or next, and where nobody waits for
//! a turn, each commits for itself.
//!
//! ```text
//!   turn ──┬─ done, nobody waits ──► COMMIT ──► all who had joined are told
//!          ├─ done, others wait ──► joined ──┬─ told by another one
//!          │                                 └─ its turn again ──► COMMIT
//!          └─ dropped ──► its part is undone
//! ```
//!
//! Who is dropped while it waits may have been the one to commit: whoever ends a turn or gives a wait up
//! sees to it ([`settle`]).

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rusqlite::ffi;
use tokio::sync::{OwnedSemaphorePermit, watch};

use super::{Leased, Role, Shared};
use crate::cause::Cause;

/// Begins a part of a transaction, ends it, and undoes it.
pub(super) const PART: &str = "SAVEPOINT part";
pub(super) const DONE: &str = "RELEASE part";
pub(super) const UNDO: &str = "ROLLBACK TO part; RELEASE part";

/// How the commit ended that several waited for.
#[derive(Clone, Debug)]
pub(super) enum Ended {
    Done,
    Failed(ffi::Error, Option<String>),
    /// The transaction was undone by the database before.
    Lost,
}

impl Ended {
    pub(super) fn of(done: &rusqlite::Result<()>) -> Self {
        match done {
            Ok(()) => Self::Done,
            Err(rusqlite::Error::SqliteFailure(error, text)) => Self::Failed(*error, text.clone()),
            Err(_) => Self::Lost,
        }
    }

    fn result(self) -> Result<(), Cause> {
        match self {
            Self::Done => Ok(()),
            Self::Failed(error, text) => Err(rusqlite::Error::SqliteFailure(error, text).into()),
            Self::Lost => Err(Cause::Undone),
        }
    }
}

pub(super) type Ending = watch::Receiver<Option<Ended>>;

/// Those whose changes are in the open transaction.
#[derive(Debug, Default)]
pub(super) struct Group {
    open: Mutex<Option<watch::Sender<Option<Ended>>>>,
    /// How many wait for a turn to change something.
    waiting: AtomicUsize,
}

impl Group {
    fn open(&self) -> MutexGuard<'_, Option<watch::Sender<Option<Ended>>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether somebody has joined and was not told yet.
    pub(super) fn is_open(&self) -> bool {
        self.open().is_some()
    }

    pub(super) fn is_waited_for(&self) -> bool {
        self.waiting.load(Ordering::SeqCst) > 0
    }

    pub(super) fn join(&self) -> Ending {
        let mut open = self.open();
        open.get_or_insert_with(|| watch::channel(None).0)
            .subscribe()
    }

    /// Tells all who have joined.
    pub(super) fn end(&self, ended: &Ended) {
        if let Some(told) = self.open().take() {
            told.send_replace(Some(ended.clone()));
        }
    }
}

/// One who waits for a turn, until this is dropped.
pub(super) struct Waits<'a>(&'a Arc<Shared>);

pub(super) fn waits(of: &Arc<Shared>) -> Waits<'_> {
    of.group.waiting.fetch_add(1, Ordering::SeqCst);
    Waits(of)
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.0.group.waiting.fetch_sub(1, Ordering::SeqCst);
        settle(self.0);
    }
}

/// One who has joined and waits for the commit.
struct Joined<'a>(&'a Arc<Shared>);

impl Drop for Joined<'_> {
    fn drop(&mut self) {
        settle(self.0);
    }
}

/// Commits for those who have joined, if nobody else will: nobody has the turn or waits for it.
pub(super) fn settle(of: &Arc<Shared>) {
    if !of.group.is_open() || of.group.is_waited_for() {
        return;
    }
    if let Ok(turn) = of.writing.room.clone().try_acquire_owned() {
        finish(of, turn);
    }
}

/// Commits in a turn for those who have joined, if there are any; they are told how it went.
pub(super) fn finish(of: &Arc<Shared>, turn: OwnedSemaphorePermit) {
    if of.group.is_open()
        && let Ok(mut leased) = Leased::new(of, Role::Write, turn)
    {
        let _told = leased.commit_all();
    }
}

/// Waits for the commit that has the changes of one who has joined, or does it in its turn.
pub(super) async fn committed(of: &Arc<Shared>, mut ending: Ending) -> Result<(), Cause> {
    let _joined = Joined(of);
    let turn = of.writing.room.clone().acquire_owned();
    let turn = tokio::select! {
        biased;
        ended = ending.wait_for(Option::is_some) => {
            let ended = ended.ok().and_then(|ended| ended.clone());
            return ended.unwrap_or(Ended::Lost).result();
        }
        turn = turn => turn,
    };
    if let Some(ended) = ending.borrow().clone() {
        return ended.result();
    }
    let turn = turn.map_err(|_| Cause::Closed)?;
    Leased::new(of, Role::Write, turn)?.commit_all()
}

#[cfg(test)]
mod tests;
