//! The endpoint's folder, mode 0700, and the files in it, mode 0600.
//!
//! A file is replaced by renaming a complete, synced one over it: after a crash it is the old or
//! the new one. The lock is held by the running process and goes with it, however that ends.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use nix::fcntl::{Flock, FlockArg};
use rand::CryptoRng;
use serde::Serialize;
use serde::de::DeserializeOwned;
use zeroize::Zeroizing;

use crate::key::{KeyError, PrivateKey};
use crate::peers::{Peer, PeerSet};

/// Why the endpoint's folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// The folder cannot be made, or its mode not be set.
    #[error("the folder {path} cannot be made private")]
    Folder {
        /// The folder.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A file cannot be read.
    #[error("{path} cannot be read")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A file cannot be written.
    #[error("{path} cannot be written")]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A file is not the JSON it should be.
    #[error("{path} is not what this program writes there")]
    Json {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// The private key's file holds no key. It is not replaced: clients know its public key.
    #[error("{path} holds no private key")]
    Key {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: KeyError,
    },
    /// Another process has the folder.
    #[error("another endpoint runs in {path}")]
    Locked {
        /// The folder.
        path: PathBuf,
    },
    /// The lock cannot be taken for another reason.
    #[error("{path} cannot be locked")]
    Lock {
        /// The lock's file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// An endpoint's folder.
#[derive(Debug, Clone)]
pub(super) struct StateDir {
    path: PathBuf,
}

/// Held as long as the endpoint runs.
#[derive(Debug)]
pub(super) struct StateLock {
    _file: Flock<File>,
}

impl StateDir {
    /// The folder, which may or may not be there.
    pub(super) fn at(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
        }
    }

    /// The folder, made with mode 0700 if it is not there, and set to it if it is.
    pub(super) fn create(path: &Path) -> Result<Self, StateError> {
        let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
        made.and_then(|()| fs::set_permissions(path, Permissions::from_mode(0o700)))
            .map_err(|source| StateError::Folder {
                path: path.to_owned(),
                source,
            })?;
        Ok(Self::at(path))
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// The socket that this program's own protocol is spoken on.
    pub(super) fn control_socket(&self) -> PathBuf {
        self.path("control.sock")
    }

    /// The socket that `wg` speaks to.
    pub(super) fn wg_socket(&self) -> PathBuf {
        self.path("wg.sock")
    }

    pub(super) fn lock(&self) -> Result<StateLock, StateError> {
        let path = self.path("lock");
        let wrong = |source| StateError::Lock {
            path: path.clone(),
            source,
        };
        let mut open = OpenOptions::new();
        let file = open.create(true).append(true).mode(0o600).open(&path);
        match Flock::lock(file.map_err(wrong)?, FlockArg::LockExclusiveNonblock) {
            Ok(file) => Ok(StateLock { _file: file }),
            Err((_, nix::errno::Errno::EWOULDBLOCK)) => Err(StateError::Locked {
                path: self.path.clone(),
            }),
            Err((_, errno)) => Err(wrong(errno.into())),
        }
    }

    /// The private key, made out of `rng` at the first call.
    pub(super) fn private_key(&self, rng: &mut impl CryptoRng) -> Result<PrivateKey, StateError> {
        const FILE: &str = "private.key";
        if let Some(bytes) = self.read(FILE)? {
            let bytes = Zeroizing::new(bytes);
            let text = std::str::from_utf8(&bytes).unwrap_or_default();
            return text.trim().parse().map_err(|source| StateError::Key {
                path: self.path(FILE),
                source,
            });
        }
        let key = PrivateKey::generate(rng);
        self.write(FILE, key.to_base64().as_bytes())?;
        Ok(key)
    }

    /// The peers that were in force last, by their own words; entries that make no sense are left
    /// out with a warning, for one bad peer must not keep the others away.
    pub(super) fn peers(&self) -> Result<Vec<Peer>, StateError> {
        let values: Vec<serde_json::Value> = self.read_json(PEERS)?.unwrap_or_default();
        let mut peers = Vec::with_capacity(values.len());
        for value in values {
            match serde_json::from_value(value) {
                Ok(peer) => peers.push(peer),
                Err(error) => tracing::warn!(%error, "left out a peer that makes no sense"),
            }
        }
        Ok(peers)
    }

    pub(super) fn write_peers(&self, peers: &PeerSet) -> Result<(), StateError> {
        let peers: Vec<&Peer> = peers.values().collect();
        self.write_json(PEERS, &peers)
    }

    pub(super) fn read_json<T: DeserializeOwned>(
        &self,
        name: &str,
    ) -> Result<Option<T>, StateError> {
        let Some(bytes) = self.read(name)? else {
            return Ok(None);
        };
        serde_json::from_slice(&Zeroizing::new(bytes))
            .map(Some)
            .map_err(|source| StateError::Json {
                path: self.path(name),
                source,
            })
    }

    pub(super) fn write_json(&self, name: &str, value: &impl Serialize) -> Result<(), StateError> {
        let bytes = serde_json::to_vec(value).map_err(|source| StateError::Json {
            path: self.path(name),
            source,
        })?;
        self.write(name, &Zeroizing::new(bytes))
    }

    fn read(&self, name: &str) -> Result<Option<Vec<u8>>, StateError> {
        let path = self.path(name);
        match fs::read(&path) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(StateError::Read { path, source }),
        }
    }

    fn write(&self, name: &str, bytes: &[u8]) -> Result<(), StateError> {
        let path = self.path(name);
        replace(&self.path, &path, bytes).map_err(|source| StateError::Write { path, source })
    }
}

const PEERS: &str = "peers.json";

fn replace(dir: &Path, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let fresh = path.with_extension("new");
    // A file left by a crash could have another mode; one made here has 0600 from the start.
    match fs::remove_file(&fresh) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut open = OpenOptions::new();
    let mut file = open.create_new(true).write(true).mode(0o600).open(&fresh)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&fresh, path)?;
    File::open(dir)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn the_key_is_made_once_and_only_its_owner_can_read_it() {
        let temp = tempfile::tempdir().unwrap();
        let state = StateDir::create(&temp.path().join("a/b")).unwrap();
        let first = state.private_key(&mut StdRng::seed_from_u64(1)).unwrap();
        let second = state.private_key(&mut StdRng::seed_from_u64(2)).unwrap();
        assert_eq!(first, second);
        assert_eq!(mode(&state.path("private.key")), 0o600);
        assert_eq!(mode(&state.path), 0o700);
    }

    #[test]
    fn a_broken_key_is_reported_and_not_replaced() {
        let temp = tempfile::tempdir().unwrap();
        let state = StateDir::create(temp.path()).unwrap();
        fs::write(state.path("private.key"), "nonsense").unwrap();
        let error = state.private_key(&mut StdRng::seed_from_u64(1));
        assert!(matches!(error, Err(StateError::Key { .. })));
        assert_eq!(fs::read(state.path("private.key")).unwrap(), b"nonsense");
    }

    #[test]
    fn one_process_at_a_time_has_the_folder() {
        let temp = tempfile::tempdir().unwrap();
        let state = StateDir::create(temp.path()).unwrap();
        let held = state.lock().unwrap();
        assert!(matches!(state.lock(), Err(StateError::Locked { .. })));
        drop(held);
        state.lock().unwrap();
    }

    #[test]
    fn a_peer_that_makes_no_sense_does_not_keep_the_others_away() {
        let temp = tempfile::tempdir().unwrap();
        let state = StateDir::create(temp.path()).unwrap();
        let key = PrivateKey::generate(&mut StdRng::seed_from_u64(1)).public_key();
        let peer = Peer::new(key, ["10.9.0.2/32".parse().unwrap()]);
        let text = format!("[{{}}, {}]", serde_json::to_string(&peer).unwrap());
        fs::write(state.path("peers.json"), text).unwrap();
        assert_eq!(state.peers().unwrap(), std::slice::from_ref(&peer));

        state.write_peers(&PeerSet::from([(key, peer)])).unwrap();
        assert_eq!(mode(&state.path("peers.json")), 0o600);
    }
}
