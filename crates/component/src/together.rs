//! What is asked by several while somebody else is at work, and done at once afterwards: for what costs hardly more for
//! many than for one. Who has the turn takes all that waits, does it, and answers everybody.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

/// One that waits. Dropped without an answer, whoever asked sees the receiver fail, and asks again.
#[derive(Debug)]
pub struct Waiting<Q, E> {
    pub question: Q,
    answer: oneshot::Sender<Result<(), E>>,
}

impl<Q, E> Waiting<Q, E> {
    pub fn tell(self, answer: Result<(), E>) {
        // Fails only where nobody waits any more.
        let _ = self.answer.send(answer);
    }
}

/// Those that wait.
#[derive(Debug)]
pub struct Together<Q, E>(Mutex<Vec<Waiting<Q, E>>>);

impl<Q, E> Default for Together<Q, E> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<Q, E> Together<Q, E> {
    /// Puts a question at the end.
    pub fn put(&self, question: Q) -> oneshot::Receiver<Result<(), E>> {
        let (answer, answered) = oneshot::channel();
        self.waiting().push(Waiting { question, answer });
        answered
    }

    /// Takes all of those that somebody still waits for, in the order in which they came.
    pub fn take(&self) -> Vec<Waiting<Q, E>> {
        let mut taken = std::mem::take(&mut *self.waiting());
        taken.retain(|waiting| !waiting.answer.is_closed());
        taken
    }

    fn waiting(&self) -> MutexGuard<'_, Vec<Waiting<Q, E>>> {
        // Nothing panics between two changes that belong together.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
