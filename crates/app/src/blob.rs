//! The image host's bytes: where they are, reading them, and removing what nobody needs.
//!
//! A row says where a blob is, and only what a row says is there: bytes come before their row and go
//! after it. Damaged ones are never handed out.

mod verify;
mod whole;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use rhyzome_blob::{Blocks, Folder, Key, Location, Reader, Staged};
use rhyzome_model::image::ImageFormat;
use rhyzome_model::image::recognise::recognise_at;
use rhyzome_model::{Digest, Size};
use rhyzome_store::blob::{self, Garbage, Place};
use rhyzome_store::{Conn, Tx};
use tokio::runtime::Handle;

use crate::{Core, Error, Kind, Result};

pub use verify::{Verifying, verify_all, verify_oldest};

/// The places for bytes that are configured.
#[derive(Clone)]
pub struct Blobs {
    /// New bytes go to the first.
    locations: Vec<Arc<dyn Location>>,
}

impl fmt::Debug for Blobs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(self.locations.iter().map(|at| at.name()))
            .finish()
    }
}

/// What the bytes of a blob were recognised as, or why they are no image.
pub type Recognised = std::result::Result<ImageFormat, String>;

impl Blobs {
    /// A folder alone.
    pub fn folder(path: PathBuf) -> Self {
        Self {
            locations: vec![Arc::new(Folder::new(path))],
        }
    }

    /// New bytes go there from now on; those that are elsewhere stay where they are.
    #[must_use]
    pub fn before(mut self, location: Arc<dyn Location>) -> Self {
        self.locations.insert(0, location);
        self
    }

    /// Where new bytes go.
    pub fn current(&self) -> &Arc<dyn Location> {
        self.locations.first().expect("there is a folder at least")
    }

    pub fn named(&self, name: &str) -> Option<&Arc<dyn Location>> {
        self.locations
            .iter()
            .find(|location| location.name() == name)
    }

    /// Sees whether all of them can be used. One that does not answer just now may do so later.
    pub async fn prepare(&self) -> std::result::Result<(), rhyzome_blob::Error> {
        for location in &self.locations {
            match location.prepare().await {
                Err(error) if error.is_transient() => tracing::warn!(
                    location = location.name(),
                    error = chain(&error),
                    "the storage for images does not answer; the core starts without it"
                ),
                prepared => prepared?,
            }
        }
        Ok(())
    }
}

/// Whether a blob can be read, as its rows say.
pub(crate) async fn is_there(conn: &mut Conn, digest: Digest) -> Result<bool> {
    let places = blob::places(conn, digest).await?;
    Ok(places.iter().any(|place| place.damage.is_none()))
}

/// Reads a part of a blob, from the first place where it is whole. What is read from the first byte to
/// the last is verified on its way: the reader fails before the end of bytes that are damaged.
///
/// # Errors
/// `WrongState` where its bytes are known to be damaged or their location is not configured.
pub async fn read(core: &Core, digest: Digest, range: (u64, u64)) -> Result<Reader> {
    let places = {
        let mut conn = core.store.read().await?;
        blob::places(&mut conn, digest).await?
    };
    let mut wrong = Vec::new();
    for place in places {
        if let Some(damage) = place.damage {
            wrong.push(damage);
            continue;
        }
        let Some(location) = core.blobs.named(&place.location) else {
            wrong.push(format!(
                "they are in {}, which is not configured",
                place.location
            ));
            continue;
        };
        let key = key(&place);
        match location.read(&key, range.0..range.1).await {
            Ok(reader) if range == (0, place.size.as_bytes()) => {
                return Ok(Box::pin(whole::Whole::new(reader, core, place)));
            }
            Ok(reader) => return Ok(reader),
            Err(rhyzome_blob::Error::Missing { .. }) => {
                let damage = "its bytes are not there any more";
                note(core, &place, Some(damage)).await?;
                wrong.push(damage.to_owned());
            }
            Err(error) => return Err(failed(error)),
        }
    }
    if wrong.is_empty() {
        return Err(Error::not_found("blob", &digest));
    }
    let why = format!(
        "the image host cannot give sha256:{digest}: {}; import the image again",
        wrong.join("; ")
    );
    Err(Error::new(Kind::WrongState, why))
}

/// Looks at the bytes under a key.
pub(crate) async fn recognise(
    location: Arc<dyn Location>,
    key: Key,
    size: Size,
) -> Result<Recognised> {
    let blocks = Blocks::new(location, key, size.as_bytes(), Handle::current());
    let found = tokio::task::spawn_blocking(move || recognise_at(&blocks)).await;
    let found = found.map_err(Error::internal)?;
    let found = found.map_err(|source| failed(rhyzome_blob::Error::Read { source }))?;
    Ok(found.map_err(|refused| refused.to_string()))
}

/// Writes down what was found by reading a place's bytes.
pub(crate) async fn note(core: &Core, place: &Place, damage: Option<&str>) -> Result<()> {
    if let Some(damage) = damage {
        tracing::error!(digest = %place.digest, location = place.location, damage, "a blob is damaged");
    }
    let mut tx = core.store.write().await?;
    let at = (place.location.as_str(), place.key.as_str());
    blob::looked_at(&mut tx, at, damage, core.now()).await?;
    tx.commit().await?;
    Ok(())
}

/// Notes in a transaction that bytes are to be removed.
pub(crate) async fn discard(
    tx: &mut Tx,
    core: &Core,
    location: &str,
    staged: &Staged,
) -> Result<Garbage> {
    let garbage = Garbage {
        location: location.to_owned(),
        key: staged.key.as_str().to_owned(),
        staged: json(staged),
    };
    let at = (garbage.location.as_str(), garbage.key.as_str());
    blob::discard(tx, at, &garbage.staged, core.now()).await?;
    Ok(garbage)
}

/// Removes what was noted as garbage. What fails is tried again by the next call.
pub async fn sweep(core: &Core) -> Result<()> {
    let garbage = {
        let mut conn = core.store.read().await?;
        blob::garbage(&mut conn, 1000).await?
    };
    for garbage in garbage {
        remove(core, &garbage).await?;
    }
    Ok(())
}

/// Removes one thing. A failure is logged, and is the next sweep's.
pub(crate) async fn remove(core: &Core, garbage: &Garbage) -> Result<()> {
    let Some(location) = core.blobs.named(&garbage.location) else {
        tracing::warn!(
            location = garbage.location,
            key = garbage.key,
            "not configured: bytes stay there"
        );
        return Ok(());
    };
    let Ok(staged) = serde_json::from_str::<Staged>(&garbage.staged) else {
        tracing::error!(
            key = garbage.key,
            "bytes to remove are not described in a known way"
        );
        return Ok(());
    };
    if let Err(error) = location.discard(&staged).await {
        tracing::warn!(
            error = chain(&error),
            key = garbage.key,
            "bytes are not removed yet"
        );
        return Ok(());
    }
    let mut tx = core.store.write().await?;
    blob::removed(&mut tx, garbage).await?;
    tx.commit().await?;
    Ok(())
}

pub(crate) fn key(place: &Place) -> Key {
    let Ok(key) = place.key.parse();
    key
}

/// As a row keeps it.
pub(crate) fn json(staged: &Staged) -> String {
    serde_json::to_string(staged).expect("texts and numbers alone")
}

/// What callers are told of a location that fails.
pub(crate) fn failed(error: rhyzome_blob::Error) -> Error {
    match error {
        rhyzome_blob::Error::Full { .. } => Error::new(
            Kind::NoCapacity,
            "the core's disk is full: free some space, then go on with the upload",
        ),
        error if error.is_transient() => {
            tracing::warn!(
                error = chain(&error),
                "the image host's storage does not do what it should"
            );
            Error::new(
                Kind::Unavailable,
                "the image host's storage does not answer as it should; the core's log says more",
            )
        }
        error => Error::internal(error),
    }
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        text = format!("{text}: {source}");
        next = source.source();
    }
    text
}
