//! What a component says is taken with caution: of the kind that it is about, no longer than makes sense,
//! and without the one character that a database takes no text with.

use rhyzome_model::instance::InstanceObserved;
use rhyzome_model::placement::{Observed, PlacementKind};

/// The most of a failure, of how a guest ended and of a step's name, in bytes.
pub const FAILURE: usize = 16 << 10;
pub const REASON: usize = 4 << 10;
pub const STEP: usize = 256;
/// The most of what differs on a host, in bytes.
pub const DIFFERENCE: usize = 1 << 10;
/// The most of a word such as a version, in bytes.
pub const WORD: usize = 128;
/// The most host keys of an instance, and of one of them, in bytes.
const KEYS: usize = 16;
const KEY: usize = 4 << 10;

/// A text as it may be kept.
pub fn text(said: &str, most: usize) -> String {
    let mut text = said.replace('\0', "\u{fffd}");
    if text.len() > most {
        text.truncate(text.floor_char_boundary(most));
        text.push('…');
    }
    text
}

/// What was observed, as it may be kept; none where nothing of this kind can be that.
pub fn observed(kind: PlacementKind, said: &Observed) -> Option<Observed> {
    let fits = match said {
        Observed::Network(_) => PlacementKind::Network,
        Observed::Segment => PlacementKind::Segment,
        Observed::Vtep => PlacementKind::Vtep,
        Observed::Lease => PlacementKind::Lease,
        Observed::Peer => PlacementKind::Peer,
        Observed::Instance(_) => PlacementKind::Instance,
    };
    if fits != kind {
        return None;
    }
    Some(match said {
        Observed::Network(network) => {
            let mut network = network.clone();
            network.endpoint_key = text(&network.endpoint_key, WORD);
            network.endpoint_kind = text(&network.endpoint_kind, WORD);
            Observed::Network(network)
        }
        Observed::Instance(said) => Observed::Instance(instance(said)),
        Observed::Segment | Observed::Vtep | Observed::Lease | Observed::Peer => said.clone(),
    })
}

fn instance(said: &InstanceObserved) -> InstanceObserved {
    let mut instance = said.clone();
    instance.reason = text(&instance.reason, REASON);
    instance.accelerator = text(&instance.accelerator, WORD);
    instance.ssh.host_keys.truncate(KEYS);
    for key in &mut instance.ssh.host_keys {
        *key = text(key, KEY);
    }
    instance
}
