//! Which uploads this core is receiving: one request at a time for each, and so many at once.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use rhyzome_model::{Digest, ProjectId};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::{Error, Kind, Result};

/// Each has a piece in memory; the others wait without being read.
const AT_ONCE: usize = 32;

pub(super) type Which = (ProjectId, Digest);

#[derive(Clone)]
pub struct Receiving {
    running: Arc<Mutex<HashSet<Which>>>,
    permits: Arc<Semaphore>,
}

impl Default for Receiving {
    fn default() -> Self {
        Self {
            running: Arc::default(),
            permits: Arc::new(Semaphore::new(AT_ONCE)),
        }
    }
}

/// A request that receives; over when it is dropped.
pub(super) struct Guard {
    receiving: Receiving,
    which: Which,
    _permit: OwnedSemaphorePermit,
}

impl Receiving {
    pub(super) async fn begin(&self, project: ProjectId, digest: Digest) -> Result<Guard> {
        let permit = Arc::clone(&self.permits).acquire_owned().await;
        let permit = permit.map_err(Error::internal)?;
        let which = (project, digest);
        if !self.lock().insert(which) {
            let why = format!("another request is sending the bytes of {digest}");
            return Err(Error::new(Kind::InUse, why));
        }
        Ok(Guard {
            receiving: self.clone(),
            which,
            _permit: permit,
        })
    }

    /// What is being received just now.
    pub(super) fn now(&self) -> HashSet<Which> {
        self.lock().clone()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashSet<Which>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.receiving.lock().remove(&self.which);
    }
}
