//! Waiting on a condition, with a bound.

use std::time::{Duration, Instant};

const PAUSE: Duration = Duration::from_millis(20);

/// Looks again and again until there is something, and returns it.
///
/// # Panics
/// When there is nothing within the bound.
pub async fn wait_for<T>(
    what: &str,
    bound: Duration,
    mut look: impl AsyncFnMut() -> Option<T>,
) -> T {
    let until = Instant::now() + bound;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(
            Instant::now() < until,
            "waited {} s in vain: {what}",
            bound.as_secs()
        );
        tokio::time::sleep(PAUSE).await;
    }
}

/// Whether something comes to hold within the bound. Blocks the thread.
pub fn eventually(bound: Duration, mut holds: impl FnMut() -> bool) -> bool {
    let until = Instant::now() + bound;
    loop {
        if holds() {
            return true;
        }
        if Instant::now() >= until {
            return false;
        }
        std::thread::sleep(PAUSE);
    }
}
