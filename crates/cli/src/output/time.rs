//! Times as people read them: how long ago.

use std::time::{SystemTime, UNIX_EPOCH};

use rhyzome_model::Timestamp;

pub fn now() -> Timestamp {
    let millis = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_millis());
    Timestamp::from_millis(i64::try_from(millis).unwrap_or(i64::MAX))
}

/// `3m ago`; `in 3m` for what is to come; `just now` within two seconds.
pub fn ago(time: Timestamp, now: Timestamp) -> String {
    let millis = now.as_millis().saturating_sub(time.as_millis());
    match millis {
        -2000..2000 => "just now".to_owned(),
        2000.. => format!("{} ago", span(millis)),
        // A moment after "in 1h" was promised it is still an hour to people.
        _ => format!("in {}", span(-millis + 500)),
    }
}

/// A table's column `AGE`.
pub fn age(time: Timestamp, now: Timestamp) -> String {
    span(now.as_millis().saturating_sub(time.as_millis()).max(0))
}

/// Milliseconds in the largest unit of which there are at least two.
fn span(millis: i64) -> String {
    let seconds = millis / 1000;
    match seconds {
        0..120 => format!("{seconds}s"),
        120..7200 => format!("{}m", seconds / 60),
        7200..172_800 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_told_in_one_unit() {
        let at = |seconds: i64| Timestamp::from_millis(seconds * 1000);
        let check = |seconds: i64, expect: &str| {
            assert_eq!(ago(at(1_000_000 - seconds), at(1_000_000)), expect)
        };
        check(1, "just now");
        check(119, "119s ago");
        check(120, "2m ago");
        check(7200, "2h ago");
        check(200_000, "2d ago");
        check(-30, "in 30s");
        assert_eq!(age(at(10), at(5)), "0s");
    }
}
