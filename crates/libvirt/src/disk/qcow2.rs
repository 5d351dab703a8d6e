//! The little that is read of QEMU's format here (QEMU's docs/interop/qcow2.txt).

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use rhyzome_model::Size;

const MAGIC: &[u8] = b"QFI\xfb";

/// How large the disk in a qcow2 file is: bytes 24 to 31 of its header.
pub fn size(path: &Path) -> io::Result<Size> {
    let mut header = [0; 32];
    File::open(path)?.read_exact(&mut header)?;
    let (magic, rest) = header.split_at(4);
    if magic != MAGIC {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "it is no qcow2 file",
        ));
    }
    let bytes = rest
        .last_chunk()
        .copied()
        .map(u64::from_be_bytes)
        .unwrap_or_default();
    Ok(Size::bytes(bytes))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn what_is_no_disk_has_no_size() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("disk.qcow2");
        for bytes in [&b"QFI\xfb"[..], &[0; 64]] {
            fs::write(&path, bytes).unwrap();
            assert!(size(&path).is_err());
        }
    }
}
