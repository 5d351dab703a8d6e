//! Which session is each component's own on this core: the newest one.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rhyzome_model::ComponentId;
use tokio_util::sync::CancellationToken;

#[derive(Debug, Default)]
pub(super) struct Sessions {
    current: Mutex<Current>,
}

#[derive(Debug, Default)]
struct Current {
    next_number: u64,
    sessions: HashMap<ComponentId, (u64, CancellationToken)>,
}

/// A session's place; given up when it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    sessions: Arc<Sessions>,
    component: ComponentId,
    number: u64,
    replaced: CancellationToken,
}

impl Sessions {
    /// Takes the component's place; whoever had it is told to go.
    pub fn enter(self: &Arc<Self>, component: ComponentId) -> Place {
        let replaced = CancellationToken::new();
        let mut current = self.lock();
        let number = current.next_number;
        current.next_number += 1;
        let before = current
            .sessions
            .insert(component, (number, replaced.clone()));
        drop(current);
        if let Some((_, before)) = before {
            before.cancel();
        }
        Place {
            sessions: Arc::clone(self),
            component,
            number,
            replaced,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Current> {
        // Nothing panics between two changes that belong together.
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// Returns when another session of the component has taken the place.
    pub async fn replaced(&self) {
        self.replaced.cancelled().await;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut current = self.sessions.lock();
        if current
            .sessions
            .get(&self.component)
            .is_some_and(|(number, _)| *number == self.number)
        {
            current.sessions.remove(&self.component);
        }
    }
}
