//! The ext4 file system inside of a draft: reading, checking, growing, and writing, which is in [`write`].

mod superblock;
mod write;

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;

use tempfile::TempDir;

use crate::Error;
use crate::disk::Partition;
use crate::tools::{Tools, said};

pub(crate) use superblock::Room;

pub(crate) struct FileSystem<'a> {
    tools: &'a Tools,
    file: &'a File,
    offset: u64,
    /// For what goes in and what comes out.
    work: TempDir,
}

/// What a folder has under a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Item {
    /// Type and permissions.
    pub(crate) mode: u32,
    pub(crate) owner: (u32, u32),
}

pub(crate) type Items = BTreeMap<String, Item>;

impl Item {
    pub(crate) fn is_folder(&self) -> bool {
        self.mode & 0o170_000 == 0o040_000
    }
}

impl<'a> FileSystem<'a> {
    /// # Errors
    /// There is no place for temporary files.
    pub(crate) fn new(tools: &'a Tools, file: &'a File, root: &Partition) -> Result<Self, Error> {
        let work = tempfile::Builder::new()
            .prefix("rhyzome-openwrt-")
            .tempdir();
        Ok(Self {
            tools,
            file,
            offset: root.offset,
            work: work.map_err(Error::io("a folder for temporary files"))?,
        })
    }

    /// # Errors
    /// It has no superblock that can be read.
    pub(crate) fn room(&self) -> Result<Room, Error> {
        Room::read(self.file, self.offset)
    }

    /// Mends what an official image may have of small faults, in the draft.
    ///
    /// # Errors
    /// It is damaged beyond that.
    pub(crate) fn mend(&self) -> Result<(), Error> {
        let output = self.tools.e2fsck(self.file, self.offset, "-p")?;
        match output.status.code() {
            Some(0 | 1) => Ok(()),
            _ => Err(Error::Damaged {
                said: said(&output),
            }),
        }
    }

    /// # Errors
    /// It is not as it should be.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let output = self.tools.e2fsck(self.file, self.offset, "-n")?;
        match output.status.success() {
            true => Ok(()),
            false => Err(Error::Inconsistent {
                said: said(&output),
            }),
        }
    }

    /// Makes it as large as its partition is by now, in bytes. `resize2fs` cuts what it works on to the size of the file
    /// system, whatever else is in there: it gets a file of its own.
    ///
    /// # Errors
    /// It did not become so.
    pub(crate) fn grow(&self, size: u64, apart: &File) -> Result<(), Error> {
        let before = self.room()?.size;
        copy((self.file, self.offset), (apart, 0), before)?;
        apart.set_len(size).map_err(Error::io("the draft"))?;
        let output = self.tools.resize2fs(apart, size >> 10)?;
        let now = Room::read(apart, 0)?.size;
        // It leaves out a last group that would be too small to be of use.
        if !output.status.success() || now > size || now < size - (size >> 4) {
            return Err(Error::NotGrown {
                said: said(&output),
            });
        }
        copy((apart, 0), (self.file, self.offset), now)?;
        self.check()
    }

    /// What is in a folder; none where there is no folder of that path.
    pub(crate) fn list(&self, path: &str) -> Result<Option<Items>, Error> {
        // The dot makes it follow a link, and not take a file for a folder.
        let answers = self.ask(&[format!("ls -p \"{path}/.\"")])?;
        Ok(items(&answers[0]))
    }

    /// The bytes of a file; none where there is none.
    pub(crate) fn read(&self, path: &str) -> Result<Option<Vec<u8>>, Error> {
        let to = self.work.path().join("read");
        // What an earlier one left.
        let _ = fs::remove_file(&to);
        self.ask(&[format!("dump \"{path}\" \"{}\"", to.display())])?;
        match fs::read(&to) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(Error::Read { path: to, source }),
        }
    }

    /// Reads a file that is text.
    pub(crate) fn read_text(&self, path: &str) -> Result<Option<String>, Error> {
        let bytes = self.read(path)?;
        Ok(bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
    }

    /// Asks things of it without changing it. Gives what is said to each.
    fn ask(&self, requests: &[String]) -> Result<Vec<String>, Error> {
        let commands = self.commands(requests)?;
        let options = ["-f".as_ref(), commands.as_os_str()];
        let output = self.tools.debugfs(self.file, self.offset, &options)?;
        let text = String::from_utf8_lossy(&output.stdout);
        let answers = answers(&text);
        match answers.len() == requests.len() {
            true => Ok(answers),
            false => Err(Error::Unanswered {
                said: said(&output),
            }),
        }
    }

    /// Tells it to change things. Gives what was said to it, which may be of use where they turn out not to have changed.
    fn tell(&self, requests: &[String]) -> Result<String, Error> {
        let commands = self.commands(requests)?;
        let options: [&OsStr; 3] = ["-w".as_ref(), "-f".as_ref(), commands.as_os_str()];
        let output = self.tools.debugfs(self.file, self.offset, &options)?;
        Ok(said(&output))
    }

    fn commands(&self, requests: &[String]) -> Result<std::path::PathBuf, Error> {
        let mut text = String::new();
        for request in requests {
            let _ = writeln!(text, "{request}");
        }
        let path = self.work.path().join("commands");
        match fs::write(&path, text) {
            Ok(()) => Ok(path),
            Err(source) => Err(Error::Write { path, source }),
        }
    }
}

/// Copies so many bytes from one place to another. What is nothing but zeros is nothing there already, or is made so.
fn copy(from: (&File, u64), to: (&File, u64), length: u64) -> Result<(), Error> {
    let mut piece = vec![0; 1 << 20];
    let mut there = vec![0; 1 << 20];
    let mut done = 0;
    while done < length {
        let count = usize::try_from((length - done).min(1 << 20)).expect("it is a MiB at most");
        let (piece, there) = (&mut piece[..count], &mut there[..count]);
        fill(from.0, piece, from.1 + done).map_err(Error::io("the draft"))?;
        fill(to.0, there, to.1 + done).map_err(Error::io("the draft"))?;
        if piece != there {
            to.0.write_all_at(piece, to.1 + done)
                .map_err(Error::io("the draft"))?;
        }
        done += count as u64;
    }
    Ok(())
}

/// Reads; behind the end of the file there are zeros.
fn fill(file: &File, piece: &mut [u8], at: u64) -> std::io::Result<()> {
    piece.fill(0);
    let mut read = 0;
    while read < piece.len() {
        match file.read_at(&mut piece[read..], at + read as u64)? {
            0 => break,
            count => read += count,
        }
    }
    Ok(())
}

/// Behind each command, which it repeats, `debugfs` writes the answer.
fn answers(text: &str) -> Vec<String> {
    let mut answers: Vec<String> = Vec::new();
    for line in text.lines() {
        match answers.last_mut() {
            _ if line.starts_with("debugfs: ") => answers.push(String::new()),
            Some(answer) => {
                answer.push_str(line);
                answer.push('\n');
            }
            None => {}
        }
    }
    answers
}

/// Reads what `ls -p` writes: `/inode/mode/owner/group/name/size/`. A folder has at least itself.
fn items(text: &str) -> Option<Items> {
    let item = |line: &str| {
        let parts: Vec<&str> = line.split('/').collect();
        let [_, _, mode, owner, group, name, ..] = parts[..] else {
            return None;
        };
        let item = Item {
            mode: u32::from_str_radix(mode, 8).ok()?,
            owner: (owner.parse().ok()?, group.parse().ok()?),
        };
        Some((name.to_owned(), item))
    };
    let items: Items = text.lines().filter_map(item).collect();
    items.contains_key(".").then_some(items)
}

#[cfg(test)]
mod tests;
