//! What the driver has to know of its router.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::router::Router;
use crate::system::System;

/// How an [`crate::OpenwrtDriver`] is set up.
#[derive(Clone)]
pub struct Settings {
    /// Where the router's files and programs are.
    pub system: System,
    /// Where records, keys, the journal and snapshots are, as the component sees it: on flash, in the file system of
    /// `/etc/config`. On a router, `/var` is lost at each start.
    pub state_dir: PathBuf,
    /// The trunk, the tunnels' end and the uplink.
    pub router: Router,
    /// The address or name that peers' configurations point at.
    pub public_address: Option<String>,
    /// The UDP ports of endpoints, first and last.
    pub endpoint_ports: (u16, u16),
    /// The largest IP packet that fits the router's segments, in bytes.
    pub mtu: u16,
    /// Whether the core can be reached. Without it, changes are not put back for that.
    pub confirm: Option<Arc<dyn Confirm>>,
    pub times: Times,
}

/// Asked before and after a change of links or rules.
#[async_trait]
pub trait Confirm: Send + Sync + 'static {
    /// Whether the core can be reached now, over the network: a connection that was made before proves nothing.
    async fn core_is_reached(&self) -> bool;
}

/// How long things may take.
#[derive(Clone, Copy, Debug)]
pub struct Times {
    /// From a reload until the router runs as it was configured to.
    pub settle: Duration,
    /// From then until the core can be reached; the change is put back after it.
    pub confirm: Duration,
    /// From one look at what runs to the next.
    pub look: Duration,
}

impl Default for Times {
    fn default() -> Self {
        Self {
            settle: Duration::from_secs(45),
            confirm: Duration::from_secs(60),
            look: Duration::from_secs(20),
        }
    }
}
