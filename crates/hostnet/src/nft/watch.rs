//! Noticing that somebody took our tables away, as `nft flush ruleset` does and whoever loads rules of
//! their own with it.

use std::collections::BTreeSet;
use std::time::Duration;

use super::{NftError, tables};

/// Long against what asking nft takes, short against what a stranger on the wire could make of it.
const PERIOD: Duration = Duration::from_secs(5);

/// The tables of all components on this host, as they were when last looked at.
#[derive(Debug, Default)]
pub struct Watch {
    before: BTreeSet<(String, String)>,
}

impl Watch {
    /// Whether a table is gone that was there at the look before.
    ///
    /// # Errors
    /// Where nft cannot be asked.
    pub async fn look(&mut self) -> Result<bool, NftError> {
        let mut now: BTreeSet<_> = tables().await?.into_iter().collect();
        now.retain(|(_, name)| name.starts_with("rhyzome"));
        let gone = !self.before.is_subset(&now);
        self.before = now;
        Ok(gone)
    }
}

/// Waits until a table of ours is gone that was there some seconds before. That may have been us:
/// whoever waits looks then at all that should be there.
pub async fn until_flushed() {
    let mut watch = Watch::default();
    // Where nft cannot be asked, it can be by the next time.
    while !watch.look().await.unwrap_or(false) {
        tokio::time::sleep(PERIOD).await;
    }
}
