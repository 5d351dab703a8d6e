//! `rhyzome image export`: an image's bytes into a file, or to the standard output.
//!
//! A file gets its name when it is whole and verified. What has come before is in `FILE.DIGEST.partial`,
//! which the next run goes on from; the digest is in its name, since an image may have other bytes by then.

mod partial;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, ValueHint};
use clap_complete::ArgValueCandidates;
use rhyzome_client::{Blobs, Error};
use rhyzome_model::Digest;
use rhyzome_model::resource::Image;
use serde::Serialize;
use tokio::io::{AsyncWrite, AsyncWriteExt as _};
use tokio::time::{sleep, timeout};

use super::import::rough;
use super::tag;
use crate::failure::Failure;
use crate::output::Output;
use crate::progress::Progress;
use crate::session::{Cx, Session};
use crate::{complete, wait};

use partial::{Hashed, Partial};

/// So many tries in a row that brought nothing, and the export has failed.
const FRUITLESS: u32 = 6;
const PAUSE: Duration = Duration::from_secs(1);
/// A connection that brings nothing for so long is broken.
const SILENCE: Duration = Duration::from_secs(60);

#[derive(Debug, Args)]
pub struct Export {
    /// An image's name, or a tag that points at it.
    #[arg(value_name = "IMAGE", add = ArgValueCandidates::new(complete::images_and_tags))]
    image: tag::Named,
    /// The file to write, or - for the standard output.
    #[arg(long, short, value_name = "FILE", value_hint = ValueHint::FilePath)]
    output: PathBuf,
    /// Write over the file if it is there.
    #[arg(long)]
    force: bool,
    /// Export the image's initial RAM disk instead of the image.
    #[arg(long)]
    initrd: bool,
}

/// What was exported, for programs.
#[derive(Serialize)]
struct Exported<'a> {
    image: &'a str,
    digest: Digest,
    size: u64,
    path: &'a Path,
}

impl Export {
    pub async fn run(self, cx: &Cx) -> Result<(), Failure> {
        let session = cx.session()?;
        let to_stdout = self.output.as_os_str() == "-";
        if to_stdout {
            refuse_terminal(session.output)?;
        } else {
            refuse_present(&self.output, self.force)?;
        }
        let image = tag::find(&session.scope, &self.image).await?;
        let from = Source::of(&session, &image, self.initrd).await?;
        if to_stdout {
            let mut stream = Stream::default();
            let brought = from.bring(&mut stream, session.output);
            return wait::asked(brought, || "nothing was kept; run it again".to_owned()).await;
        }
        let mut partial = Partial::open(&self.output, from.digest, from.size).await?;
        let kept = partial.path().display().to_string();
        let look =
            || format!("what has come is in {kept}: run it again, and it goes on from there");
        let brought = wait::asked(from.bring(&mut partial, session.output), look).await;
        if let Err(failure) = brought {
            partial.forget_if_empty();
            return Err(failure);
        }
        partial.finish(&self.output, self.force).await?;
        let (name, size) = (image.meta.name.as_str(), rough(from.size));
        let exported = Exported {
            image: name,
            digest: from.digest,
            size: from.size,
            path: &self.output,
        };
        let (what, path) = (from.what, self.output.display());
        let sentence = format!("{what} is in {path}: {size}, sha256:{}", from.digest);
        cx.output.outcome(&exported, &sentence)
    }
}

/// Image bytes are no text.
fn refuse_terminal(output: &Output) -> Result<(), Failure> {
    if output.is_terminal() {
        return Err(Failure::Usage(
            "an image's bytes are nothing for a terminal: give a file, or a pipe behind `--output -`"
                .to_owned(),
        ));
    }
    Ok(())
}

fn refuse_present(path: &Path, force: bool) -> Result<(), Failure> {
    let there = match fs::symlink_metadata(path) {
        Err(_) => return Ok(()),
        Ok(there) => there,
    };
    let shown = path.display();
    if !there.is_file() {
        return Err(Failure::Usage(format!(
            "{shown} is there and is not a file: give another path, or - for the standard output"
        )));
    }
    if !force {
        return Err(Failure::Usage(format!(
            "{shown} exists already: --force writes over it"
        )));
    }
    Ok(())
}

/// The bytes that are exported.
struct Source {
    blobs: Blobs,
    /// Of the core.
    url: String,
    digest: Digest,
    size: u64,
    /// As in `image hello`.
    what: String,
}

/// Where they go.
trait Sink {
    /// How many are there.
    fn length(&self) -> u64;
    async fn append(&mut self, piece: &[u8]) -> Result<(), Failure>;
    /// What all of them are, once no more come.
    async fn digest(&mut self) -> Result<Digest, Failure>;
    /// Throws away what is not as it should be.
    async fn discard(&mut self) -> Result<(), Failure>;
}

impl Source {
    async fn of(session: &Session<'_>, image: &Image, initrd: bool) -> Result<Self, Failure> {
        let (blobs, name) = (session.scope.blob(), &image.meta.name);
        let url = session.client.url().to_string();
        if !initrd {
            return Ok(Self {
                blobs,
                url,
                digest: image.blob.digest,
                size: image.blob.size.as_bytes(),
                what: format!("image {name}"),
            });
        }
        let none = || Failure::Usage(format!("the image {name} has no initial RAM disk"));
        let digest = image.spec.initrd.ok_or_else(none)?;
        let what = format!("the initial RAM disk of image {name}");
        let size = blobs.size(&digest).await.map_err(|e| gone(e, &what))?;
        Ok(Self {
            blobs,
            url,
            digest,
            size,
            what,
        })
    }

    /// Brings all that is missing, however often the connection breaks, and looks at the whole.
    async fn bring(&self, sink: &mut impl Sink, output: &Output) -> Result<(), Failure> {
        let progress = Progress::bytes(output, Some(self.size));
        progress.say(&format!("exporting {}", self.what));
        let mut fruitless = 0;
        while sink.length() < self.size {
            let before = sink.length();
            let failed = match self.once(sink, &progress).await {
                Err(Failure::Client(error)) if !is_passing(&error) => {
                    if error.is_not_found() {
                        // What has come may be what is damaged.
                        sink.discard().await?;
                    }
                    return Err(gone(error, &self.what));
                }
                Err(Failure::Client(error)) => error,
                Err(failure) => return Err(failure),
                Ok(()) if sink.length() == self.size => break,
                Ok(()) => Error::Silent {
                    url: self.url.clone(),
                },
            };
            fruitless = if sink.length() > before {
                0
            } else {
                fruitless + 1
            };
            if fruitless >= FRUITLESS {
                return Err(failed.into());
            }
            let at = rough(sink.length());
            progress.say(&format!("exporting {}: going on from {at}", self.what));
            sleep(PAUSE * fruitless.clamp(1, 5)).await;
        }
        let found = sink.digest().await?;
        if found != self.digest {
            sink.discard().await?;
            let (what, wanted) = (&self.what, self.digest);
            return Err(Failure::Bytes(format!(
                "{what} came with the digest sha256:{found}, not sha256:{wanted}: nothing of it was kept"
            )));
        }
        Ok(())
    }

    /// One connection.
    async fn once(&self, sink: &mut impl Sink, progress: &Progress) -> Result<(), Failure> {
        let offset = sink.length();
        progress.at(offset);
        let mut from = self.blobs.download(&self.digest, offset).await?;
        loop {
            let piece = timeout(SILENCE, from.next()).await;
            // The next connection is told from where to go on.
            let Ok(piece) = piece else { return Ok(()) };
            let Some(piece) = piece? else { return Ok(()) };
            let rest = usize::try_from(self.size - sink.length()).unwrap_or(usize::MAX);
            sink.append(&piece[..piece.len().min(rest)]).await?;
            progress.at(sink.length());
        }
    }
}

/// What another try may help with: a broken connection, a core that is being started again.
fn is_passing(error: &Error) -> bool {
    error.is_unreachable()
        || matches!(error, Error::Download { .. })
        || error.code() == Some("unavailable")
}

/// A blob that is not handed out is named by an image all the same: it was damaged.
fn gone(error: Error, what: &str) -> Failure {
    if !error.is_not_found() {
        return error.into();
    }
    Failure::Bytes(format!(
        "{what} is damaged or gone where the core keeps it: `rhyzome image verify` says more, and importing \
         it again mends it"
    ))
}

/// The standard output: nothing can be taken back, but what is wrong is said.
#[derive(Default)]
struct Stream(Hashed);

impl Sink for Stream {
    fn length(&self) -> u64 {
        self.0.length
    }

    async fn append(&mut self, piece: &[u8]) -> Result<(), Failure> {
        let mut stdout = tokio::io::stdout();
        write(&mut stdout, piece)
            .await
            .map_err(|source| Failure::Write {
                path: PathBuf::from("the standard output"),
                source,
            })?;
        self.0.update(piece);
        Ok(())
    }

    async fn digest(&mut self) -> Result<Digest, Failure> {
        Ok(self.0.digest())
    }

    async fn discard(&mut self) -> Result<(), Failure> {
        Ok(())
    }
}

async fn write(to: &mut (impl AsyncWrite + Unpin), piece: &[u8]) -> std::io::Result<()> {
    to.write_all(piece).await?;
    to.flush().await
}
