//! Waiting on a condition, with a bound.

use std::time::Duration;

use tokio::time::{Instant, sleep};

/// How long anything in a test may take.
pub const BOUND: Duration = Duration::from_secs(30);

/// Looks again and again until there is something, and returns it.
///
/// # Panics
/// When there is nothing after [`BOUND`].
pub async fn wait_for<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + BOUND;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(Instant::now() < deadline, "in vain: {what}");
        sleep(Duration::from_millis(20)).await;
    }
}
