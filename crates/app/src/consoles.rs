//! Streams with consoles that are open through this core, and who writes where.
//!
//! ```text
//!   attach ──asked──► session of the hypervisor ──► the hypervisor opens the stream ──► joined
//! ```
//!
//! All of it is in memory: a core that stops ends its streams, and readers come back to the position
//! where they were. A hypervisor has its session with one core, so that core knows who writes.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rhyzome_model::console::{ConsolePiece, ConsoleRequest};
use rhyzome_model::{ComponentId, InstanceId, Timestamp};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// How many pieces or keystrokes wait for whoever is slow.
const QUEUE: usize = 16;

#[derive(Debug, Default)]
pub struct Consoles {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    sessions: HashMap<ComponentId, mpsc::UnboundedSender<ConsoleRequest>>,
    waiting: HashMap<Uuid, (ComponentId, oneshot::Sender<Near>)>,
    writers: HashMap<InstanceId, Place>,
    number: u64,
}

/// What a hypervisor says on a stream: pieces, or why there are none.
pub type Output = Result<ConsolePiece, String>;

/// The hypervisor's end of a stream.
#[derive(Debug)]
pub struct Far {
    pub output: mpsc::Sender<Output>,
    pub input: mpsc::Receiver<Vec<u8>>,
}

/// The caller's end of a stream.
#[derive(Debug)]
pub struct Near {
    pub output: mpsc::Receiver<Output>,
    pub input: mpsc::Sender<Vec<u8>>,
}

/// Who writes to a console.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Writer {
    pub name: String,
    pub since: Timestamp,
}

#[derive(Debug)]
struct Place {
    number: u64,
    writer: Writer,
    lost: CancellationToken,
}

/// The right to write to a console, as long as it lives and nobody takes it over.
#[derive(Debug)]
pub struct Writing {
    consoles: Arc<Consoles>,
    instance: InstanceId,
    number: u64,
    /// Cancelled when somebody takes over.
    pub lost: CancellationToken,
}

impl Consoles {
    /// What a hypervisor's session is to ask it for; a session before it hears nothing any more.
    pub fn requests(&self, component: ComponentId) -> mpsc::UnboundedReceiver<ConsoleRequest> {
        let (sender, receiver) = mpsc::unbounded_channel();
        self.lock().sessions.insert(component, sender);
        receiver
    }

    /// Asks for a stream; none where the hypervisor has no session with this core.
    pub(crate) fn ask(
        self: &Arc<Self>,
        component: ComponentId,
        request: ConsoleRequest,
    ) -> Option<Asked> {
        let (sender, joined) = oneshot::channel();
        let stream = request.stream;
        let mut state = self.lock();
        state.sessions.get(&component)?.send(request).ok()?;
        state.waiting.insert(stream, (component, sender));
        drop(state);
        Some(Asked {
            consoles: Arc::clone(self),
            stream,
            joined,
        })
    }

    /// A hypervisor opens a stream. None where it was not asked to.
    pub fn join(&self, component: ComponentId, stream: Uuid) -> Option<Far> {
        let mut state = self.lock();
        let (asked, _) = state.waiting.get(&stream)?;
        if *asked != component {
            return None;
        }
        let (_, sender) = state.waiting.remove(&stream)?;
        drop(state);
        let (output, from_guest) = mpsc::channel(QUEUE);
        let (input, to_guest) = mpsc::channel(QUEUE);
        let near = Near {
            output: from_guest,
            input,
        };
        // The caller has gone meanwhile where this fails.
        sender.send(near).ok()?;
        Some(Far {
            output,
            input: to_guest,
        })
    }

    /// Lets somebody write, unless somebody else does who is not to be replaced.
    pub(crate) fn write(
        self: &Arc<Self>,
        instance: InstanceId,
        writer: Writer,
        take: bool,
    ) -> Result<Writing, Writer> {
        let mut state = self.lock();
        if let Some(place) = state.writers.get(&instance) {
            if !take {
                return Err(place.writer.clone());
            }
            place.lost.cancel();
        }
        state.number += 1;
        let number = state.number;
        let lost = CancellationToken::new();
        let place = Place {
            number,
            writer,
            lost: lost.clone(),
        };
        state.writers.insert(instance, place);
        drop(state);
        Ok(Writing {
            consoles: Arc::clone(self),
            instance,
            number,
            lost,
        })
    }

    /// Who writes to a console.
    pub fn writer(&self, instance: InstanceId) -> Option<Writer> {
        let state = self.lock();
        state
            .writers
            .get(&instance)
            .map(|place| place.writer.clone())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics between two changes that belong together.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Writing {
    fn drop(&mut self) {
        let mut state = self.consoles.lock();
        let own = |place: &Place| place.number == self.number;
        if state.writers.get(&self.instance).is_some_and(own) {
            state.writers.remove(&self.instance);
        }
    }
}

/// A stream that the hypervisor was asked for.
pub(crate) struct Asked {
    consoles: Arc<Consoles>,
    stream: Uuid,
    joined: oneshot::Receiver<Near>,
}

impl Asked {
    /// Waits until it is open.
    pub async fn joined(mut self) -> Option<Near> {
        (&mut self.joined).await.ok()
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        self.consoles.lock().waiting.remove(&self.stream);
    }
}

#[cfg(test)]
mod tests {
    use rhyzome_model::PlacementId;
    use rhyzome_model::console::ConsoleFrom;
    use rhyzome_model::placement::{PlacementKind, PlacementRef};

    use super::*;

    fn request(stream: u128) -> ConsoleRequest {
        ConsoleRequest {
            stream: Uuid::from_u128(stream),
            target: PlacementRef {
                id: PlacementId(Uuid::nil()),
                kind: PlacementKind::Instance,
                resource: Uuid::nil(),
                network: None,
            },
            from: ConsoleFrom::Last(1),
        }
    }

    #[tokio::test]
    async fn only_the_component_that_was_asked_opens_a_stream_and_only_once() {
        let consoles = Arc::new(Consoles::default());
        let [own, other] = [1, 2].map(|id| ComponentId(Uuid::from_u128(id)));
        let stream = Uuid::from_u128(7);
        assert!(consoles.ask(own, request(7)).is_none(), "nobody is there");
        let mut requests = consoles.requests(own);
        let asked = consoles.ask(own, request(7)).expect("asked");
        assert_eq!(requests.recv().await, Some(request(7)));
        assert!(consoles.join(other, stream).is_none());
        assert!(consoles.join(own, Uuid::from_u128(8)).is_none());
        assert!(consoles.join(own, stream).is_some());
        assert!(asked.joined().await.is_some());
        assert!(consoles.join(own, stream).is_none());
        drop(consoles.ask(own, request(9)).expect("asked"));
        assert!(consoles.join(own, Uuid::from_u128(9)).is_none());
    }

    #[test]
    fn whoever_was_replaced_does_not_take_the_place_with_them() {
        let consoles = Arc::new(Consoles::default());
        let instance = InstanceId(Uuid::nil());
        let writer = |name: &str| Writer {
            name: name.to_owned(),
            since: Timestamp::from_millis(0),
        };
        let first = consoles
            .write(instance, writer("ann"), false)
            .expect("free");
        let refused = consoles.write(instance, writer("bob"), false);
        assert_eq!(refused.err(), Some(writer("ann")));
        let second = consoles
            .write(instance, writer("bob"), true)
            .expect("taken");
        assert!(first.lost.is_cancelled());
        drop(first);
        assert_eq!(consoles.writer(instance), Some(writer("bob")));
        drop(second);
        assert_eq!(consoles.writer(instance), None);
    }
}
