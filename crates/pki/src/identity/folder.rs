//! The folder that keeps a component's identity.
//!
//! ```text
//! FOLDER/current -> versions/7     the only thing ever switched
//! FOLDER/versions/7/key.pem        0600
//!                   cert.pem
//!                   authority.pem
//!                   component.json
//! FOLDER/joining.pem           0600, while there is no identity yet
//! ```
//!
//! A version is written beside the others, renamed into its place whole, and
//! then `current` is renamed over: a crash between any two steps leaves the
//! old identity or the new one, never a key without its certificate. The
//! version before the current one is kept for whoever is just reading it.
//!
//! The key that a component joins with is here before it asks: if the answer is
//! lost, it asks again as the same one.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt, symlink};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{Identity, IdentityError, NewKey};
use crate::credential::{Credential, Named, chain_to_pem};
use crate::file::{self, FileError};

const CURRENT: &str = "current";
const VERSIONS: &str = "versions";
const KEY: &str = "key.pem";
const CERTIFICATE: &str = "cert.pem";
const AUTHORITY: &str = "authority.pem";
const RECORD: &str = "component.json";
const JOINING: &str = "joining.pem";

/// Where one component keeps itself. One process writes to it at a time.
#[derive(Debug, Clone)]
pub struct IdentityFolder {
    path: PathBuf,
}

/// `component.json`: what stands in no certificate.
#[derive(Debug, Serialize, Deserialize)]
struct Record {
    component: String,
    core: String,
}

impl IdentityFolder {
    /// Names a folder; it need not exist before [`IdentityFolder::save`].
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// Reads the current identity and checks that its parts belong together.
    /// Expiry is not looked at: an expired one may still renew.
    ///
    /// # Errors
    /// [`IdentityError::NotJoined`] where nothing was ever saved; else the one
    /// that names the file at fault.
    pub fn load(&self) -> Result<Identity, IdentityError> {
        let version = self.current()?.ok_or_else(|| IdentityError::NotJoined {
            folder: self.path.display().to_string(),
        })?;
        let certificate = version.join(CERTIFICATE);
        let authority = version.join(AUTHORITY);
        let record_path = version.join(RECORD);
        let credential = Credential::load(&certificate, &version.join(KEY))?;
        let authorities = file::read(&authority)?;
        let record: Record =
            serde_json::from_slice(&file::read(&record_path)?).map_err(|source| {
                IdentityError::Record {
                    path: record_path.display().to_string(),
                    source,
                }
            })?;
        let authorities = Named {
            name: &authority.display().to_string(),
            pem: &authorities,
        };
        let identity = Identity::new(
            credential,
            authorities,
            &certificate.display().to_string(),
            record.core,
        )?;
        if identity.component_id() != record.component {
            return Err(IdentityError::OtherComponent {
                path: record_path.display().to_string(),
                recorded: record.component,
                certified: identity.component_id().to_owned(),
            });
        }
        Ok(identity)
    }

    /// The key to join with: that of an earlier try, if no answer came to it,
    /// or a new one, which is on the disk now.
    ///
    /// # Errors
    /// [`IdentityError::File`], [`IdentityError::MakeKey`], and where what is
    /// there is no key, the one that names it.
    pub fn key_to_join(&self) -> Result<NewKey, IdentityError> {
        let path = self.path.join(JOINING);
        match file::read(&path) {
            Ok(pem) => NewKey::from_pem(Named {
                name: &path.display().to_string(),
                pem: &pem,
            }),
            Err(FileError::Read { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                let key = NewKey::make()?;
                private_folder(&self.path)?;
                file::write_atomic(&path, key.pem().as_bytes(), file::PRIVATE)?;
                Ok(key)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Makes this identity the current one, all of it at once.
    ///
    /// # Errors
    /// [`IdentityError::File`]; the identity that was there is still there.
    pub fn save(&self, identity: &Identity) -> Result<(), IdentityError> {
        let previous = self.current()?;
        let versions = self.path.join(VERSIONS);
        private_folder(&versions)?;
        let number = 1 + highest(&versions).map_err(at(&versions))?;
        let fresh = versions.join(format!("new-{number}"));
        let version = versions.join(number.to_string());
        remove_folder(&fresh)?;
        private_folder(&fresh)?;
        write_version(&fresh, identity)?;
        fs::rename(&fresh, &version).map_err(at(&version))?;
        file::sync_folder(&versions).map_err(at(&versions))?;
        self.switch_to(number)?;
        remove_others(&versions, &[Some(&version), previous.as_ref()]);
        self.forget_joining();
        Ok(())
    }

    /// There is an identity: nobody asks again as the one that had none.
    fn forget_joining(&self) {
        let path = self.path.join(JOINING);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::warn!(path = %path.display(), %error, "a key that is not needed is left");
            }
            _ => {}
        }
    }

    fn switch_to(&self, number: u64) -> Result<(), FileError> {
        let current = self.path.join(CURRENT);
        let fresh = self.path.join("current.new");
        match fs::remove_file(&fresh) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(at(&fresh)(e)),
            _ => {}
        }
        symlink(Path::new(VERSIONS).join(number.to_string()), &fresh).map_err(at(&fresh))?;
        fs::rename(&fresh, &current).map_err(at(&current))?;
        file::sync_folder(&self.path).map_err(at(&self.path))
    }

    /// The folder that `current` points to.
    fn current(&self) -> Result<Option<PathBuf>, FileError> {
        let link = self.path.join(CURRENT);
        match fs::read_link(&link) {
            Ok(target) => Ok(Some(self.path.join(target))),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(FileError::Read { path: link, source }),
        }
    }
}

fn write_version(folder: &Path, identity: &Identity) -> Result<(), FileError> {
    let record = Record {
        component: identity.component_id().to_owned(),
        core: identity.core().to_owned(),
    };
    let record = serde_json::to_string_pretty(&record).expect("two strings are always JSON");
    let credential = identity.credential();
    for (name, text, mode) in [
        (KEY, credential.key_pem(), file::PRIVATE),
        (CERTIFICATE, credential.chain_pem(), file::PUBLIC),
        (
            AUTHORITY,
            chain_to_pem(identity.authorities()),
            file::PUBLIC,
        ),
        (RECORD, record + "\n", file::PUBLIC),
    ] {
        let path = folder.join(name);
        file::write_synced(&path, text.as_bytes(), mode).map_err(at(&path))?;
    }
    file::sync_folder(folder).map_err(at(folder))
}

/// Makes a folder for its owner alone. Those above it, where they are missing, are as usual: what else is
/// in them may have to be reached by others.
fn private_folder(path: &Path) -> Result<(), FileError> {
    if let Some(above) = path.parent() {
        fs::create_dir_all(above).map_err(at(above))?;
    }
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(at(path))
}

fn remove_folder(path: &Path) -> Result<(), FileError> {
    match fs::remove_dir_all(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(at(path)(e)),
        _ => Ok(()),
    }
}

/// The highest number of a version, 0 where there is none.
fn highest(versions: &Path) -> io::Result<u64> {
    let mut highest = 0;
    for entry in fs::read_dir(versions)? {
        let number = entry?.file_name().to_str().and_then(|n| n.parse().ok());
        highest = highest.max(number.unwrap_or(0));
    }
    Ok(highest)
}

/// Removes all versions but these. What cannot be removed now is met again by
/// the next save, so a failure is only worth a line in the log.
fn remove_others(versions: &Path, keep: &[Option<&PathBuf>]) {
    let Ok(entries) = fs::read_dir(versions) else {
        return;
    };
    for path in entries.flatten().map(|entry| entry.path()) {
        if keep.contains(&Some(&path)) {
            continue;
        }
        if let Err(error) = remove_folder(&path) {
            tracing::warn!(%error, "an old identity could not be removed");
        }
    }
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> FileError {
    let path = path.to_owned();
    move |source| FileError::Write { path, source }
}
