//! Opening an image: a copy of it, its root, and what is in there.

use std::path::Path;

use crate::disk::{Content, Disk, Partition, Table};
use crate::draft::Draft;
use crate::filesystem::FileSystem;
use crate::found::Found;
use crate::tools::Tools;
use crate::unpack::unpack;
use crate::{Error, Watch};

/// A copy of an image whose root has been found.
#[derive(Debug)]
pub struct Opened {
    pub(crate) draft: Draft,
    pub(crate) tools: Tools,
    pub(crate) table: Table,
    pub(crate) root: Partition,
    pub(crate) found: Found,
}

impl Opened {
    /// Unpacks a copy into a draft and looks at it; its root becomes `root_size` bytes large where that is given.
    ///
    /// # Errors
    /// The image cannot be read, is no OpenWrt image with an ext4 root, or is damaged.
    pub fn open(
        image: &Path,
        mut draft: Draft,
        tools: &Tools,
        root_size: Option<u64>,
        watch: Watch<'_>,
    ) -> Result<Self, Error> {
        watch.step(&format!("reading {}", image.display()))?;
        let size = unpack(image, &mut draft.file, watch)?;
        let disk = Disk::read(&draft.file, size)?;
        let mut root = find_root(&draft, &disk, tools)?;
        watch.step("looking at its file system")?;
        let fs = FileSystem::new(tools, &draft.file, &root)?;
        if fs.room()?.size > root.size {
            return Err(Error::Damaged {
                said: "it is larger than its partition".to_owned(),
            });
        }
        fs.mend()?;
        let found = Found::look(&fs)?;
        if let Some(size) = root_size {
            watch.step("making its root larger")?;
            root = disk.grow(&draft.file, root.number, size)?;
            let apart = draft.another()?;
            let fs = FileSystem::new(tools, &draft.file, &root)?;
            fs.grow(root.size, &apart.file)?;
        }
        watch.go_on()?;
        Ok(Self {
            table: disk.table,
            tools: tools.clone(),
            draft,
            root,
            found,
        })
    }

    pub fn found(&self) -> &Found {
        &self.found
    }
}

/// The partition with OpenWrt on it.
fn find_root(draft: &Draft, disk: &Disk, tools: &Tools) -> Result<Partition, Error> {
    let content = |part: &&Partition| part.content(&draft.file);
    let mut candidates = disk
        .partitions
        .iter()
        .filter(|part| content(part) == Content::Ext);
    let mut seen = false;
    for part in candidates.by_ref() {
        seen = true;
        let fs = FileSystem::new(tools, &draft.file, part)?;
        if fs.read("/etc/openwrt_release")?.is_some() {
            return Ok(*part);
        }
    }
    let squashed = disk
        .partitions
        .iter()
        .any(|part| content(&part) == Content::Squashfs);
    Err(match (seen, squashed) {
        (_, true) => Error::Squashfs,
        (true, false) => Error::NotOpenWrt,
        (false, false) => Error::NoRoot,
    })
}
