//! What is open at the same time: requests that wait, and streams.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use rhyzome_app::{self as app, authorize::Credential};

use super::Limit;
use crate::context::Api;
use crate::problem::{Failure, Refused};

/// When to try again: nobody knows when another one ends.
const PAUSE: Duration = Duration::from_secs(5);

/// How many of a kind are open; cheap to clone.
#[derive(Debug, Clone)]
pub struct Holds(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    limit: Limit,
    /// With one credential, and in all; 0 is no limit.
    one: u32,
    all: u32,
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    all: u32,
    by: HashMap<Credential, u32>,
}

/// One that is open, until it is dropped.
#[derive(Debug)]
pub struct Held {
    shared: Arc<Shared>,
    by: Credential,
}

impl Holds {
    pub(super) fn new(limit: Limit, one: u32, all: u32) -> Self {
        Self(Arc::new(Shared {
            limit,
            one,
            all,
            open: Mutex::default(),
        }))
    }

    /// Opens one more.
    ///
    /// # Errors
    /// Where that would be too many.
    pub fn open(&self, by: Credential) -> Result<Held, Refused> {
        let mut open = self.0.open();
        let mine = open.by.get(&by).copied().unwrap_or_default();
        let is_full = |limit, present| limit != 0 && present >= limit;
        if is_full(self.0.one, mine) || is_full(self.0.all, open.all) {
            return Err(Refused::TooMany {
                limit: self.0.limit,
                pause: PAUSE,
            });
        }
        open.by.insert(by, mine + 1);
        open.all += 1;
        Ok(Held {
            shared: self.0.clone(),
            by,
        })
    }
}

impl Shared {
    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut open = self.shared.open();
        open.all = open.all.saturating_sub(1);
        let left = open.by.get_mut(&self.by).map(|mine| {
            *mine = mine.saturating_sub(1);
            *mine
        });
        if left == Some(0) {
            open.by.remove(&self.by);
        }
    }
}

/// The layer around requests of known callers: one that wants to wait is refused before anything is
/// done for it.
pub async fn waits(
    State(api): State<Api>,
    mut request: Request,
    next: Next,
) -> Result<Response, Failure> {
    let caller = request.extensions().get::<app::Caller>();
    if let Some(caller) = caller.filter(|_| wants_to_wait(&request)) {
        let held = api.limits.waits.open(caller.credential)?;
        request.extensions_mut().insert(Arc::new(held));
    }
    Ok(next.run(request).await)
}

/// The layer around handlers: they may go on when their caller has hung up, and count until they end.
pub async fn during(request: Request, next: Next) -> Response {
    let held = request.extensions().get::<Arc<Held>>().cloned();
    let response = next.run(request).await;
    drop(held);
    response
}

fn wants_to_wait(request: &Request) -> bool {
    let query = request.uri().query().unwrap_or_default();
    form_urlencoded::parse(query.as_bytes()).any(|(name, _)| name == "wait")
}

#[cfg(test)]
mod tests {
    use super::*;
    use rhyzome_model::ApiTokenId;
    use uuid::Uuid;

    fn token(number: u128) -> Credential {
        Credential::Token(ApiTokenId(Uuid::from_u128(number)))
    }

    #[test]
    fn each_has_so_many_and_all_have_so_many() {
        let holds = Holds::new(Limit::Waits, 2, 3);
        let first = holds.open(token(1)).expect("room");
        let _second = holds.open(token(1)).expect("room");
        assert!(holds.open(token(1)).is_err());
        let _third = holds.open(token(2)).expect("room for another");
        assert!(holds.open(token(2)).is_err(), "all are full");
        drop(first);
        let _fourth = holds.open(token(2)).expect("one has ended");
    }

    #[test]
    fn what_has_ended_leaves_nothing() {
        let holds = Holds::new(Limit::Streams, 1, 0);
        for number in 0..1000 {
            drop(holds.open(token(number)).expect("room"));
        }
        assert!(holds.0.open().by.is_empty());
    }

    #[test]
    fn zero_is_no_limit() {
        let holds = Holds::new(Limit::Streams, 0, 0);
        let open: Vec<_> = (0..10_000).map(|_| holds.open(token(1))).collect();
        assert!(open.iter().all(Result::is_ok));
    }
}
