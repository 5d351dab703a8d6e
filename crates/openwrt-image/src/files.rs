//! What is written into a file system: files, links and folders, all of root's.

use crate::Error;

/// Something at a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// From `/`, without `.`, `..` and a slash at the end.
    pub(crate) path: String,
    pub(crate) kind: Kind,
}

/// What it is; modes as `chmod` has them.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    File { bytes: Vec<u8>, mode: u16 },
    Link { target: String },
    Folder { mode: u16 },
}

impl Entry {
    pub(crate) fn file(path: &str, mode: u16, bytes: impl Into<Vec<u8>>) -> Self {
        Self {
            path: path.to_owned(),
            kind: Kind::File {
                bytes: bytes.into(),
                mode,
            },
        }
    }

    pub(crate) fn link(path: &str, target: &str) -> Self {
        Self {
            path: path.to_owned(),
            kind: Kind::Link {
                target: target.to_owned(),
            },
        }
    }

    pub(crate) fn folder(path: &str, mode: u16) -> Self {
        Self {
            path: path.to_owned(),
            kind: Kind::Folder { mode },
        }
    }

    /// Type and permissions, as an inode has them.
    pub(crate) fn inode_mode(&self) -> u32 {
        match &self.kind {
            Kind::File { mode, .. } => 0o100_000 | u32::from(*mode),
            Kind::Link { .. } => 0o120_777,
            Kind::Folder { mode } => 0o040_000 | u32::from(*mode),
        }
    }

    /// Bytes that it takes of the file system, about.
    pub(crate) fn size(&self) -> u64 {
        match &self.kind {
            Kind::File { bytes, .. } => bytes.len() as u64,
            Kind::Link { .. } | Kind::Folder { .. } => 0,
        }
    }

    /// The folder it is in, and what it is called there.
    pub(crate) fn place(&self) -> (&str, &str) {
        match self.path.rsplit_once('/') {
            Some(("", name)) => ("/", name),
            Some(place) => place,
            None => ("/", &self.path),
        }
    }
}

impl std::fmt::Debug for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File { bytes, mode } => write!(f, "{} bytes, {mode:04o}", bytes.len()),
            Self::Link { target } => write!(f, "-> {target}"),
            Self::Folder { mode } => write!(f, "folder, {mode:04o}"),
        }
    }
}

/// Whether `debugfs` can be told of a path or a link's target: its command lines know quotes and nothing else, and a
/// name in angle brackets is an inode's number.
///
/// # Errors
/// It cannot.
pub(crate) fn check_text(text: &str) -> Result<(), Error> {
    let plain = |c: char| (c.is_ascii_graphic() || c == ' ') && !matches!(c, '"' | '<' | '>');
    match !text.is_empty() && text.chars().all(plain) {
        true => Ok(()),
        false => Err(Error::OddName {
            name: text.to_owned(),
        }),
    }
}
