//! Reading blobs to see whether they are still what they were.
//!
//! What was found is in the database; how far a reading is, is only known while it runs. A core that is
//! started again begins it again when somebody asks.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rhyzome_model::{Digest, ProjectId};
use rhyzome_store::blob::{self, Place};
use tokio::sync::watch;

use crate::{Core, Result};

/// A blob that nobody looked at for so long is read by housekeeping. Milliseconds.
const UNSEEN: i64 = 30 * 24 * 3600 * 1000;

/// Whose reading: what one project has read is not seen by another that has the same.
type Which = (ProjectId, Digest);

/// The readings under way, and those that could not be made.
#[derive(Clone, Default)]
pub struct Verifying(Arc<Mutex<HashMap<Which, Reading>>>);

enum Reading {
    /// Bytes read so far.
    Runs(watch::Receiver<u64>),
    /// Why it ended early; until the next one begins.
    Failed(String),
}

impl Verifying {
    /// Joins the reading of a blob that is under way, or begins one.
    pub fn begin(&self, core: &Core, which: Which) -> watch::Receiver<u64> {
        let mut readings = self.lock();
        if let Some(Reading::Runs(progress)) = readings.get(&which) {
            return progress.clone();
        }
        let (sender, receiver) = watch::channel(0);
        readings.insert(which, Reading::Runs(receiver.clone()));
        let (this, core) = (self.clone(), core.clone());
        tokio::spawn(async move {
            let read = verify_all(&core, which.1, &sender).await;
            let mut readings = this.lock();
            match read {
                Ok(()) => readings.remove(&which),
                Err(error) => {
                    tracing::warn!(digest = %which.1, %error, "a blob could not be verified");
                    readings.insert(which, Reading::Failed(error.public().to_owned()))
                }
            };
        });
        receiver
    }

    /// How far the reading of a blob is; none where none is under way.
    pub fn progress(&self, which: Which) -> Option<u64> {
        match self.lock().get(&which) {
            Some(Reading::Runs(progress)) => Some(*progress.borrow()),
            _ => None,
        }
    }

    /// Why the last reading of a blob could not be made.
    pub fn failure(&self, which: Which) -> Option<String> {
        match self.lock().get(&which) {
            Some(Reading::Failed(why)) => Some(why.clone()),
            _ => None,
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Which, Reading>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads a blob in each of its locations and writes down what it is like.
pub async fn verify_all(core: &Core, digest: Digest, progress: &watch::Sender<u64>) -> Result<()> {
    let places = {
        let mut conn = core.store.read().await?;
        blob::places(&mut conn, digest).await?
    };
    for place in places {
        verify(core, &place, progress).await?;
    }
    Ok(())
}

/// Reads the blob that nobody looked at for longest, if that is too long.
pub async fn verify_oldest(core: &Core) -> Result<()> {
    let since = core.now().plus_millis(-UNSEEN);
    let place = {
        let mut conn = core.store.read().await?;
        blob::unverified(&mut conn, since, 1).await?.pop()
    };
    match place {
        Some(place) => verify(core, &place, &watch::channel(0).0).await,
        None => Ok(()),
    }
}

async fn verify(core: &Core, place: &Place, progress: &watch::Sender<u64>) -> Result<()> {
    let Some(location) = core.blobs.named(&place.location) else {
        return Ok(());
    };
    let wanted = (place.digest, place.size.as_bytes());
    let told = |read| {
        progress.send_replace(read);
    };
    let found = rhyzome_blob::verify(location.as_ref(), &super::key(place), wanted, told).await;
    let damage = found.map_err(super::failed)?;
    super::note(core, place, damage.as_deref()).await
}
