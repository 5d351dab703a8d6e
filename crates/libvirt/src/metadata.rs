//! The metadata service on this host's segments: an address on each, a task that answers there, and what
//! the instances' records say.

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rhyzome_component::DriverError;
use rhyzome_guest::{Callers, Service};
use rhyzome_hostnet::{ServiceError, Services};
use rhyzome_model::NetworkId;
use rhyzome_model::instance::InstancePlacement;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::instances::Instances;

pub struct Metadata {
    services: Services,
    answers: Arc<Service>,
    /// Who listens where.
    tasks: Mutex<HashMap<NetworkId, Task>>,
}

/// Ends with what it is kept in.
struct Task {
    /// The namespace that it listens in: another one of that name is not listened in.
    inode: u64,
    handle: JoinHandle<()>,
}

impl Drop for Task {
    fn drop(&mut self) {
        self.handle.abort();
    }
}

fn failed(error: ServiceError) -> DriverError {
    DriverError::transient("the metadata service is not as it should be").with_source(error)
}

impl Callers for Instances {
    fn at(&self, network: NetworkId, address: Ipv4Addr) -> Option<InstancePlacement> {
        self.wanted_at(network, address)
    }
}

impl Metadata {
    pub fn new(services: Services, instances: Arc<Instances>) -> Self {
        Self {
            services,
            answers: Arc::new(Service::new(instances)),
            tasks: Mutex::default(),
        }
    }

    fn tasks(&self) -> MutexGuard<'_, HashMap<NetworkId, Task>> {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn inode(&self, network: NetworkId) -> Option<u64> {
        self.services.namespace(network).inode()
    }

    fn listens(&self, network: NetworkId) -> bool {
        let inode = self.inode(network);
        let tasks = self.tasks();
        let task = tasks.get(&network);
        task.is_some_and(|task| !task.handle.is_finished() && inode == Some(task.inode))
    }

    /// Answers on a network's segment, which has to be there.
    pub async fn ensure(&self, network: NetworkId, mtu: u16) -> Result<(), DriverError> {
        self.services.ensure(network, mtu).await.map_err(failed)?;
        self.listen(network).await
    }

    async fn listen(&self, network: NetworkId) -> Result<(), DriverError> {
        if self.listens(network) {
            return Ok(());
        }
        // Who listened in a namespace that is gone has the address no longer.
        self.tasks().remove(&network);
        let Some(inode) = self.inode(network) else {
            return Err(DriverError::transient(
                "the metadata service was taken away",
            ));
        };
        let listener = self.services.listen(network).await.map_err(failed)?;
        let listener =
            TcpListener::from_std(listener).map_err(|error| failed(ServiceError::Listen(error)))?;
        let answers = self.answers.clone();
        let handle = tokio::spawn(async move {
            answers.run(network, listener).await;
        });
        self.tasks().insert(network, Task { inode, handle });
        Ok(())
    }

    /// Answers again where this host did before this process: the kernel has kept all but the listener.
    pub async fn take_up(&self, networks: impl Iterator<Item = NetworkId>) {
        for network in networks.filter(|network| self.inode(*network).is_some()) {
            if let Err(error) = self.listen(network).await {
                tracing::warn!(%network, error = error.chain(), "the metadata service is not taken up");
            }
        }
    }

    /// What of it is not as it should be; none where nothing is.
    pub async fn check(&self, network: NetworkId, mtu: u16) -> Result<Option<String>, DriverError> {
        let difference = self.services.check(network, mtu).await.map_err(failed)?;
        let silent = || (!self.listens(network)).then(|| "nobody listens".to_owned());
        Ok(difference.or_else(silent))
    }

    pub async fn remove(&self, network: NetworkId) -> Result<(), DriverError> {
        self.tasks().remove(&network);
        self.services.remove(network).await.map_err(failed)
    }
}
