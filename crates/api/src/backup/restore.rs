//! From a backup to a site, on a machine that has none.
//!
//! The whole file is checked first. Then the database is marked, so that no core runs on it before the
//! end. It is filled in one transaction; images, the authority and the token are written before that is
//! committed, each of which may be done again. A crash before the end leaves nothing that the same
//! command would not go over, and nothing that is served.

use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use rhyzome_pki::file;
use rhyzome_store::Store;
use rhyzome_store::copy::{Row, Table};
use rhyzome_store::refill::Refill;

use super::archive::{self, Entry, Hashed};
use super::{
    AUTHORITY_CERT, AUTHORITY_KEY, BackupError, CONTENTS, Contents, FORMAT, HEAD, Head, TOKEN,
    images,
};
use crate::certificate;
use crate::configuration::Configuration;
use crate::start;

/// By what the database is filled.
const COMMAND: &str = "rhyzome-api restore";

/// What was brought back.
#[derive(Debug)]
pub struct Restored {
    contents: Contents,
    /// Of images whose bytes are nowhere, for people.
    notes: Vec<String>,
}

impl Restored {
    /// For people: what is there again and what is not, a line each.
    pub fn lines(&self) -> Vec<String> {
        let mut lines = self.contents.without_locations();
        lines.extend(self.notes.iter().cloned());
        lines
    }
}

/// Brings a site back.
///
/// # Errors
/// [`BackupError`]: the database is as it was then.
pub async fn restore(
    settings: &Configuration,
    path: &Path,
    overwrite: bool,
) -> Result<Restored, BackupError> {
    let (head, contents) = checked(path)?;
    check_site(settings, &head)?;
    let _lock = start::take_folder(&settings.state_dir)?;
    let identity = identity(path)?;
    let store = Store::open_to_fill(&settings.db_url()?).await?;
    let _place = store.take_place(start::COMMANDS_PLACE_WITHIN).await?;
    refuse_others(settings, &identity, overwrite)?;
    let mut refill = match store.refill(&head.schema, COMMAND, overwrite).await {
        Err(rhyzome_store::Error::NotEmpty { .. }) if is_here(&store, &head).await? => {
            return Err(BackupError::Already {
                path: path.to_owned(),
            });
        }
        begun => begun?,
    };
    let filled = async {
        let notes = images::restore(settings, path, &contents, &mut refill).await?;
        fill(path, &contents, &mut refill)?;
        Ok(notes)
    };
    let notes = match filled.await {
        Ok(notes) => notes,
        Err(error) => {
            drop(refill);
            // Nothing was replaced yet. Where this fails too, the same command goes over it.
            let _ = store.give_up_filling().await;
            return Err(error);
        }
    };
    restore_identity(settings, &identity)?;
    let told = rhyzome_app::audit::of_restoring(head.made_at);
    let expected = contents.sums();
    refill.finish(&expected, head.made_at, &told).await?;
    store.close().await;
    Ok(Restored { contents, notes })
}

/// Whether just this backup was restored already, and nobody has confirmed it yet.
async fn is_here(store: &Store, head: &Head) -> Result<bool, BackupError> {
    let mut conn = store.read().await?;
    let restored = rhyzome_store::restored::get(&mut conn).await?;
    Ok(restored.is_some_and(|one| one.copied_at == head.made_at && one.confirmed_at.is_none()))
}

/// Reads the tables again, part by part; what was checked may be larger than memory.
fn fill(path: &Path, contents: &Contents, refill: &mut Refill) -> Result<(), BackupError> {
    let tables = contents.sums();
    let handle = tokio::runtime::Handle::current();
    archive::read(path, |name, (bytes, _)| {
        let Some(table) = tables.iter().find(|(table, _)| is_part(name, table)) else {
            return Ok(());
        };
        let rows = rows(path, bytes)?;
        let inserting = refill.insert(&table.0, &rows);
        Ok(tokio::task::block_in_place(|| handle.block_on(inserting))?)
    })
}

fn is_part(name: &str, table: &Table) -> bool {
    let rest = name.strip_prefix("database/");
    rest.and_then(|rest| rest.split_once('/'))
        .is_some_and(|(of, _)| of == table.name)
}

/// Reads the whole file and compares it with what its end says is in it.
fn checked(path: &Path) -> Result<(Head, Contents), BackupError> {
    let mut head = None;
    let mut contents = None;
    let mut found: Vec<Entry> = Vec::new();
    archive::read(path, |name, (bytes, _)| {
        let mut hashed = Hashed::new(bytes);
        let size = match name {
            HEAD => {
                let text = whole(path, &mut hashed)?;
                head = Some(parsed::<Head>(path, &text)?);
                text.len() as u64
            }
            CONTENTS => {
                let text = whole(path, &mut hashed)?;
                contents = Some(parsed::<Contents>(path, &text)?);
                return Ok(());
            }
            _ => io::copy(&mut hashed, &mut io::sink()).map_err(|e| broken(path, e))?,
        };
        found.push(Entry {
            name: name.to_owned(),
            size,
            sha256: hashed.end(),
        });
        Ok(())
    })?;
    let head: Head = head.ok_or_else(|| BackupError::Unfit {
        path: path.to_owned(),
        why: format!("it has no {HEAD}"),
    })?;
    if head.format != FORMAT {
        return Err(BackupError::Unfit {
            path: path.to_owned(),
            why: format!(
                "it has format {}, and this program knows {FORMAT}",
                head.format
            ),
        });
    }
    let contents: Contents = contents.ok_or_else(|| broken(path, "its end is missing"))?;
    if let Some(wrong) = contents.files.iter().find(|file| !found.contains(file)) {
        return Err(broken(
            path,
            format!("{} is not as it was written", wrong.name),
        ));
    }
    Ok((head, contents))
}

pub(super) fn broken(path: &Path, why: impl ToString) -> BackupError {
    BackupError::Broken {
        path: path.to_owned(),
        why: why.to_string(),
    }
}

fn whole(path: &Path, bytes: &mut impl Read) -> Result<Vec<u8>, BackupError> {
    let mut text = Vec::new();
    bytes
        .read_to_end(&mut text)
        .map_err(|error| broken(path, error))?;
    Ok(text)
}

fn parsed<T: serde::de::DeserializeOwned>(path: &Path, text: &[u8]) -> Result<T, BackupError> {
    serde_json::from_slice(text).map_err(|error| broken(path, error))
}

/// What addresses and names follow from has to be as it was.
fn check_site(settings: &Configuration, head: &Head) -> Result<(), BackupError> {
    let (here, there) = (&settings.site, &head.site);
    let optional = |value: Option<String>| value.unwrap_or_else(|| "(not set)".to_owned());
    let pairs = [
        ("site.name", here.name.clone(), there.name.clone()),
        ("site.domain", here.domain.clone(), there.domain.clone()),
        (
            "site.ipv4_pool",
            here.ipv4_pool.to_string(),
            there.ipv4_pool.to_string(),
        ),
        (
            "site.ipv6_prefix",
            optional(here.ipv6_prefix.map(|net| net.to_string())),
            optional(there.ipv6_prefix.map(|net| net.to_string())),
        ),
        (
            "site.peers_ipv4",
            here.peers_ipv4.to_string(),
            there.peers_ipv4.to_string(),
        ),
        (
            "site.peers_ipv6",
            optional(here.peers_ipv6.map(|net| net.to_string())),
            optional(there.peers_ipv6.map(|net| net.to_string())),
        ),
    ];
    let wanted: Vec<String> = pairs
        .iter()
        .filter(|(_, here, there)| here != there)
        .map(|(key, here, there)| format!("  {key} = {there} (it is {here})"))
        .collect();
    if wanted.is_empty() {
        Ok(())
    } else {
        Err(BackupError::Configuration { wanted })
    }
}

/// The authority and the token, as the backup has them.
struct Identity {
    cert: Vec<u8>,
    key: Vec<u8>,
    token: Option<Vec<u8>>,
}

fn identity(path: &Path) -> Result<Identity, BackupError> {
    let mut found = [None, None, None];
    archive::read(path, |name, (bytes, _)| {
        let place = match name {
            AUTHORITY_CERT => 0,
            AUTHORITY_KEY => 1,
            TOKEN => 2,
            _ => return Ok(()),
        };
        found[place] = Some(whole(path, &mut Hashed::new(bytes))?);
        Ok(())
    })?;
    let [cert, key, token] = found;
    Ok(Identity {
        cert: cert.ok_or_else(|| broken(path, "it has no authority"))?,
        key: key.ok_or_else(|| broken(path, "it has no authority"))?,
        token,
    })
}

/// What is there and is another one is kept, unless its loss is wanted.
fn refuse_others(
    settings: &Configuration,
    identity: &Identity,
    overwrite: bool,
) -> Result<(), BackupError> {
    let (cert, key) = certificate::authority_paths(settings);
    // Files that the operator named are theirs.
    let own = settings.authority.cert.is_some();
    for (path, bytes) in [(cert, &identity.cert), (key, &identity.key)] {
        if !path.exists() {
            continue;
        }
        if file::read(&path)? != *bytes && (own || !overwrite) {
            return Err(BackupError::Other { path });
        }
    }
    Ok(())
}

fn restore_identity(settings: &Configuration, identity: &Identity) -> Result<(), BackupError> {
    let (cert, key) = certificate::authority_paths(settings);
    // In the order in which they are made: a certificate is there only with its key.
    file::write_atomic(&key, &identity.key, 0o600)?;
    file::write_atomic(&cert, &identity.cert, 0o644)?;
    if let Some(token) = &identity.token {
        file::write_atomic(&settings.state_dir.join(TOKEN), token, 0o600)?;
    }
    Ok(())
}

/// The rows of one part of a table.
fn rows(path: &Path, bytes: &mut dyn Read) -> Result<Vec<Row>, BackupError> {
    BufReader::new(bytes)
        .lines()
        .map(|line| {
            let line = line.map_err(|error| broken(path, error))?;
            parsed(path, line.as_bytes())
        })
        .collect()
}
