//! The host's clock, in the model's terms.

use std::time::{SystemTime, UNIX_EPOCH};

use rhyzome_model::Timestamp;

/// Now; what lies before 1970 is 1970.
pub(crate) fn now() -> Timestamp {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    Timestamp::from_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}
