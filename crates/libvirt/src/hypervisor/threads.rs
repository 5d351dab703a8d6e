//! The threads that call libvirt, which blocks.
//!
//! They are made at once by one thread that may have changed its own view of the host before (see
//! [`embed`](crate::embed)): a thread inherits the namespaces of the one that makes it, and libvirt's
//! own threads and QEMU processes come from these.

use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;

use tokio::sync::oneshot;

type Job = Box<dyn FnOnce() + Send>;

/// How many calls may be under way; a start takes half a second, most others no time.
const COUNT: usize = 8;

/// A handle; the threads end with its last clone.
#[derive(Clone, Debug)]
pub struct Threads(mpsc::Sender<Job>);

impl Threads {
    /// Makes the threads, after `before` ran on the one that makes them.
    ///
    /// # Errors
    /// `before`'s.
    pub async fn start<E: Send + 'static>(
        before: impl FnOnce() -> Result<(), E> + Send + 'static,
    ) -> Result<Self, E> {
        let (jobs, inbox) = mpsc::channel::<Job>();
        let inbox = Arc::new(Mutex::new(inbox));
        let (started, ready) = oneshot::channel();
        thread::spawn(move || {
            let made = before().map(|()| {
                for _ in 0..COUNT {
                    let inbox = inbox.clone();
                    thread::spawn(move || work(&inbox));
                }
            });
            let _ = started.send(made);
        });
        ready
            .await
            .expect("the thread answers before it ends")
            .map(|()| Self(jobs))
    }

    /// Runs a piece of work; none where the work itself panicked. It may be left out where this future is
    /// dropped before it begins.
    pub async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        let (answer, answered) = oneshot::channel();
        let job = move || {
            // Nobody waits any more for what came when all threads were held up.
            if !answer.is_closed() {
                let _ = answer.send(work());
            }
        };
        self.0.send(Box::new(job)).ok()?;
        answered.await.ok()
    }
}

fn work(inbox: &Mutex<mpsc::Receiver<Job>>) {
    loop {
        let job = inbox.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(job) = job else { return };
        if std::panic::catch_unwind(std::panic::AssertUnwindSafe(job)).is_err() {
            tracing::error!("a call of libvirt panicked");
        }
    }
}
