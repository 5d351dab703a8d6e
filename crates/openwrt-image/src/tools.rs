//! The programs of e2fsprogs, and running them on a file system inside of a file.

use std::env;
use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::Error;

/// Where they are; a user's `PATH` often lacks the folders that systems keep them in.
const BESIDES: [&str; 2] = ["/usr/sbin", "/sbin"];

#[derive(Clone, Debug)]
pub struct Tools {
    debugfs: PathBuf,
    e2fsck: PathBuf,
    resize2fs: PathBuf,
}

impl Tools {
    /// Those of this machine.
    ///
    /// # Errors
    /// One of them is not installed.
    pub fn find() -> Result<Self, Error> {
        let path = env::var_os("PATH").unwrap_or_default();
        let besides = BESIDES.into_iter().map(PathBuf::from);
        let folders: Vec<PathBuf> = env::split_paths(&path).chain(besides).collect();
        Self::within(&folders)
    }

    /// Those in folders, of which the first counts that has one.
    ///
    /// # Errors
    /// One of them is nowhere.
    pub fn within(folders: &[PathBuf]) -> Result<Self, Error> {
        let find = |name: &'static str| {
            let mut paths = folders.iter().map(|folder| folder.join(name));
            paths
                .find(|path| is_program(path))
                .ok_or(Error::NoTool { name })
        };
        Ok(Self {
            debugfs: find("debugfs")?,
            e2fsck: find("e2fsck")?,
            resize2fs: find("resize2fs")?,
        })
    }

    /// Runs `debugfs` with options on the file system at an offset. That it ended well says nothing.
    pub(crate) fn debugfs(
        &self,
        file: &File,
        offset: u64,
        options: &[&OsStr],
    ) -> Result<Output, Error> {
        let mut command = Command::new(&self.debugfs);
        // It would page what it says where it finds a terminal.
        command.args(options).env("DEBUGFS_PAGER", "__none__");
        run(command, file, offset, None)
    }

    /// `-p` mends what can be mended without asking, `-n` changes nothing.
    pub(crate) fn e2fsck(&self, file: &File, offset: u64, how: &str) -> Result<Output, Error> {
        let mut command = Command::new(&self.e2fsck);
        command.args(["-f", how]);
        run(command, file, offset, None)
    }

    /// Of a file that has nothing else in it; to a size in KiB.
    pub(crate) fn resize2fs(&self, file: &File, kib: u64) -> Result<Output, Error> {
        let command = Command::new(&self.resize2fs);
        run(command, file, 0, Some(format!("{kib}K")))
    }
}

fn is_program(path: &Path) -> bool {
    let metadata = path.metadata();
    metadata.is_ok_and(|there| there.is_file() && there.permissions().mode() & 0o111 != 0)
}

/// The file has no name: the program finds it as its standard input. libext2fs takes options of its I/O behind a
/// question mark (`ext2fs_open2`).
fn run(
    mut command: Command,
    file: &File,
    offset: u64,
    last: Option<String>,
) -> Result<Output, Error> {
    let input = file.try_clone().map_err(Error::io("the draft"))?;
    let program = PathBuf::from(command.get_program());
    // A terminal's interruption is for whoever waits for it, and does not tear it from the middle of a write.
    command
        .process_group(0)
        .arg(format!("/proc/self/fd/0?offset={offset}"))
        .args(last)
        .env("LC_ALL", "C")
        .stdin(input);
    command
        .output()
        .map_err(|source| Error::Run { program, source })
}

/// What a program has said, on one line and not too long.
pub(crate) fn said(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let lines = text(&output.stderr) + &text(&output.stdout);
    let lines: Vec<&str> = lines
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !is_banner(line))
        .collect();
    let said: String = lines.join("; ").chars().take(400).collect();
    match said.is_empty() {
        true => "it said nothing".to_owned(),
        false => said,
    }
}

/// What they say at each start.
fn is_banner(line: &str) -> bool {
    let version = |name: &str| {
        let rest = line.strip_prefix(name);
        rest.is_some_and(|rest| rest.starts_with(" 1."))
    };
    ["debugfs", "e2fsck", "resize2fs"].into_iter().any(version)
        || line.starts_with("debugfs:")
        || line.starts_with("Pass ")
        || line.starts_with("Allocated inode:")
}
