//! Writing, and reading back whether it is there.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use super::{FileSystem, Items, items};
use crate::Error;
use crate::files::{Entry, Kind, check_text};

/// A file system that is full to the last block cannot be upgraded, and maybe not be configured.
const SPARE: u64 = 256 << 10;
/// From so many bytes on a link's target has a block of its own.
const SLOW: usize = 60;

impl FileSystem<'_> {
    /// Writes entries over what is there, makes the folders that they need, reads all of it back, and checks the file
    /// system.
    ///
    /// # Errors
    /// There is no room, something else is in the way, or what is there afterwards is not what was written.
    pub(crate) fn write(&self, entries: &[Entry]) -> Result<(), Error> {
        for entry in entries {
            check_text(&entry.path)?;
            if let Kind::Link { target } = &entry.kind {
                check_text(target)?;
            }
        }
        self.check_room(entries)?;
        let said = self.make_folders(entries)?;
        let said = [said, self.put(entries)?].join("; ");
        self.compare(entries, &said)?;
        self.check()
    }

    fn check_room(&self, entries: &[Entry]) -> Result<(), Error> {
        let room = self.room()?;
        // A block more for what is not full, one for where its blocks are, and one for a folder that grows.
        let blocks = |entry: &Entry| entry.size().next_multiple_of(room.block) + 3 * room.block;
        let needed = entries.iter().map(blocks).sum::<u64>() + SPARE;
        let inodes = u32::try_from(entries.len()).unwrap_or(u32::MAX);
        match needed <= room.free && inodes <= room.free_inodes {
            true => Ok(()),
            false => Err(Error::Full {
                needed,
                free: room.free,
                size: room.size,
            }),
        }
    }

    /// Makes all folders that are missing, from above.
    fn make_folders(&self, entries: &[Entry]) -> Result<String, Error> {
        let mut wanted: BTreeMap<&str, u16> = BTreeMap::new();
        for entry in entries {
            for (at, _) in entry.path.match_indices('/').skip(1) {
                wanted.entry(&entry.path[..at]).or_insert(0o755);
            }
        }
        for entry in entries {
            if let Kind::Folder { mode } = entry.kind {
                wanted.insert(&entry.path, mode);
            }
        }
        let mut commands = Vec::new();
        for (path, mode) in wanted {
            check_text(path)?;
            // What is there keeps its mode and its owner.
            if self.list(path)?.is_none() {
                commands.push(format!("mkdir \"{path}\""));
                commands.extend(owned(path, 0o040_000 | u32::from(mode)));
            }
        }
        match commands.is_empty() {
            true => Ok(String::new()),
            false => self.tell(&commands),
        }
    }

    fn put(&self, entries: &[Entry]) -> Result<String, Error> {
        let mut listed: BTreeMap<&str, Items> = BTreeMap::new();
        let mut commands = Vec::new();
        for (number, entry) in entries.iter().enumerate() {
            let (folder, name) = entry.place();
            if !listed.contains_key(folder) {
                let items = self.list(folder)?.ok_or_else(|| Error::InTheWay {
                    path: folder.to_owned(),
                })?;
                listed.insert(folder, items);
            }
            let source = match &entry.kind {
                Kind::Folder { .. } => continue,
                Kind::File { bytes, .. } => {
                    let path = self.work.path().join(format!("in-{number}"));
                    fs::write(&path, bytes).map_err(|source| Error::Write {
                        path: path.clone(),
                        source,
                    })?;
                    Some(path)
                }
                Kind::Link { .. } => None,
            };
            let there = listed[folder].get(name);
            if there.is_some_and(super::Item::is_folder) {
                return Err(Error::InTheWay {
                    path: entry.path.clone(),
                });
            }
            // `write` takes what it is given for a name in the folder that it is in.
            commands.push(format!("cd \"{folder}\""));
            if there.is_some() {
                commands.push(format!("rm \"{name}\""));
            }
            match (&entry.kind, source) {
                (Kind::Link { target }, _) => {
                    commands.push(format!("symlink \"{name}\" \"{target}\""));
                    commands.extend(owned(name, entry.inode_mode()));
                }
                (_, Some(source)) => {
                    commands.push(format!("write \"{}\" \"{name}\"", source.display()));
                    commands.extend(owned(name, entry.inode_mode()));
                }
                (_, None) => {}
            }
        }
        self.tell(&commands)
    }

    /// Whether everything is there as it was meant.
    fn compare(&self, entries: &[Entry], said: &str) -> Result<(), Error> {
        let wrong = |path: &str, what: &str| Error::ReadBack {
            path: path.to_owned(),
            what: what.to_owned(),
            said: said.to_owned(),
        };
        let folders: BTreeSet<&str> = entries.iter().map(|entry| entry.place().0).collect();
        let mut requests: Vec<String> = Vec::new();
        for folder in &folders {
            requests.push(format!("ls -p \"{folder}/.\""));
        }
        for (number, entry) in entries.iter().enumerate() {
            let out = self.work.path().join(format!("out-{number}"));
            requests.push(match &entry.kind {
                Kind::Folder { .. } => format!("stat \"{}\"", entry.path),
                Kind::Link { target } if target.len() < SLOW => format!("stat \"{}\"", entry.path),
                _ => format!("dump \"{}\" \"{}\"", entry.path, out.display()),
            });
        }
        let answers = self.ask(&requests)?;
        let (listings, others) = answers.split_at(folders.len());
        let listed: BTreeMap<&str, Items> = folders
            .into_iter()
            .zip(listings)
            .map(|(folder, text)| (folder, items(text).unwrap_or_default()))
            .collect();
        for ((number, entry), answer) in entries.iter().enumerate().zip(others) {
            let (folder, name) = entry.place();
            let Some(item) = listed[folder].get(name) else {
                return Err(wrong(&entry.path, "it is not there"));
            };
            let is_folder = matches!(entry.kind, Kind::Folder { .. });
            if is_folder && item.is_folder() {
                continue;
            }
            if item.mode != entry.inode_mode() {
                return Err(wrong(&entry.path, "its mode is another"));
            }
            if item.owner != (0, 0) {
                return Err(wrong(&entry.path, "it is not root's"));
            }
            let out = self.work.path().join(format!("out-{number}"));
            let is_there = |bytes: &[u8]| fs::read(out).is_ok_and(|there| there == bytes);
            let same = match &entry.kind {
                Kind::File { bytes, .. } => is_there(bytes),
                Kind::Link { target } if target.len() < SLOW => link_target(answer) == Some(target),
                Kind::Link { target } => is_there(target.as_bytes()),
                Kind::Folder { .. } => false,
            };
            if !same {
                return Err(wrong(&entry.path, "its content is another"));
            }
        }
        Ok(())
    }
}

fn owned(path: &str, mode: u32) -> [String; 3] {
    [
        format!("sif \"{path}\" mode 0{mode:o}"),
        format!("sif \"{path}\" uid 0"),
        format!("sif \"{path}\" gid 0"),
    ]
}

/// What `stat` says of a link that fits into its inode.
fn link_target(answer: &str) -> Option<&str> {
    let said = answer
        .lines()
        .find_map(|line| line.strip_prefix("Fast link dest: \""))?;
    said.strip_suffix('"')
}
