//! Networks of a project.

use rhyzome_model::network::NetworkSpec;
use rhyzome_model::resource::{Network, NetworkSummary};

use crate::Collection;

pub type Networks = Collection<NetworkSummary, Network, NetworkSpec>;
