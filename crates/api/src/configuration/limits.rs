//! How much one caller may take of the core. 0 anywhere: as much as they like.

use rhyzome_settings::Complaint;
use serde::{Deserialize, Serialize};

/// The least time that a client may take for taking some bytes, in seconds.
const TAKE_WITHIN: u32 = 5;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Requests in a second with one credential.
    pub requests_per_credential: u32,
    /// The same from one address, of those who have not shown a good credential yet.
    pub requests_per_address: u32,
    /// How often an address may fail to show who it is before it has to pause.
    pub failures_per_address: u32,
    /// Requests that wait (`?wait=`) at the same time, with one credential and in all.
    pub waits_per_credential: u32,
    pub waits: u32,
    /// Streams of events and consoles at the same time, with one credential and in all.
    pub streams_per_credential: u32,
    pub streams: u32,
    /// How long a client may take nothing of what is sent to it, in seconds.
    pub take_within: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            requests_per_credential: 500,
            requests_per_address: 200,
            failures_per_address: 100,
            waits_per_credential: 200,
            waits: 2000,
            streams_per_credential: 100,
            streams: 1000,
            take_within: 60,
        }
    }
}

impl Limits {
    pub(super) fn check(self, complaints: &mut Vec<Complaint>) {
        if (1..TAKE_WITHIN).contains(&self.take_within) {
            complaints.push(Complaint {
                key: "limits.take_within",
                reason: format!(
                    "{} s is too short for a slow line: {TAKE_WITHIN} s are the least, and 0 is no limit",
                    self.take_within
                ),
            });
        }
        let pairs = [
            (
                "limits.waits_per_credential",
                self.waits_per_credential,
                "limits.waits",
                self.waits,
            ),
            (
                "limits.streams_per_credential",
                self.streams_per_credential,
                "limits.streams",
                self.streams,
            ),
        ];
        for (key, one, all_key, all) in pairs {
            if all != 0 && one > all {
                complaints.push(Complaint {
                    key,
                    reason: format!("{one} for one of them is more than {all} for all ({all_key})"),
                });
            }
        }
    }
}
