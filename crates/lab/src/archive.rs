//! Archives that Linux unpacks into its first file system, in the format "newc"
//! (Documentation/driver-api/early-userspace/buffer-format.rst): each entry is a header of hexadecimal numbers, the name
//! and the bytes, both filled up to a multiple of four.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// What ends an archive.
const TRAILER: &str = "TRAILER!!!";

const REGULAR: u32 = 0o100_000;
const DIRECTORY: u32 = 0o040_000;

/// Writes an archive, entry by entry.
pub struct Archive<W> {
    out: W,
    entries: u32,
    folders: BTreeSet<String>,
}

impl<W: Write> Archive<W> {
    pub fn new(out: W) -> Self {
        Self {
            out,
            entries: 0,
            folders: BTreeSet::new(),
        }
    }

    /// Puts a file there, and the folders above it. The name is an absolute path without links in it: a folder in the
    /// place of a link would take the link away.
    ///
    /// # Errors
    /// Where the file cannot be read or the archive not be written.
    pub fn file(&mut self, name: &str, from: &Path) -> io::Result<()> {
        let name = name.trim_start_matches('/');
        for (end, _) in name.match_indices('/') {
            if self.folders.insert(name[..end].to_owned()) {
                self.header(&name[..end], DIRECTORY | 0o755, 0)?;
            }
        }
        let mut file = File::open(from)?;
        let about = file.metadata()?;
        let size = u32::try_from(about.len()).map_err(io::Error::other)?;
        self.header(name, REGULAR | (about.permissions().mode() & 0o7777), size)?;
        let copied = io::copy(&mut file, &mut self.out)?;
        if copied != u64::from(size) {
            return Err(io::Error::other("it changed while it was read"));
        }
        self.fill(size as usize)
    }

    /// Ends it.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub fn end(mut self) -> io::Result<()> {
        self.header(TRAILER, 0, 0)?;
        self.out.flush()
    }

    fn header(&mut self, name: &str, mode: u32, size: u32) -> io::Result<()> {
        self.entries += 1;
        let with_end = u32::try_from(name.len() + 1).map_err(io::Error::other)?;
        // Number, mode, owner and group, links, time, size, devices, length of the name, no sum.
        let (number, links) = (self.entries, 1);
        let numbers = [number, mode, 0, 0, links, 0, size, 0, 0, 0, 0, with_end, 0];
        let mut header = String::from("070701");
        for number in numbers {
            header.push_str(&format!("{number:08x}"));
        }
        header.push_str(name);
        header.push('\0');
        self.out.write_all(header.as_bytes())?;
        self.fill(header.len())
    }

    /// Fills up to a multiple of four what has this length.
    fn fill(&mut self, length: usize) -> io::Result<()> {
        self.out.write_all(&[0; 3][..length.wrapping_neg() % 4])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_archive_has_the_folders_above_a_file_once_and_an_end() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        std::fs::write(&file, "hello").unwrap();
        let mut bytes = Vec::new();
        let mut archive = Archive::new(&mut bytes);
        archive.file("/usr/bin/a", &file).unwrap();
        archive.file("/usr/bin/b", &file).unwrap();
        archive.end().unwrap();

        let text = String::from_utf8(bytes).unwrap();
        assert_eq!(text.len() % 4, 0);
        let entries: Vec<&str> = text.split("070701").skip(1).collect();
        let names: Vec<&str> = entries
            .iter()
            .map(|entry| entry[104..].split('\0').next().unwrap())
            .collect();
        assert_eq!(names, ["usr", "usr/bin", "usr/bin/a", "usr/bin/b", TRAILER]);
        assert!(entries[3].ends_with("hello\0\0\0"), "{:?}", entries[3]);
        assert_eq!(&entries[3][48..56], "00000005");
    }
}
