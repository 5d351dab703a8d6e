//! `rhyzome image import`: bytes out of a file or from a URL, hashed, uploaded if need be, named.

use std::path::{Path, PathBuf};

use clap::{Args, ValueHint};
use rhyzome_model::image::ImageSpec;
use rhyzome_model::{Digest, Name};
use sha2::Digest as _;
use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncSeekExt, AsyncWriteExt};

use crate::failure::Failure;
use crate::progress::Progress;
use crate::session::{Cx, Session};
use crate::{naming, wait};

/// How many bytes are read at once.
const PIECE: usize = 256 << 10;

#[derive(Debug, Args)]
pub struct Import {
    /// A file, or an http or https URL.
    #[arg(value_name = "PATH_OR_URL", value_hint = ValueHint::FilePath)]
    source: String,
    /// What to call it; by default what the file is called.
    #[arg(long, value_name = "NAME")]
    name: Option<Name>,
    /// The command line of instances that give none. `{{network_settings}}` stands for the network's
    /// settings as the image's family wants them; `{{ip}} {{prefix}} {{gateway}} {{dns}} {{mac}}
    /// {{hostname}}` and their like are filled in.
    #[arg(
        long,
        value_name = "TEXT",
        default_value = "",
        hide_default_value = true
    )]
    command_line: String,
    /// The initial RAM disk of a kernel: a file or a URL.
    #[arg(long, value_name = "PATH_OR_URL", value_hint = ValueHint::FilePath)]
    initrd: Option<String>,
}

/// Bytes that were read and hashed, ready to be read again.
struct Bytes {
    file: File,
    size: u64,
    digest: Digest,
}

impl Import {
    pub async fn run(self, cx: &Cx) -> Result<(), Failure> {
        let session = cx.session()?;
        let name = match self.name {
            Some(name) => name,
            None => name_of(&self.source)?,
        };
        let digest = put(&session, &self.source).await?;
        let initrd = match &self.initrd {
            Some(source) => Some(put(&session, source).await?),
            None => None,
        };
        let spec = ImageSpec {
            digest,
            initrd,
            command_line: self.command_line,
        };
        let look = || format!("`rhyzome image show {name}` says whether it is there");
        let image = wait::asked(session.scope.image().create(&name, spec, None), look).await?;
        let (format, short) = (image.format.as_str(), image.blob.digest.short());
        let size = rough(image.blob.size.as_bytes());
        cx.output
            .done(&image, &format!("image {name}: {format}, {size}, {short}"))
    }
}

/// Sees to it that the core has the bytes.
async fn put(session: &Session<'_>, source: &str) -> Result<Digest, Failure> {
    let Bytes { file, size, digest } = if is_url(source) {
        download(session, source).await?
    } else {
        read(session, Path::new(source)).await?
    };
    let blobs = session.scope.blob();
    if blobs.exists(&digest).await? {
        session.output.note(&format!(
            "the core has {source} already ({})",
            digest.short()
        ));
        return Ok(digest);
    }
    let progress = Progress::bytes(session.output, Some(size));
    progress.say(&format!("uploading {source}"));
    let upload = blobs.upload(&digest, size, file, move |sent| progress.at(sent));
    // Interrupted, it leaves nothing: the core keeps no half of a blob.
    wait::asked(upload, || "nothing was changed; run it again".to_owned()).await?;
    Ok(digest)
}

async fn read(session: &Session<'_>, path: &Path) -> Result<Bytes, Failure> {
    let failed = |source| Failure::Read {
        path: path.to_owned(),
        source,
    };
    let mut file = File::open(path).await.map_err(failed)?;
    let metadata = file.metadata().await.map_err(failed)?;
    if !metadata.is_file() {
        return Err(Failure::Usage(format!("{} is not a file", path.display())));
    }
    let progress = Progress::bytes(session.output, Some(metadata.len()));
    progress.say(&format!("reading {}", path.display()));
    let (mut hash, mut size, mut piece) = (sha2::Sha256::new(), 0, vec![0; PIECE]);
    loop {
        let count = file.read(&mut piece).await.map_err(failed)?;
        if count == 0 {
            break;
        }
        hash.update(&piece[..count]);
        size += count as u64;
        progress.at(size);
    }
    file.rewind().await.map_err(failed)?;
    Ok(Bytes {
        file,
        size,
        digest: Digest::from_bytes(hash.finalize().into()),
    })
}

/// Downloads into a file without a name, which is gone with this process however that ends.
async fn download(session: &Session<'_>, url: &str) -> Result<Bytes, Failure> {
    let failed = |source| Failure::Write {
        path: PathBuf::from("a temporary file"),
        source,
    };
    let mut from = rhyzome_client::download(url).await?;
    let mut file = File::from_std(tempfile::tempfile().map_err(failed)?);
    let progress = Progress::bytes(session.output, from.size());
    progress.say(&format!("downloading {url}"));
    let (mut hash, mut size) = (sha2::Sha256::new(), 0);
    while let Some(piece) = from.next().await? {
        hash.update(&piece);
        file.write_all(&piece).await.map_err(failed)?;
        size += piece.len() as u64;
        progress.at(size);
    }
    file.flush().await.map_err(failed)?;
    file.rewind().await.map_err(failed)?;
    Ok(Bytes {
        file,
        size,
        digest: Digest::from_bytes(hash.finalize().into()),
    })
}

fn is_url(source: &str) -> bool {
    source.starts_with("http://") || source.starts_with("https://")
}

/// A name made of the file's own, without its ending.
fn name_of(source: &str) -> Result<Name, Failure> {
    let plain = source.split(['?', '#']).next().unwrap_or_default();
    let path = if is_url(source) {
        Path::new(plain)
    } else {
        Path::new(source)
    };
    let stem = path
        .file_stem()
        .and_then(|stem| stem.to_str())
        .unwrap_or_default();
    naming::nearest(stem).ok_or_else(|| {
        Failure::Usage(format!(
            "no name can be made of {source}: give one with --name"
        ))
    })
}

/// A size as people read it: rounded.
pub fn rough(bytes: u64) -> String {
    let units = [("GiB", 1u64 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
    match units.into_iter().find(|(_, unit)| bytes >= *unit) {
        Some((name, unit)) => {
            let tenths = bytes.saturating_mul(10) / unit;
            format!("{}.{} {name}", tenths / 10, tenths % 10)
        }
        None => format!("{bytes} B"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_is_called_as_its_file() {
        let check = |source: &str, expect: Option<&str>| {
            let name = name_of(source).ok().map(|name| name.to_string());
            assert_eq!(name.as_deref(), expect, "{source}");
        };
        check("./target/hello", Some("hello"));
        check("/boot/vmlinuz-6.1.0-18-amd64", Some("vmlinuz-6-1"));
        check(
            "https://example.org/a/Web_Server.elf?x=y.z",
            Some("web-server"),
        );
        check("/srv/2024.img", None);
        check("https://example.org/", Some("example"));
    }

    #[test]
    fn a_size_is_rounded() {
        assert_eq!(rough(999), "999 B");
        assert_eq!(rough(1536), "1.5 KiB");
        assert_eq!(rough(3 << 30), "3.0 GiB");
    }
}
