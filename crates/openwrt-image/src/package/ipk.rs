//! Reads an `.ipk`: a compressed tar archive with two others in it, the files and the description.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, Cursor, Read};
use std::path::{Component, Path};

use flate2::read::GzDecoder;
use tar::{Archive, EntryType};

use super::control::Control;
use super::{Package, PackageError};
use crate::files::{Entry, Kind, check_text};

/// Bytes, unpacked.
const MOST: u64 = 256 << 20;

pub(super) fn read(path: &Path) -> Result<Package, PackageError> {
    let file = File::open(path).map_err(PackageError::Damaged)?;
    let mut outer = BTreeMap::new();
    let mut names = Vec::new();
    unpack(BufReader::new(file), |name, bytes| {
        names.push(name.clone());
        outer.insert(name, bytes);
        Ok(())
    })?;
    if names.iter().any(|name| name == ".PKGINFO") {
        return Err(PackageError::Apk);
    }
    let mut part = |name: &'static str| outer.remove(name).ok_or(PackageError::Lacks(name));
    let data = part("data.tar.gz")?;
    let mut scripts = Vec::new();
    unpack(Cursor::new(part("control.tar.gz")?), |name, bytes| {
        scripts.push((name, bytes));
        Ok(())
    })?;
    let is_control = |(name, _): &(String, Vec<u8>)| name == "control";
    let Some(at) = scripts.iter().position(is_control) else {
        return Err(PackageError::Lacks("control"));
    };
    let (_, text) = scripts.remove(at);
    let control = Control::read(&String::from_utf8_lossy(&text));
    for field in ["Package", "Version", "Architecture"] {
        if control.get(field).is_none_or(str::is_empty) {
            return Err(PackageError::Undescribed(field));
        }
    }
    if !is_name(control.get("Package").unwrap_or_default()) {
        return Err(PackageError::Undescribed("a name that may be one"));
    }
    // opkg keeps the description as it came.
    scripts.insert(0, ("control".to_owned(), text));
    Ok(Package {
        control,
        scripts,
        entries: entries(&data)?,
    })
}

/// What may be part of a file's name in opkg's folder.
fn is_name(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "+-._".contains(c);
    !text.starts_with('.') && text.chars().all(plain)
}

/// Gives each file of a compressed archive, by its path.
fn unpack(
    from: impl Read,
    mut each: impl FnMut(String, Vec<u8>) -> Result<(), PackageError>,
) -> Result<(), PackageError> {
    let mut archive = Archive::new(GzDecoder::new(from).take(MOST));
    for entry in archive.entries().map_err(PackageError::Damaged)? {
        let mut entry = entry.map_err(PackageError::Damaged)?;
        if entry.header().entry_type() != EntryType::Regular {
            continue;
        }
        let name = path_of(&entry)?;
        each(name, bytes(&mut entry)?)?;
    }
    Ok(())
}

fn entries(data: &[u8]) -> Result<Vec<Entry>, PackageError> {
    let mut archive = Archive::new(GzDecoder::new(data).take(MOST));
    let mut entries: Vec<Entry> = Vec::new();
    for entry in archive.entries().map_err(PackageError::Damaged)? {
        let mut entry = entry.map_err(PackageError::Damaged)?;
        let name = path_of(&entry)?;
        if name.is_empty() {
            continue;
        }
        let path = format!("/{name}");
        let mode = entry.header().mode().map_err(PackageError::Damaged)?;
        let mode = u16::try_from(mode & 0o7777).expect("it has twelve bits");
        let target = link_of(&entry)?;
        let special = |kind| PackageError::Special {
            path: path.clone(),
            kind,
        };
        let made = match entry.header().entry_type() {
            EntryType::Regular => Entry::file(&path, mode, bytes(&mut entry)?),
            EntryType::Directory => Entry::folder(&path, mode),
            EntryType::Symlink => Entry::link(&path, &target),
            EntryType::Link => {
                copy_of(&entries, &path, &target).ok_or(special("a link to nothing"))?
            }
            EntryType::Char | EntryType::Block => return Err(special("a device")),
            _ => return Err(special("something special")),
        };
        let odd = |_| PackageError::OddName(path.clone());
        check_text(&path).map_err(odd)?;
        if let Kind::Link { target } = &made.kind {
            check_text(target).map_err(odd)?;
        }
        entries.push(made);
    }
    Ok(entries)
}

/// A second name of a file becomes a file of its own.
fn copy_of(entries: &[Entry], path: &str, target: &str) -> Option<Entry> {
    let target = target.trim_start_matches("./").trim_start_matches('/');
    let first = entries.iter().find(|entry| entry.path[1..] == *target)?;
    Some(Entry {
        path: path.to_owned(),
        kind: first.kind.clone(),
    })
}

/// The path of an entry without what leads nowhere.
fn path_of<R: Read>(entry: &tar::Entry<'_, R>) -> Result<String, PackageError> {
    let bytes = entry.path_bytes();
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let mut parts = Vec::new();
    for part in Path::new(&text).components() {
        match part {
            Component::Normal(part) => parts.push(part.to_string_lossy().into_owned()),
            Component::CurDir => {}
            _ => return Err(PackageError::Outside(text)),
        }
    }
    Ok(parts.join("/"))
}

fn link_of<R: Read>(entry: &tar::Entry<'_, R>) -> Result<String, PackageError> {
    let target = entry.link_name_bytes();
    let target = target.map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    Ok(target.unwrap_or_default())
}

fn bytes(entry: &mut impl Read) -> Result<Vec<u8>, PackageError> {
    let mut bytes = Vec::new();
    let count = entry.take(MOST).read_to_end(&mut bytes);
    match count {
        Ok(count) if count as u64 == MOST => Err(PackageError::TooLarge),
        Ok(_) => Ok(bytes),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
            Err(PackageError::Damaged(error))
        }
        Err(error) => Err(PackageError::Damaged(error)),
    }
}
