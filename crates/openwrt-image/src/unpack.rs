//! Copies an image into a draft, and decompresses it where it is compressed as OpenWrt's are.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek as _, Write};
use std::path::Path;

use flate2::bufread::GzDecoder;

use crate::{Error, Watch};

const PIECE: usize = 256 << 10;
/// RFC 1952: the magic number, and the only method.
const GZIP: &[u8] = &[0x1f, 0x8b, 8];

/// What other programs compress with, as it begins.
const OTHERS: [(&[u8], &str); 3] = [
    (&[0xfd, b'7', b'z', b'X', b'Z', 0], "unxz"),
    (&[0x28, 0xb5, 0x2f, 0xfd], "unzstd"),
    (b"BZh", "bunzip2"),
];

/// Returns the size of what has been written, in bytes.
///
/// # Errors
/// The file cannot be read, is compressed otherwise, or ends too early.
pub(crate) fn unpack(path: &Path, to: &mut File, watch: Watch<'_>) -> Result<u64, Error> {
    let read = Error::reading(path);
    let file = File::open(path).map_err(&read)?;
    let metadata = file.metadata().map_err(&read)?;
    if !metadata.is_file() {
        return Err(Error::NoFile {
            path: path.to_owned(),
        });
    }
    let mut from = BufReader::with_capacity(PIECE, file);
    let begin = from.fill_buf().map_err(&read)?;
    if let Some((_, with)) = OTHERS.iter().find(|(magic, _)| begin.starts_with(magic)) {
        return Err(Error::Compressed {
            path: path.to_owned(),
            with,
        });
    }
    let size = match begin.starts_with(GZIP) {
        true => members(path, &mut from, to, watch)?,
        false => copy(&mut from, to, 0, watch, read)?,
    };
    to.rewind().map_err(Error::io("the draft"))?;
    Ok(size)
}

/// One member behind the other. OpenWrt's images have metadata behind the last one, which gunzip warns of: it is left
/// alone.
fn members(
    path: &Path,
    from: &mut impl BufRead,
    to: &mut File,
    watch: Watch<'_>,
) -> Result<u64, Error> {
    let mut size = 0;
    loop {
        let mut member = GzDecoder::new(&mut *from);
        size = copy(&mut member, to, size, watch, |source| Error::Gzip {
            path: path.to_owned(),
            source,
        })?;
        let rest = from.fill_buf().map_err(Error::reading(path))?;
        if !rest.starts_with(GZIP) {
            return Ok(size);
        }
    }
}

fn copy(
    from: &mut impl Read,
    to: &mut File,
    before: u64,
    watch: Watch<'_>,
    failed: impl Fn(std::io::Error) -> Error,
) -> Result<u64, Error> {
    let mut piece = vec![0; PIECE];
    let mut size = before;
    loop {
        let count = from.read(&mut piece).map_err(&failed)?;
        if count == 0 {
            return Ok(size);
        }
        to.write_all(&piece[..count])
            .map_err(Error::io("the draft"))?;
        size += count as u64;
        watch.go_on()?;
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Seek as _, SeekFrom};

    use super::*;
    use crate::samples::{gzip, quiet};

    fn check(bytes: &[u8], expect: Result<&[u8], &str>) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.img.gz");
        std::fs::write(&path, bytes).unwrap();
        let mut to = tempfile::tempfile().unwrap();
        let got = unpack(&path, &mut to, quiet()).map_err(|e| e.to_string());
        match expect {
            Ok(expect) => {
                assert_eq!(got, Ok(expect.len() as u64));
                let mut written = Vec::new();
                to.seek(SeekFrom::Start(0)).unwrap();
                to.read_to_end(&mut written).unwrap();
                assert!(written == expect);
            }
            Err(part) => {
                let got = got.unwrap_err();
                assert!(got.contains(part), "{got}");
            }
        }
    }

    #[test]
    fn an_image_is_copied_or_decompressed() {
        check(b"plain", Ok(b"plain"));
        check(&gzip(b"packed"), Ok(b"packed"));
        check(
            &[gzip(b"two "), gzip(b"members")].concat(),
            Ok(b"two members"),
        );
    }

    #[test]
    fn what_stands_behind_the_compressed_bytes_is_left_alone() {
        check(
            &[&gzip(b"packed")[..], b"{\"metadata\": 1}FWx0"].concat(),
            Ok(b"packed"),
        );
        check(&[&gzip(b"packed")[..], &[0; 4096]].concat(), Ok(b"packed"));
    }

    #[test]
    fn what_ends_too_early_or_is_damaged_is_refused() {
        let whole = gzip(&vec![7; 100_000]);
        check(&whole[..whole.len() - 9], Err("is cut off or damaged"));
        let mut wrong = whole.clone();
        let at = wrong.len() - 6;
        wrong[at] ^= 1;
        check(&wrong, Err("is cut off or damaged"));
        check(b"\xfd7zXZ\0...", Err("is compressed otherwise"));
    }

    #[test]
    fn whoever_has_had_enough_is_heard() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.img");
        std::fs::write(&path, "x").unwrap();
        let stop = std::sync::atomic::AtomicBool::new(true);
        let watch = Watch {
            stop: &stop,
            ..quiet()
        };
        let got = unpack(&path, &mut tempfile::tempfile().unwrap(), watch);
        assert!(matches!(got, Err(Error::Stopped)), "{got:?}");
    }
}
