//! The private keys of the peers that were made on this device: a file each, of mode 0600, in
//! `<data>/peers/<site>/<project>/<name>.key`.

use std::path::PathBuf;
use std::{fs, io};

use rand::TryRngCore;
use rand::rngs::OsRng;
use rhyzome_model::Name;
use rhyzome_wireguard::key::PrivateKey;

use crate::failure::Failure;
use crate::private;
use crate::session::{Cx, Session};

/// The keys of one project of one site.
pub struct Store {
    folder: PathBuf,
}

impl Store {
    /// Asks the core for the site's name: names of peers are unique in a project of a site.
    pub async fn of(cx: &Cx, session: &Session<'_>) -> Result<Self, Failure> {
        let site = session.client.site().get().await?;
        Ok(Self::new(
            cx.paths.data.join("peers"),
            &site.name,
            &session.project,
        ))
    }

    pub fn new(peers: PathBuf, site: &str, project: &Name) -> Self {
        Self {
            folder: peers.join(folder_name(site)).join(project.as_str()),
        }
    }

    pub fn path(&self, name: &Name) -> PathBuf {
        self.folder.join(format!("{name}.key"))
    }

    /// The key of a peer, if it is here.
    pub fn find(&self, name: &Name) -> Result<Option<PrivateKey>, Failure> {
        let path = self.path(name);
        let text = match private::read(&path) {
            Ok(text) => text,
            Err(Failure::Read { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                return Ok(None);
            }
            Err(e) => return Err(e),
        };
        text.trim()
            .parse()
            .map(Some)
            .map_err(|source| Failure::BadKey { path, source })
    }

    /// Makes a key and keeps it. Never replaces one.
    pub fn create(&self, name: &Name) -> Result<PrivateKey, Failure> {
        let key = PrivateKey::generate(&mut OsRng.unwrap_err());
        let mut text = key.to_base64();
        text.push('\n');
        private::create(&self.path(name), text.as_bytes())?;
        Ok(key)
    }

    pub fn remove(&self, name: &Name) -> Result<(), Failure> {
        private::remove(&self.path(name))
    }

    /// The names of all peers whose keys are here, sorted.
    pub fn names(&self) -> Vec<Name> {
        let entries = fs::read_dir(&self.folder).into_iter().flatten().flatten();
        let mut names: Vec<Name> = entries
            .filter_map(|entry| {
                entry
                    .file_name()
                    .to_str()?
                    .strip_suffix(".key")?
                    .parse()
                    .ok()
            })
            .collect();
        names.sort();
        names
    }
}

/// A site's name as that of a folder: nothing in it leads elsewhere.
fn folder_name(site: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let name: String = site
        .chars()
        .map(|c| if plain(c) { c } else { '_' })
        .take(100)
        .collect();
    if name.is_empty() || name.starts_with('.') {
        format!("_{name}")
    } else {
        name
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_kept_until_it_is_removed_and_never_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::new(
            folder.path().to_owned(),
            "../home/a",
            &Name::default_project(),
        );
        let name: Name = "laptop".parse().unwrap();
        assert_eq!(store.find(&name).unwrap(), None);
        let key = store.create(&name).unwrap();
        assert!(store.create(&name).is_err());
        assert_eq!(store.find(&name).unwrap(), Some(key));
        assert_eq!(store.names(), std::slice::from_ref(&name));
        assert_eq!(
            store.path(&name),
            folder.path().join("_.._home_a/default/laptop.key")
        );
        store.remove(&name).unwrap();
        assert_eq!(store.find(&name).unwrap(), None);
    }

    #[test]
    fn a_file_that_is_no_key_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::new(folder.path().to_owned(), "home", &Name::default_project());
        let name: Name = "laptop".parse().unwrap();
        private::write(&store.path(&name), b"nothing").unwrap();
        let error = store.find(&name).unwrap_err().to_string();
        assert!(
            error.ends_with("home/default/laptop.key is not a private key"),
            "{error}"
        );
    }
}
