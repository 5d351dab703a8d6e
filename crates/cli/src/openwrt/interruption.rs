//! Work in a thread of its own that is told when it is interrupted, and ends in good order.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::failure::Failure;

/// Hears of interruptions from when it is made, so that none gets lost between two steps.
pub(super) struct Interruption {
    interrupt: Signal,
    terminate: Signal,
    stop: Arc<AtomicBool>,
}

impl Interruption {
    pub(super) fn new() -> Result<Self, Failure> {
        let hear = |kind| signal(kind).map_err(|source| Failure::Runtime { source });
        Ok(Self {
            interrupt: hear(SignalKind::interrupt())?,
            terminate: hear(SignalKind::terminate())?,
            stop: Arc::default(),
        })
    }

    /// Does something that looks now and then whether it shall stop.
    ///
    /// # Errors
    /// [`Failure::Stopped`], once it has ended; and its own.
    pub(super) async fn during<T: Send + 'static>(
        &mut self,
        work: impl FnOnce(&AtomicBool) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Failure> {
        let stop = Arc::clone(&self.stop);
        let mut task = tokio::task::spawn_blocking(move || work(&stop));
        let outcome = tokio::select! {
            outcome = &mut task => outcome,
            _ = self.interrupt.recv() => self.end(task).await,
            _ = self.terminate.recv() => self.end(task).await,
        };
        let outcome = outcome.expect("the work does not panic");
        match self.stop.load(Ordering::Relaxed) {
            true => Err(Failure::Stopped),
            false => outcome,
        }
    }

    /// Waits for an answer, or for an interruption.
    ///
    /// # Errors
    /// [`Failure::Stopped`], and those of the answer.
    pub(super) async fn or<T, E: Into<Failure>>(
        &mut self,
        answer: impl Future<Output = Result<T, E>>,
    ) -> Result<T, Failure> {
        tokio::select! {
            answer = answer => answer.map_err(Into::into),
            _ = self.interrupt.recv() => Err(Failure::Stopped),
            _ = self.terminate.recv() => Err(Failure::Stopped),
        }
    }

    async fn end<T>(&self, task: tokio::task::JoinHandle<T>) -> Result<T, tokio::task::JoinError> {
        self.stop.store(true, Ordering::Relaxed);
        task.await
    }
}
