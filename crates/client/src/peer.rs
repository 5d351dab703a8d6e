//! Peers of a project.

use rhyzome_model::peer::PeerSpec;
use rhyzome_model::resource::{Peer, PeerSummary};

use crate::Collection;

pub type Peers = Collection<PeerSummary, Peer, PeerSpec>;
