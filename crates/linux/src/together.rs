//! Questions about a network that cost hardly more for many than for one: whoever gets the network's lock
//! answers all that wait for it.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rhyzome_model::NetworkId;
use tokio::sync::oneshot;

use crate::error::Error;

/// A question, and who waits for its answer. Dropped without one, it is asked again by who waits.
#[derive(Debug)]
pub(crate) struct Waiting<Q> {
    pub question: Q,
    answer: oneshot::Sender<Result<(), Error>>,
}

impl<Q> Waiting<Q> {
    pub(crate) fn tell(self, answer: Result<(), Error>) {
        // Fails only where nobody waits any more.
        let _ = self.answer.send(answer);
    }
}

/// The questions that wait, by network.
#[derive(Debug)]
pub(crate) struct Together<Q>(Mutex<HashMap<NetworkId, Vec<Waiting<Q>>>>);

impl<Q> Together<Q> {
    pub(crate) fn new() -> Self {
        Self(Mutex::default())
    }

    /// Adds one to those that wait.
    pub(crate) fn put(
        &self,
        network: NetworkId,
        question: Q,
    ) -> oneshot::Receiver<Result<(), Error>> {
        let (answer, answered) = oneshot::channel();
        let waiting = Waiting { question, answer };
        self.waiting().entry(network).or_default().push(waiting);
        answered
    }

    /// All of a network that somebody still waits for, in the order in which they came.
    pub(crate) fn take(&self, network: NetworkId) -> Vec<Waiting<Q>> {
        let mut taken = self.waiting().remove(&network).unwrap_or_default();
        taken.retain(|waiting| !waiting.answer.is_closed());
        taken
    }

    fn waiting(&self) -> MutexGuard<'_, HashMap<NetworkId, Vec<Waiting<Q>>>> {
        // Nothing panics between two changes that belong together.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
