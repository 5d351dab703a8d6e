//! Who waits for one thing, a resource or a job, is woken when something about it was committed, and not
//! by what happens to others: so many who wait cost each change nothing.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;
use uuid::Uuid;

/// Those who wait, by what they wait for.
#[derive(Clone, Debug, Default)]
pub struct News(Arc<Mutex<HashMap<Uuid, watch::Sender<()>>>>);

/// One who waits.
#[derive(Debug)]
pub struct Waiting {
    news: News,
    id: Uuid,
    changed: watch::Receiver<()>,
}

impl News {
    /// Begins to wait for news of a resource or a job: what was committed before this is not told.
    pub fn of(&self, id: Uuid) -> Waiting {
        let changed = self.lock().entry(id).or_default().subscribe();
        Waiting {
            news: self.clone(),
            id,
            changed,
        }
    }

    /// Wakes who waits for one of these.
    pub(crate) fn tell(&self, of: &BTreeSet<Uuid>) {
        let waiting = self.lock();
        for told in of.iter().filter_map(|id| waiting.get(id)) {
            told.send_replace(());
        }
    }

    /// Wakes everybody: nobody knows what happened.
    pub(crate) fn tell_all(&self) {
        for told in self.lock().values() {
            told.send_replace(());
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Uuid, watch::Sender<()>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    /// Returns once there is news since this was made, or since it returned the last time.
    pub async fn changed(&mut self) {
        // What it waits at is there for as long as it waits.
        let _there = self.changed.changed().await;
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let mut waiting = self.news.lock();
        // The last one leaves nothing.
        if waiting
            .get(&self.id)
            .is_some_and(|told| told.receiver_count() == 1)
        {
            waiting.remove(&self.id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn news_wakes_those_who_wait_for_it_and_no_others() {
        let news = News::default();
        let (one, other) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let mut here = [news.of(one), news.of(one)];
        let mut elsewhere = news.of(other);
        news.tell(&BTreeSet::from([one]));
        for waiting in &mut here {
            waiting.changed().await;
        }
        let idle = std::time::Duration::from_millis(20);
        assert!(
            tokio::time::timeout(idle, elsewhere.changed())
                .await
                .is_err()
        );
        news.tell_all();
        elsewhere.changed().await;
        drop((here, elsewhere));
        assert!(news.lock().is_empty());
    }
}
