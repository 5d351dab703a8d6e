//! A driver that stops before and behind what it does, until it is let on: while a job hangs there,
//! anything else may happen, its component's death too.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;

use async_trait::async_trait;
use rhyzome_component::fake::FakeDriver;
use rhyzome_component::{Driver, DriverError, Progress};
use rhyzome_model::PlacementId;
use rhyzome_model::component::HostFacts;
use rhyzome_model::job::Action;
use rhyzome_model::placement::{Found, Observed, Placement, PlacementKind, PlacementRef};

/// Where work stops, and what was really done behind it.
#[derive(Debug, Default)]
pub struct Gate {
    /// Some work has just come to a stop.
    stopped: AtomicBool,
    /// The work that is let on may pass.
    pass: AtomicBool,
    /// The highest generation of each placement that was ever made.
    made: Mutex<BTreeMap<PlacementId, u64>>,
}

impl Gate {
    /// Lets one piece of work on, to the next stop or to its end.
    pub async fn let_on<T>(&self, work: &mut Pin<Box<dyn Future<Output = T> + Send>>) -> Option<T> {
        self.pass.store(true, Ordering::SeqCst);
        poll_fn(|context| match work.as_mut().poll(context) {
            Poll::Ready(done) => Poll::Ready(Some(done)),
            Poll::Pending if self.stopped.swap(false, Ordering::SeqCst) => Poll::Ready(None),
            // The ledger is written on another thread.
            Poll::Pending => Poll::Pending,
        })
        .await
    }

    /// The highest generation of a placement that was ever made on the host.
    pub fn made(&self, id: PlacementId) -> Option<u64> {
        let made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        made.get(&id).copied()
    }

    async fn stop(&self) {
        let mut new = true;
        poll_fn(|_| {
            if std::mem::take(&mut new) {
                self.pass.store(false, Ordering::SeqCst);
                self.stopped.store(true, Ordering::SeqCst);
                return Poll::Pending;
            }
            match self.pass.swap(false, Ordering::SeqCst) {
                true => Poll::Ready(()),
                false => Poll::Pending,
            }
        })
        .await;
    }
}

/// A simulated host behind a gate.
pub struct Gated {
    pub host: Arc<FakeDriver>,
    pub gate: Arc<Gate>,
}

#[async_trait]
impl Driver for Gated {
    fn kinds(&self) -> &'static [PlacementKind] {
        self.host.kinds()
    }

    async fn facts(&self) -> Result<HostFacts, DriverError> {
        self.host.facts().await
    }

    async fn ensure(
        &self,
        placement: &Placement,
        progress: &Progress,
    ) -> Result<Observed, DriverError> {
        self.gate.stop().await;
        let ensured = self.host.ensure(placement, progress).await;
        if ensured.is_ok() {
            let made = self.gate.made.lock();
            let mut made = made.unwrap_or_else(PoisonError::into_inner);
            let highest = made.entry(placement.id).or_default();
            *highest = placement.generation.max(*highest);
        }
        self.gate.stop().await;
        ensured
    }

    async fn remove(&self, target: &PlacementRef, progress: &Progress) -> Result<(), DriverError> {
        self.gate.stop().await;
        let removed = self.host.remove(target, progress).await;
        self.gate.stop().await;
        removed
    }

    async fn act(&self, target: &PlacementRef, action: &Action) -> Result<Vec<u8>, DriverError> {
        self.gate.stop().await;
        let acted = self.host.act(target, action).await;
        self.gate.stop().await;
        acted
    }

    async fn inventory(&self, accepted: &[Placement]) -> Result<Vec<Found>, DriverError> {
        let found = self.host.inventory(accepted).await;
        self.gate.stop().await;
        found
    }

    async fn changed(&self) -> PlacementRef {
        self.host.changed().await
    }

    async fn disturbed(&self) {
        self.host.disturbed().await;
    }
}
