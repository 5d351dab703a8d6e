//! Images' bytes in a backup, and back to where their rows say that they are.
//!
//! Those in the core's folder are in the backup if that is asked for. Those in object storage stay there,
//! and are in it too if that is asked for; a restored site reads them where they are, and gets those that
//! are missing there out of the backup. Where the object storage is not configured any more, they go to
//! the folder.

use std::collections::HashMap;
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use rhyzome_blob::{Folder, Key, Location, Reader, Staged};
use rhyzome_model::Digest;
use rhyzome_store::Conn;
use rhyzome_store::copy::Cell;
use rhyzome_store::refill::Refill;
use serde::{Deserialize, Serialize};
use tokio::io::AsyncReadExt as _;
use tokio::runtime::Handle;

use super::archive::{self, Hashed, Writer};
use super::restore::broken;
use super::{BackupError, Contents, IMAGES, each};
use crate::configuration::Configuration;
use crate::problem::chain;

/// An image's bytes.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct KeptImage {
    digest: String,
    size: u64,
    /// Whether they are in the backup.
    pub included: bool,
    /// Where they are, if that is not the core's folder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub location: Option<String>,
    /// What they are found by there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    key: Option<String>,
}

/// Where one is: location and key.
type Places = HashMap<String, (String, String)>;

/// All image bytes that the site knows, and none of them in the backup yet.
pub(super) async fn known(
    conn: &mut Conn,
    contents: &Contents,
) -> Result<Vec<KeptImage>, BackupError> {
    let mut places = places(conn, contents).await?;
    let mut images = Vec::new();
    each(conn, contents, ("blobs", ["digest", "size"]), |row| {
        if let [Cell::Text(digest), Cell::Integer(size)] = row {
            let place = places.remove(digest);
            let (location, key) = place.unzip();
            images.push(KeptImage {
                digest: digest.clone(),
                size: u64::try_from(*size).unwrap_or(0),
                included: false,
                location: location.filter(|location| location != Folder::NAME),
                key,
            });
        }
    })
    .await?;
    Ok(images)
}

/// The core's own folder comes before what is elsewhere, and damaged bytes do not count.
async fn places(conn: &mut Conn, contents: &Contents) -> Result<Places, BackupError> {
    let mut places = Places::new();
    let columns = ["digest", "location", "blob_key", "damage"];
    each(conn, contents, ("blob_locations", columns), |row| {
        if let [
            Cell::Text(digest),
            Cell::Text(location),
            Cell::Text(key),
            Cell::Null,
        ] = row
            && (location == Folder::NAME || !places.contains_key(digest))
        {
            places.insert(digest.clone(), (location.clone(), key.clone()));
        }
    })
    .await?;
    Ok(places)
}

/// The folder, and the object storage if one is configured.
struct Locations {
    folder: Arc<dyn Location>,
    objects: Option<Arc<dyn Location>>,
}

impl Locations {
    fn of(settings: &Configuration) -> Result<Self, BackupError> {
        let objects = settings
            .blobs
            .open()
            .map_err(|error| BackupError::Blobs(Box::new(error)))?;
        Ok(Self {
            folder: Arc::new(Folder::new(settings.state_dir.join("blobs"))),
            objects: objects.map(|objects| Arc::new(objects) as Arc<dyn Location>),
        })
    }

    /// Where an image's bytes are, if that is configured.
    fn of_image(&self, image: &KeptImage) -> Option<&Arc<dyn Location>> {
        match &image.location {
            None => Some(&self.folder),
            Some(name) => self.objects.as_ref().filter(|at| at.name() == name),
        }
    }
}

/// Puts the bytes of all of them into a backup; of those that are damaged or not to be had it is said
/// that they are not in it.
pub(super) async fn add(
    writer: &mut Writer,
    settings: &Configuration,
    images: &mut [KeptImage],
) -> Result<(), BackupError> {
    let locations = Locations::of(settings)?;
    for image in images {
        let (Some(location), Some(key)) = (locations.of_image(image), &image.key) else {
            continue;
        };
        let Ok(digest) = image.digest.parse::<Digest>() else {
            continue;
        };
        let at = key_of(key);
        let unreadable = |source| BackupError::Location {
            operation: "read an image",
            source: Box::new(source),
        };
        let wanted = (digest, image.size);
        let wrong = rhyzome_blob::verify(location.as_ref(), &at, wanted, |_| {}).await;
        if let Some(wrong) = wrong.map_err(unreadable)? {
            tracing::warn!(%digest, wrong, "an image is not in the backup");
            continue;
        }
        let bytes = location.read(&at, 0..image.size).await;
        let bytes = Blocking(bytes.map_err(unreadable)?, Handle::current());
        let name = format!("{IMAGES}{key}");
        tokio::task::block_in_place(|| writer.append(&name, image.size, bytes))?;
        image.included = true;
    }
    Ok(())
}

/// Bytes that arrive by themselves, for who waits for them.
struct Blocking(Reader, Handle);

impl Read for Blocking {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.1.block_on(self.0.read(buffer))
    }
}

/// Brings images' bytes to where their rows say that they are, or says in `refill` that they are in the
/// folder now. What is there already is left so. For people: what is nowhere.
pub(super) async fn restore(
    settings: &Configuration,
    path: &Path,
    contents: &Contents,
    refill: &mut Refill,
) -> Result<Vec<String>, BackupError> {
    let locations = Locations::of(settings)?;
    let mut wanted = HashMap::new();
    let mut notes = Vec::new();
    for image in &contents.images {
        match look(&locations, image).await {
            Found::There => {}
            Found::Not(why) if !image.included => notes.extend(why),
            Found::Not(_) => {
                // A backup of before has no keys: what is in it is of the folder.
                if let Some(key) = &image.key {
                    wanted.insert(key.clone(), image);
                }
            }
            Found::Unknown(source) if image.included => {
                return Err(BackupError::Location {
                    operation: "bring images back",
                    source: Box::new(source),
                });
            }
            Found::Unknown(error) => notes.push(format!(
                "not looked at: sha256:{} in {}: {}",
                image.digest,
                image.location.as_deref().unwrap_or_default(),
                chain(&error)
            )),
        }
    }
    archive::read(path, |name, bytes| {
        let Some(key) = name.strip_prefix(IMAGES) else {
            return Ok(());
        };
        let digest =
            digest_in(key).ok_or_else(|| broken(path, format!("{name} is no image's name")))?;
        let image = wanted.get(key);
        let location = match image.map(|image| (image, locations.of_image(image))) {
            Some((_, Some(location))) => location,
            Some((image, None)) => {
                let from = image.location.as_deref().unwrap_or_default();
                refill.move_blob(digest, from, Folder::NAME);
                &locations.folder
            }
            None if contents.images.iter().any(|image| image.key.is_some()) => return Ok(()),
            None => &locations.folder,
        };
        let key = key_of(key);
        let putting = put(location.as_ref(), key, (digest, bytes.1), bytes.0, path);
        tokio::task::block_in_place(|| Handle::current().block_on(putting))
    })?;
    Ok(notes)
}

/// What is known of an image's bytes.
enum Found {
    There,
    /// With what people are told of it.
    Not(Option<String>),
    Unknown(rhyzome_blob::Error),
}

async fn look(locations: &Locations, image: &KeptImage) -> Found {
    let Some(key) = &image.key else {
        return Found::Not(None);
    };
    let name = image.location.as_deref().unwrap_or_default();
    let Some(location) = locations.of_image(image) else {
        return Found::Not(Some(format!(
            "not to be had: the bytes of sha256:{} are in {name}, which blobs.url does not name; set it, or \
             import the image again",
            image.digest
        )));
    };
    match location.size(&key_of(key)).await {
        Ok(Some(size)) if size == image.size => Found::There,
        // What is in the core's own folder is told of by its number.
        Ok(_) if image.location.is_none() => Found::Not(None),
        Ok(_) => Found::Not(Some(format!(
            "not to be had: the bytes of sha256:{} are not in {name} any more; import the image again",
            image.digest
        ))),
        Err(error) => Found::Unknown(error),
    }
}

/// Writes bytes out of a backup.
async fn put(
    location: &dyn Location,
    key: Key,
    (digest, size): (Digest, u64),
    bytes: &mut dyn Read,
    path: &Path,
) -> Result<(), BackupError> {
    let failed = |source| BackupError::Location {
        operation: "bring an image back",
        source: Box::new(source),
    };
    location.prepare().await.map_err(failed)?;
    if location.size(&key).await.map_err(failed)? == Some(size) {
        return Ok(());
    }
    let mut staged = Staged::new(key, size);
    let mut hashed = Hashed::new(bytes);
    let written = async {
        location.open(&mut staged).await.map_err(failed)?;
        // What an earlier restore wrote of it may be anything.
        staged.offset = 0;
        let piece = location.least_piece(size).max(1 << 20);
        while !staged.is_whole() {
            let mut part = Vec::with_capacity(piece);
            let rest = (&mut hashed).take(piece as u64).read_to_end(&mut part);
            if rest.map_err(|error| broken(path, error))? == 0 {
                return Err(broken(path, "an image ends early"));
            }
            location
                .write(&mut staged, Bytes::from(part))
                .await
                .map_err(failed)?;
        }
        let found = hashed.end();
        if found == digest.to_string() {
            return location.finish(&staged).await.map_err(failed);
        }
        let why = format!("the bytes of sha256:{digest} are {found}");
        Err(broken(path, why))
    }
    .await;
    if written.is_err() {
        // The error that matters is the one that ended it.
        let _ = location.discard(&staged).await;
    }
    written
}

/// As a row has it.
fn key_of(text: &str) -> Key {
    let Ok(key) = text.parse();
    key
}

/// The digest in a key, as [`Key`] makes them; none where it is no such key.
fn digest_in(key: &str) -> Option<Digest> {
    let (shelf, file) = key.split_once('/')?;
    let digest = file.get(..64)?;
    let plain = |text: &str| text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    let fits = plain(shelf) && plain(file) && digest.starts_with(shelf);
    digest.parse().ok().filter(|_| fits)
}
