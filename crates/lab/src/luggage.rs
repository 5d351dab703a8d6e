//! What a guest is given besides the kernel: files of this machine, at the same paths, and the libraries that the
//! programs among them need.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::archive::Archive;

/// Names by which programs ask for users and protocols.
const NAMES: [&str; 4] = [
    "/etc/group",
    "/etc/passwd",
    "/etc/protocols",
    "/etc/services",
];

/// Files by their path in the guest.
pub struct Luggage(BTreeMap<PathBuf, PathBuf>);

impl Luggage {
    /// Nothing but the names of users and protocols.
    pub fn new() -> Self {
        let names = NAMES.iter().map(PathBuf::from);
        let there = names.filter(|path| path.exists());
        Self(there.map(|path| (path.clone(), path)).collect())
    }

    /// Takes a program along that this machine has on its search path.
    ///
    /// # Panics
    /// Where it has not.
    pub fn program(&mut self, name: &str) {
        let path = std::env::var_os("PATH").unwrap_or_default();
        // Not everybody's path has the programs of administrators.
        let folders = std::env::split_paths(&path).chain(["/usr/sbin".into()]);
        let found = folders
            .map(|folder| folder.join(name))
            .find(|path| path.is_file());
        let Some(found) = found else {
            panic!("{name} is not on this machine: run `scripts/install-packages --test` before");
        };
        self.file(&found);
    }

    /// Takes a file along, to the same path; if it is a program, its libraries too.
    ///
    /// # Panics
    /// Where it cannot be read, or lacks a library.
    pub fn file(&mut self, path: &Path) {
        self.file_to(path, path);
    }

    /// Takes a file along, to another path.
    ///
    /// # Panics
    /// Where it cannot be read, or lacks a library.
    pub fn file_to(&mut self, from: &Path, to: &Path) {
        let to = without_links(to);
        if self.0.insert(to, from.to_owned()).is_some() {
            return;
        }
        let is_program = is_elf(from);
        if is_program.unwrap_or_else(|error| panic!("{}: {error}", from.display())) {
            for library in libraries(from) {
                self.0.insert(without_links(&library), library);
            }
        }
    }

    /// Takes all files of a folder along, to the same paths.
    ///
    /// # Panics
    /// Where one cannot be read.
    pub fn folder(&mut self, path: &Path) {
        let entries = std::fs::read_dir(path);
        for entry in entries.unwrap_or_else(|error| panic!("{}: {error}", path.display())) {
            let path = entry.expect("the folder is read").path();
            if path.is_dir() {
                self.folder(&path);
            } else {
                self.file(&path);
            }
        }
    }

    /// Writes all of it behind the archive that the guest has anyway: Linux unpacks one after the other.
    pub(crate) fn pack(&self, base: &Path, to: &Path) -> io::Result<()> {
        let mut out = BufWriter::new(File::create(to)?);
        io::copy(&mut File::open(base)?, &mut out)?;
        let mut archive = Archive::new(out.by_ref());
        for (to, from) in &self.0 {
            let packed = archive.file(&to.to_string_lossy(), from);
            packed.map_err(|error| io::Error::other(format!("{}: {error}", from.display())))?;
        }
        archive.end()
    }
}

impl Default for Luggage {
    fn default() -> Self {
        Self::new()
    }
}

/// The same path without links in its folders, as far as this machine has them: `/usr/lib/…` for `/lib/…`.
fn without_links(path: &Path) -> PathBuf {
    let folder = path.parent().and_then(|folder| folder.canonicalize().ok());
    match (folder, path.file_name()) {
        (Some(folder), Some(name)) => folder.join(name),
        _ => path.to_owned(),
    }
}

fn is_elf(path: &Path) -> io::Result<bool> {
    let mut first = Vec::new();
    File::open(path)?.take(4).read_to_end(&mut first)?;
    Ok(first == b"\x7fELF")
}

/// What a program is linked with, the program that loads it among them.
fn libraries(program: &Path) -> Vec<PathBuf> {
    let output = Command::new("ldd").arg(program).output();
    let output = output.expect("ldd comes with the C library");
    let text = String::from_utf8_lossy(&output.stdout);
    // It fails on programs that need none.
    let shown = program.display();
    assert!(
        !text.contains("not found"),
        "{shown} lacks libraries: {text}"
    );
    let words = text.split_whitespace();
    words
        .filter(|word| word.starts_with('/') && !word.ends_with(':'))
        .map(PathBuf::from)
        .collect()
}
