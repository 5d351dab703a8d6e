//! Downloads, which go on where the connection broke or an earlier run was cut off.
//!
//! What has come is kept in the user's cache, beside a note of what it is the beginning of (the server's
//! entity tag, or when it was changed), until the core has it or a week has passed.

use std::fs::{self, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rhyzome_client::{Download, download as begin, download_from};
use rhyzome_model::Digest;
use tokio::fs::File;
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _, AsyncWriteExt as _};
use tokio::time::sleep;

use super::{Bytes, Hashing, Kind, Origin, PIECE};
use crate::failure::Failure;
use crate::progress::Progress;
use crate::session::Session;

/// So many broken connections in a row that brought nothing, and the download has failed.
const FRUITLESS: u32 = 5;
const PAUSE: Duration = Duration::from_secs(1);
/// So long what was cut off is kept.
const KEEP: Duration = Duration::from_secs(7 * 24 * 3600);

pub(super) async fn download(
    session: &Session<'_>,
    url: &str,
    kind: Kind,
) -> Result<Bytes, Failure> {
    let (mut file, kept) = Kept::open(&session.paths.cache.join("downloads"), url)?;
    let failed = |source| Failure::Write {
        path: kept.path.clone(),
        source,
    };
    let there = file.metadata().await.map_err(failed)?.len();
    let mut from = go_on(url, there, kept.seen().as_deref()).await?;
    let progress = Progress::bytes(session.output, from.size());
    progress.say(&format!("downloading {url}"));
    let mut hashing = take_up(&mut file, &from, (url, kind), &kept).await?;
    let mut fruitless = 0;
    loop {
        progress.at(hashing.size);
        let broken = match from.next().await {
            Ok(None) => break,
            Ok(Some(piece)) => {
                fruitless = 0;
                hashing.update(&piece)?;
                file.write_all(&piece).await.map_err(failed)?;
                continue;
            }
            Err(broken) => broken,
        };
        file.flush().await.map_err(failed)?;
        progress.say(&format!(
            "downloading {url}: the connection broke, going on"
        ));
        from = loop {
            fruitless += 1;
            if fruitless > FRUITLESS {
                return Err(broken.into());
            }
            sleep(PAUSE).await;
            if let Ok(next) = go_on(url, hashing.size, kept.seen().as_deref()).await {
                break next;
            }
        };
        hashing = take_up(&mut file, &from, (url, kind), &kept).await?;
    }
    file.flush().await.map_err(failed)?;
    file.rewind().await.map_err(failed)?;
    Ok(hashing.finish(file, Origin::Download(kept)))
}

/// Asks for what is missing, and for the last byte once more: there is always one to ask for then.
async fn go_on(
    url: &str,
    there: u64,
    seen: Option<&str>,
) -> Result<Download, rhyzome_client::Error> {
    match seen {
        Some(seen) if there > 1 => download_from(url, there - 1, seen).await,
        _ => begin(url).await,
    }
}

/// Cuts the file to where the download goes on, and hashes what is before it.
async fn take_up(
    file: &mut File,
    from: &Download,
    (url, kind): (&str, Kind),
    kept: &Kept,
) -> Result<Hashing, Failure> {
    let failed = |source| Failure::Write {
        path: kept.path.clone(),
        source,
    };
    file.set_len(from.offset()).await.map_err(failed)?;
    if from.offset() == 0 {
        // After the file is empty: it never has bytes of another version than its note says.
        kept.note(from.validator().as_deref()).map_err(failed)?;
    }
    file.rewind().await.map_err(failed)?;
    let mut hashing = Hashing::new(url.to_owned(), kind);
    let mut piece = vec![0; PIECE];
    loop {
        match file.read(&mut piece).await.map_err(failed)? {
            0 => return Ok(hashing),
            count => hashing.update(&piece[..count])?,
        }
    }
}

/// Where a download is kept.
pub(super) struct Kept {
    path: PathBuf,
    /// Says which version of the bytes it is; none where nothing is kept beyond this process.
    note: Option<PathBuf>,
}

impl Kept {
    /// Opens what there is of a URL, or a file without a name where nothing can be kept or another
    /// process is at it.
    fn open(folder: &Path, url: &str) -> Result<(File, Self), Failure> {
        let name = Digest::of(url.as_bytes()).to_string();
        let path = folder.join(format!("{name}.partial"));
        if let Some(file) = own(folder, &path) {
            let note = Some(folder.join(format!("{name}.version")));
            return Ok((File::from_std(file), Self { path, note }));
        }
        let path = PathBuf::from("a temporary file");
        match tempfile::tempfile() {
            Ok(file) => Ok((File::from_std(file), Self { path, note: None })),
            Err(source) => Err(Failure::Write { path, source }),
        }
    }

    fn seen(&self) -> Option<String> {
        let text = fs::read_to_string(self.note.as_ref()?).ok()?;
        Some(text).filter(|text| !text.is_empty())
    }

    fn note(&self, seen: Option<&str>) -> io::Result<()> {
        match &self.note {
            Some(note) => fs::write(note, seen.unwrap_or_default()),
            None => Ok(()),
        }
    }

    pub(super) fn forget(&self) {
        if let Some(note) = &self.note {
            // What stays is removed by age.
            let _ = fs::remove_file(&self.path);
            let _ = fs::remove_file(note);
        }
    }
}

/// The file of a download, this process's alone.
fn own(folder: &Path, path: &Path) -> Option<fs::File> {
    fs::create_dir_all(folder).ok()?;
    forget_old(folder);
    let mut options = fs::File::options();
    let options = options.read(true).write(true).create(true).truncate(false);
    let file = options.open(path).ok()?;
    match file.try_lock() {
        Ok(()) => Some(file),
        Err(TryLockError::WouldBlock | TryLockError::Error(_)) => None,
    }
}

fn forget_old(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let age = entry.metadata().and_then(|there| there.modified());
        let age = age.ok().and_then(|time| time.elapsed().ok());
        if age.is_some_and(|age| age > KEEP) {
            // Another process may have been quicker.
            let _ = fs::remove_file(entry.path());
        }
    }
}
