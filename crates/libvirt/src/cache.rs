//! Images on this host, by digest: fetched once, verified, shared by all instances.
//!
//! A file is verified when it is fetched and once more before its first use by this process, so that
//! what decayed on disk is fetched anew. QEMU's user reads them: they are open to all, as their folder
//! is for those who know a digest.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::io::{self, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use crate::step::Step;
use rhyzome_component::driver::Blobs;
use rhyzome_component::room::{self, Room, rounded};
use rhyzome_component::{DriverError, Progress};
use rhyzome_model::instance::BlobPin;
use rhyzome_model::{Digest, Size};
use sha2::Digest as _;

/// Unused for so long, an image is removed even where there is room.
const OLD: Duration = Duration::from_secs(30 * 24 * 3600);
/// So long what has come of a fetch is kept for the next try, if no instance waits for it.
const KEEP_PARTIAL: Duration = Duration::from_secs(24 * 3600);

pub struct Cache {
    folder: PathBuf,
    bound: Size,
    blobs: Arc<dyn Blobs>,
    /// What this process has found to be whole.
    verified: Mutex<HashSet<Digest>>,
    /// One fetch at a time for each digest.
    fetches: Mutex<HashMap<Digest, Arc<tokio::sync::Mutex<()>>>>,
}

impl Cache {
    /// Opens the folder. What was fetched and had not got its name yet is removed; what has come in part is
    /// gone on with by the next fetch.
    pub fn open(folder: PathBuf, bound: Size, blobs: Arc<dyn Blobs>) -> io::Result<Self> {
        fs::create_dir_all(&folder)?;
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o711))?;
        for entry in fs::read_dir(&folder)? {
            let path = entry?.path();
            if path.extension().is_some_and(|ending| ending == "part") {
                fs::remove_file(path)?;
            }
        }
        Ok(Self {
            folder,
            bound,
            blobs,
            verified: Mutex::default(),
            fetches: Mutex::default(),
        })
    }

    fn path(&self, digest: Digest) -> PathBuf {
        self.folder.join(digest.to_string())
    }

    /// The path of an image's bytes, fetched where they are not here or not whole.
    ///
    /// # Errors
    /// The fetch's own, or *transient* where the folder cannot be read or written.
    pub async fn get(&self, pin: BlobPin, progress: &Progress) -> Result<PathBuf, DriverError> {
        let lock = {
            let mut fetches = self.fetches.lock().unwrap_or_else(PoisonError::into_inner);
            fetches.entry(pin.digest).or_default().clone()
        };
        let _one = lock.lock().await;
        let path = self.path(pin.digest);
        if !self.is_whole(pin).await {
            progress.begin(Step::Fetch)?;
            let part = path.with_extension("part");
            self.check_room(pin, &part)?;
            let failed = |what: &str, error: io::Error| {
                DriverError::transient(format!("{what} {} failed", part.display()))
                    .with_source(error)
            };
            match fs::remove_file(&part) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(failed("removing", error));
                }
                _ => {}
            }
            self.blobs.fetch(pin, part.clone(), progress).await?;
            progress.begin(Step::KeepImage)?;
            fs::set_permissions(&part, fs::Permissions::from_mode(0o644))
                .map_err(|error| failed("opening to QEMU", error))?;
            fs::rename(&part, &path).map_err(|error| failed("renaming", error))?;
            self.verified
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .insert(pin.digest);
        }
        // When it was last used, for whoever makes room.
        let _ = fs::File::open(&path).and_then(|file| file.set_modified(SystemTime::now()));
        Ok(path)
    }

    /// What does not fit is not begun.
    fn check_room(&self, pin: BlobPin, part: &Path) -> Result<(), DriverError> {
        let partial = part.with_extension("part.partial");
        let come = fs::metadata(&partial).map_or(0, |metadata| metadata.len());
        let missing = pin.size.as_bytes().saturating_sub(come);
        // Where it cannot be looked at, the fetch will say what is wrong.
        let Ok(room) = Room::at(&self.folder) else {
            return Ok(());
        };
        if room.free >= missing {
            return Ok(());
        }
        let _ = fs::remove_file(&partial);
        Err(DriverError::transient(format!(
            "the image sha256:{} does not fit: {} of it are to be fetched, and {}",
            pin.digest,
            rounded(missing),
            room::told(&self.folder)
        )))
    }

    async fn is_whole(&self, pin: BlobPin) -> bool {
        let path = self.path(pin.digest);
        if !path.exists() {
            return false;
        }
        let known = self
            .verified
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .contains(&pin.digest);
        let size = fs::metadata(&path).is_ok_and(|metadata| metadata.len() == pin.size.as_bytes());
        if known || !size {
            return size;
        }
        let read = tokio::task::spawn_blocking(move || digest_of(&path)).await;
        let whole = matches!(read, Ok(Ok(digest)) if digest == pin.digest);
        if whole {
            self.verified
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .insert(pin.digest);
        } else {
            tracing::warn!(digest = %pin.digest, "an image was damaged on disk and is fetched again");
        }
        whole
    }

    /// Removes images that nobody uses: the old ones, and the oldest ones as long as all together take
    /// more than the bound.
    pub fn make_room(&self, used: &HashSet<Digest>, now: SystemTime) -> io::Result<()> {
        let mut unused = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            let name = entry.file_name();
            let name = name.to_str().unwrap_or_default();
            let metadata = entry.metadata()?;
            let age = now.duration_since(metadata.modified()?).unwrap_or_default();
            let partial = name.strip_suffix(".part.partial");
            let wanted = |text: &str| text.parse().is_ok_and(|digest| used.contains(&digest));
            if partial.is_some_and(|text| !wanted(text)) && age > KEEP_PARTIAL {
                fs::remove_file(entry.path())?;
                continue;
            }
            let digest: Option<Digest> = name.parse().ok();
            if let Some(digest) = digest.filter(|digest| !used.contains(digest)) {
                unused.push((metadata.modified()?, metadata.len(), digest));
            }
        }
        unused.sort();
        let mut total: u64 = unused.iter().map(|(_, size, _)| size).sum();
        for (modified, size, digest) in unused {
            let old = now.duration_since(modified).is_ok_and(|age| age > OLD);
            if old || total > self.bound.as_bytes() {
                fs::remove_file(self.path(digest))?;
                self.verified
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .remove(&digest);
                total -= size;
            }
        }
        Ok(())
    }
}

fn digest_of(path: &Path) -> io::Result<Digest> {
    let mut file = fs::File::open(path)?;
    let mut hash = sha2::Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(Digest::from_bytes(hash.finalize().into())),
            count => hash.update(&buffer[..count]),
        }
    }
}

#[cfg(test)]
mod tests;
