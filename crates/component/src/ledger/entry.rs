//! One placement in the ledger, and its file.

use std::path::Path;

use rhyzome_model::Timestamp;
use rhyzome_model::placement::{Observed, Placement, PlacementRef};
use serde::{Deserialize, Serialize};

/// What the ledger knows of one placement.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    pub target: PlacementRef,
    /// The newest one that was accepted.
    pub generation: u64,
    /// When it came into its state.
    pub changed: Timestamp,
    pub state: State,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum State {
    /// To be made.
    Accepted { placement: Placement },
    /// Made; what it was when it was last looked at.
    Ensured {
        placement: Placement,
        observed: Observed,
    },
    /// To be removed.
    Removing,
    /// Gone. Kept so that an older job is refused.
    Removed {
        /// Whether the core knows.
        recorded: bool,
    },
}

impl Entry {
    /// What is to be on the host.
    pub fn placement(&self) -> Option<&Placement> {
        match &self.state {
            State::Accepted { placement } | State::Ensured { placement, .. } => Some(placement),
            State::Removing | State::Removed { .. } => None,
        }
    }

    /// What it was when it was last looked at.
    pub fn observed(&self) -> Option<&Observed> {
        match &self.state {
            State::Ensured { observed, .. } => Some(observed),
            State::Accepted { .. } | State::Removing | State::Removed { .. } => None,
        }
    }

    /// Whether ensuring a generation would go back. What is removed in a generation is not made again
    /// in the same one.
    pub(super) fn refuses(&self, generation: u64) -> bool {
        match self.state {
            State::Accepted { .. } | State::Ensured { .. } => generation < self.generation,
            State::Removing | State::Removed { .. } => generation <= self.generation,
        }
    }
}

pub(super) fn read(path: &Path) -> Result<Entry, String> {
    let bytes = std::fs::read(path).map_err(|error| error.to_string())?;
    let entry: Entry = serde_json::from_slice(&bytes).map_err(|error| error.to_string())?;
    let named = path.file_stem().and_then(|name| name.to_str());
    if named != Some(&entry.target.id.to_string()) {
        return Err(format!("it speaks of the placement {}", entry.target.id));
    }
    Ok(entry)
}
