//! A site in one file, and back from it.
//!
//! The file is a tar archive, readable with any tar: first what it is, then the tables as lines of JSON,
//! the authority, the administrator's token, images' bytes where asked for, and last its contents with
//! their checksums. A file without that last part is not whole, and is not restored.
//!
//! Not in it: the configuration, and certificates that the operator brought for `tls`.

mod archive;
mod images;
mod restore;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use rhyzome_app::{Environment, SystemEnvironment};
use rhyzome_model::Timestamp;
use rhyzome_pki::file::{self, FileError};
use rhyzome_store::copy::{self, Cell, Summing, Table};
use rhyzome_store::{Conn, Store};
use serde::{Deserialize, Serialize};

use crate::certificate;
use crate::configuration::{Configuration, Site};
use archive::{Entry, Writer};
use images::KeptImage;

pub use restore::{Restored, restore};

/// The archive's first entry, and the version of all that this module writes.
const HEAD: &str = "rhyzome-backup.json";
const FORMAT: u32 = 1;
/// Its last one.
const CONTENTS: &str = "contents.json";
const AUTHORITY_CERT: &str = "authority.cert";
const AUTHORITY_KEY: &str = "authority.key";
const TOKEN: &str = "admin.token";
/// What stands before the key of an image's bytes.
const IMAGES: &str = "images/";

/// Why there is no backup, or no restored site.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    #[error("{path} is there already; --overwrite replaces it", path = path.display())]
    Exists { path: PathBuf },
    #[error("cannot {operation} {path}", path = path.display())]
    File {
        operation: &'static str,
        path: PathBuf,
        source: io::Error,
    },
    #[error(transparent)]
    Key(#[from] FileError),
    #[error("cannot use the database")]
    Store(#[from] rhyzome_store::Error),
    #[error("{path} is no backup: {why}", path = path.display())]
    Unfit { path: PathBuf, why: String },
    #[error(
        "{path} is not whole: {why}. Nothing was restored",
        path = path.display()
    )]
    Broken { path: PathBuf, why: String },
    #[error("the configuration does not fit the backup. It needs:\n{}", wanted.join("\n"))]
    Configuration { wanted: Vec<String> },
    #[error(
        "{path} is another one than the backup's; --overwrite replaces it",
        path = path.display()
    )]
    Other { path: PathBuf },
    #[error("{path} was restored here already: start the core", path = path.display())]
    Already { path: PathBuf },
    #[error("cannot use the storage for images")]
    Blobs(#[source] Box<crate::configuration::BlobsError>),
    #[error("cannot {operation}")]
    Location {
        operation: &'static str,
        source: Box<rhyzome_blob::Error>,
    },
    #[error(transparent)]
    Folder(#[from] crate::start::StartError),
}

/// What a backup is of.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Head {
    format: u32,
    made_at: Timestamp,
    program: String,
    /// The versions of the schema.
    schema: Vec<i64>,
    site: Site,
}

/// All that a backup has in it.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Contents {
    tables: Vec<KeptTable>,
    files: Vec<Entry>,
    images: Vec<KeptImage>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct KeptTable {
    table: Table,
    sum: copy::Sum,
}

impl Contents {
    /// For people: what is in it, a line each.
    pub fn lines(&self) -> Vec<String> {
        let mut lines = self.without_locations();
        let mut elsewhere: BTreeMap<&str, usize> = BTreeMap::new();
        for image in self.images.iter().filter(|image| !image.included) {
            if let Some(location) = &image.location {
                *elsewhere.entry(location).or_default() += 1;
            }
        }
        for (location, count) in elsewhere {
            lines.push(format!(
                "not the bytes of {count} images, which stay in {location}: a restored site reads them there"
            ));
        }
        lines
    }

    fn sums(&self) -> Vec<(Table, copy::Sum)> {
        let pair = |kept: &KeptTable| (kept.table.clone(), kept.sum.clone());
        self.tables.iter().map(pair).collect()
    }

    fn without_locations(&self) -> Vec<String> {
        let mut lines: Vec<String> = self
            .tables
            .iter()
            .filter(|kept| kept.sum.rows > 0)
            .map(|kept| format!("{} rows of {}", kept.sum.rows, kept.table.name))
            .collect();
        lines.push("the site's authority, with its private key".to_owned());
        let here = |file: &Entry| file.name == TOKEN;
        if self.files.iter().any(here) {
            lines.push("the administrator's token".to_owned());
        }
        let included = self.images.iter().filter(|image| image.included).count();
        let gone = |image: &&KeptImage| !image.included && image.location.is_none();
        let without = self.images.iter().filter(gone).count();
        lines.push(format!("the bytes of {included} images"));
        if without > 0 {
            lines.push(format!(
                "not the bytes of {without} images: upload them again after a restore, or use --with-images"
            ));
        }
        lines
    }
}

/// What is asked for.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    pub file: &'a Path,
    pub with_images: bool,
    pub overwrite: bool,
}

/// Writes a backup, as everything is at one moment; a core may run meanwhile.
///
/// # Errors
/// [`BackupError`]; there is no file then, or the one that was there.
pub async fn backup(settings: &Configuration, wanted: Wanted<'_>) -> Result<Contents, BackupError> {
    if wanted.file.exists() && !wanted.overwrite {
        return Err(BackupError::Exists {
            path: wanted.file.to_owned(),
        });
    }
    let store = Store::open_as_it_is(&settings.db_url()?).await?;
    let mut writer = Writer::create(wanted.file)?;
    let mut snapshot = store.snapshot().await?;
    let schema = copy::versions(&mut snapshot).await?;
    rhyzome_store::migration::refuse_newer(&schema)?;
    let head = Head {
        format: FORMAT,
        made_at: SystemEnvironment.now(),
        program: env!("CARGO_PKG_VERSION").to_owned(),
        schema,
        site: settings.site.clone(),
    };
    writer.add(HEAD, &json(&head))?;
    let mut contents = Contents::default();
    for table in copy::tables(&mut snapshot, &store).await? {
        contents
            .tables
            .push(add_table(&mut writer, &mut snapshot, table).await?);
    }
    contents.images = images::known(&mut snapshot, &contents).await?;
    drop(snapshot);
    add_identity(&mut writer, settings)?;
    if wanted.with_images {
        images::add(&mut writer, settings, &mut contents.images).await?;
    }
    contents.files = writer.entries().to_vec();
    writer.add(CONTENTS, &json(&contents))?;
    writer.finish()?;
    store.close().await;
    Ok(contents)
}

fn json<T: Serialize>(value: &T) -> Vec<u8> {
    serde_json::to_vec_pretty(value).expect("plain data is always JSON")
}

/// The rows of a table, some in each entry.
async fn add_table(
    writer: &mut Writer,
    conn: &mut Conn,
    table: Table,
) -> Result<KeptTable, BackupError> {
    let mut sums = Summing::default();
    let mut part = 0u32;
    copy::each::<BackupError>(conn, &table, async |rows| {
        let mut text = String::new();
        for row in &rows {
            sums.add(row);
            text.push_str(&copy::line(row));
        }
        part += 1;
        let name = format!("database/{}/{part:06}.jsonl", table.name);
        writer.add(&name, text.as_bytes())
    })
    .await?;
    let sum = sums.end();
    Ok(KeptTable { table, sum })
}

/// Some columns of each row of a table, in the order in which they are asked for.
async fn each<const N: usize>(
    conn: &mut Conn,
    contents: &Contents,
    (table, columns): (&str, [&str; N]),
    mut take: impl FnMut([&Cell; N]),
) -> Result<(), BackupError> {
    let Some(kept) = contents.tables.iter().find(|k| k.table.name == table) else {
        return Ok(());
    };
    let place = |name: &str| kept.table.columns.iter().position(|column| column == name);
    let places = columns.map(|name| place(name).expect("the tables are this program's own"));
    copy::each::<BackupError>(conn, &kept.table, async |rows| {
        for row in &rows {
            take(places.map(|place| &row[place]));
        }
        Ok(())
    })
    .await
}

fn add_identity(writer: &mut Writer, settings: &Configuration) -> Result<(), BackupError> {
    let (cert, key) = certificate::authority_paths(settings);
    writer.add(AUTHORITY_CERT, &file::read(&cert)?)?;
    writer.add(AUTHORITY_KEY, &file::read(&key)?)?;
    let token = settings.state_dir.join(TOKEN);
    if token.exists() {
        writer.add(TOKEN, &file::read(&token)?)?;
    }
    Ok(())
}
