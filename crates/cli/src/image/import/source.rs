//! Where the bytes of an image come from: a file, or a URL that is downloaded and hashed first.

mod download;

use std::path::Path;
use std::time::SystemTime;

use rhyzome_model::Digest;
use sha2::Digest as _;
use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncSeekExt};

use crate::failure::Failure;
use crate::progress::Progress;
use crate::session::Session;

/// How many bytes are read at once.
const PIECE: usize = 256 << 10;

/// What the bytes are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Image,
    /// May be anything. An initial RAM disk may be compressed: the kernel decompresses it.
    Any,
}

/// Bytes that were read and hashed, ready to be read again.
pub(super) struct Bytes {
    pub(super) file: File,
    pub(super) size: u64,
    pub(super) digest: Digest,
    from: Origin,
}

enum Origin {
    /// When the file was changed last, as far as its file system says.
    File(Option<SystemTime>),
    Download(download::Kept),
}

impl Bytes {
    /// Whether the file is the one that was hashed, as far as its size and its time say.
    pub(super) async fn is_same(&self) -> bool {
        let Origin::File(seen) = &self.from else {
            return true;
        };
        let now = self.file.metadata().await;
        now.is_ok_and(|now| now.len() == self.size && now.modified().ok() == *seen)
    }

    /// Lets go of what was downloaded.
    pub(super) fn forget(&self) {
        if let Origin::Download(kept) = &self.from {
            kept.forget();
        }
    }

    /// Those of an open file without a name of its own.
    pub(super) async fn of_file(
        session: &Session<'_>,
        file: File,
        called: &str,
    ) -> Result<Self, Failure> {
        hash(session, file, Path::new(called), Kind::Image).await
    }

    pub(super) async fn of(
        session: &Session<'_>,
        source: &str,
        kind: Kind,
    ) -> Result<Self, Failure> {
        match source.strip_prefix("file://") {
            Some(path) => read(session, Path::new(path), kind).await,
            None if is_url(source) => download::download(session, source, kind).await,
            None => read(session, Path::new(source), kind).await,
        }
    }
}

pub(super) fn is_url(source: &str) -> bool {
    ["http://", "https://", "file://"]
        .iter()
        .any(|scheme| source.starts_with(scheme))
}

async fn read(session: &Session<'_>, path: &Path, kind: Kind) -> Result<Bytes, Failure> {
    let failed = |source| Failure::Read {
        path: path.to_owned(),
        source,
    };
    let file = File::open(path).await.map_err(failed)?;
    let metadata = file.metadata().await.map_err(failed)?;
    if !metadata.is_file() {
        return Err(Failure::Usage(format!("{} is not a file", path.display())));
    }
    hash(session, file, path, kind).await
}

/// Reads an open file that is called as `path` says.
async fn hash(
    session: &Session<'_>,
    mut file: File,
    path: &Path,
    kind: Kind,
) -> Result<Bytes, Failure> {
    let failed = |source| Failure::Read {
        path: path.to_owned(),
        source,
    };
    let metadata = file.metadata().await.map_err(failed)?;
    file.rewind().await.map_err(failed)?;
    let progress = Progress::bytes(session.output, Some(metadata.len()));
    progress.say(&format!("reading {}", path.display()));
    let mut hashing = Hashing::new(path.display().to_string(), kind);
    let mut piece = vec![0; PIECE];
    loop {
        let count = file.read(&mut piece).await.map_err(failed)?;
        if count == 0 {
            break;
        }
        hashing.update(&piece[..count])?;
        progress.at(hashing.size);
    }
    file.rewind().await.map_err(failed)?;
    Ok(hashing.finish(file, Origin::File(metadata.modified().ok())))
}

/// Bytes on their way past.
struct Hashing {
    source: String,
    kind: Kind,
    hash: sha2::Sha256,
    size: u64,
}

impl Hashing {
    fn new(source: String, kind: Kind) -> Self {
        Self {
            source,
            kind,
            hash: sha2::Sha256::new(),
            size: 0,
        }
    }

    /// # Errors
    /// Where they begin as something compressed does, which nothing boots.
    fn update(&mut self, piece: &[u8]) -> Result<(), Failure> {
        if self.size == 0
            && self.kind == Kind::Image
            && let Some((name, tool)) = compression(piece)
        {
            return Err(Failure::Usage(format!(
                "{} is compressed with {name}: decompress it first (`{tool}`) and import that",
                self.source
            )));
        }
        self.hash.update(piece);
        self.size += piece.len() as u64;
        Ok(())
    }

    fn finish(self, file: File, from: Origin) -> Bytes {
        Bytes {
            file,
            from,
            size: self.size,
            digest: Digest::from_bytes(self.hash.finalize().into()),
        }
    }
}

/// How the file is compressed that begins so, and what undoes it.
fn compression(begin: &[u8]) -> Option<(&'static str, &'static str)> {
    let known: [(&[u8], _, _); 4] = [
        (&[0x1f, 0x8b], "gzip", "gunzip"),
        (&[0xfd, b'7', b'z', b'X', b'Z', 0], "xz", "unxz"),
        (&[0x28, 0xb5, 0x2f, 0xfd], "zstd", "unzstd"),
        (b"BZh", "bzip2", "bunzip2"),
    ];
    let found = known
        .into_iter()
        .find(|(magic, ..)| begin.starts_with(magic));
    found.map(|(_, name, tool)| (name, tool))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_compressed_is_refused_unless_it_is_an_initrd() {
        let check = |kind, bytes: &[u8]| {
            let mut hashing = Hashing::new("disk.img".to_owned(), kind);
            hashing.update(bytes).map_err(|e| e.to_string())
        };
        assert_eq!(check(Kind::Image, b"QFI\xfb"), Ok(()));
        assert_eq!(check(Kind::Any, &[0x1f, 0x8b, 8]), Ok(()));
        let refused = check(Kind::Image, &[0x1f, 0x8b, 8]).unwrap_err();
        assert!(
            refused.contains("with gzip") && refused.contains("gunzip"),
            "{refused}"
        );
        assert!(check(Kind::Image, b"\xfd7zXZ\0").is_err());
    }
}
