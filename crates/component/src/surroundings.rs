//! What of its machine a component needs on the way to its core: what time it is, and where hosts are.

use std::fmt;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;

use async_trait::async_trait;

use crate::clock::Clock;

/// The machine's own, by default.
#[derive(Clone, Debug)]
pub struct Surroundings {
    /// What certificates are judged by.
    pub clock: Clock,
    /// How a host's name becomes addresses.
    pub names: Arc<dyn Names>,
}

impl Default for Surroundings {
    fn default() -> Self {
        Self {
            clock: Clock::default(),
            names: Arc::new(SystemNames),
        }
    }
}

/// Finds the addresses of hosts.
#[async_trait]
pub trait Names: fmt::Debug + Send + Sync + 'static {
    /// The addresses of a host, at least one, to be tried in this order. Time limits are the caller's.
    ///
    /// # Errors
    /// Where none is found; what is said names the host and who was asked.
    async fn addresses(&self, host: &str) -> io::Result<Vec<IpAddr>>;
}

/// As the machine's C library finds them (getaddrinfo(3)).
#[derive(Clone, Copy, Debug)]
pub struct SystemNames;

#[async_trait]
impl Names for SystemNames {
    async fn addresses(&self, host: &str) -> io::Result<Vec<IpAddr>> {
        let found = tokio::net::lookup_host((host, 0)).await?;
        Ok(found.map(|address| address.ip()).collect())
    }
}
