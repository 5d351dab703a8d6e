//! Says at once when a process that a network needs has ended without being asked to.

use std::collections::HashMap;
use std::sync::Mutex;

use rhyzome_model::NetworkId;
use rhyzome_model::placement::PlacementRef;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::process::Process;

/// One task for each process that is watched.
pub(crate) struct Watch {
    tasks: Mutex<HashMap<NetworkId, HashMap<i32, Watcher>>>,
    ended: mpsc::UnboundedSender<PlacementRef>,
    receive: tokio::sync::Mutex<mpsc::UnboundedReceiver<PlacementRef>>,
}

struct Watcher(JoinHandle<()>);

impl Drop for Watcher {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Watch {
    pub fn new() -> Self {
        let (ended, receive) = mpsc::unbounded_channel();
        Self {
            tasks: Mutex::default(),
            ended,
            receive: tokio::sync::Mutex::new(receive),
        }
    }

    fn tasks(&self) -> std::sync::MutexGuard<'_, HashMap<NetworkId, HashMap<i32, Watcher>>> {
        self.tasks
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Watches exactly these processes of a network, whose end is news of its placement.
    pub fn observe(&self, placement: &PlacementRef, processes: Vec<Process>) {
        let Some(network) = placement.network else {
            return;
        };
        let mut tasks = self.tasks();
        let before = tasks.remove(&network).unwrap_or_default();
        let mut after: HashMap<i32, Watcher> = before
            .into_iter()
            .filter(|(pid, watcher)| {
                !watcher.0.is_finished() && processes.iter().any(|process| process.pid == *pid)
            })
            .collect();
        for process in processes {
            after.entry(process.pid).or_insert_with(|| {
                let (placement, ended) = (placement.clone(), self.ended.clone());
                Watcher(tokio::spawn(async move {
                    if process.ended().await.is_ok() {
                        // Nobody listens any more only when the driver itself is gone.
                        let _ = ended.send(placement);
                    }
                }))
            });
        }
        tasks.insert(network, after);
    }

    /// No longer watches the processes of a network, which are about to be ended.
    pub fn forget(&self, network: NetworkId) {
        self.tasks().remove(&network);
    }

    /// Whether any of its processes are.
    pub fn is_watched(&self, network: NetworkId) -> bool {
        self.tasks().contains_key(&network)
    }

    pub async fn next(&self) -> PlacementRef {
        let mut receive = self.receive.lock().await;
        receive
            .recv()
            .await
            .expect("the watch itself keeps a sender")
    }
}
