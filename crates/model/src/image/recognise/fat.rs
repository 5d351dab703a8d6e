//! Which programs an EFI system partition has where every firmware looks: `EFI/BOOT/BOOT*.EFI`.
//!
//! Just enough of FAT for that (Microsoft's FAT specification, 1.03): short names, which these all are.

use std::io;

use super::{ReadAt, u16_at, u32_at, window};

/// How many clusters of a folder are looked at.
const MOST_CLUSTERS: usize = 64;
const END_BITS: [(Kind, u32); 3] = [
    (Kind::Fat12, 0xff8),
    (Kind::Fat16, 0xfff8),
    (Kind::Fat32, 0x0fff_fff8),
];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Fat12,
    Fat16,
    Fat32,
}

/// The names in `EFI/BOOT`, as `BOOTX64.EFI`; none where this is no file system that can be read here.
pub fn loaders<B: ReadAt + ?Sized>(bytes: &B, start: u64) -> io::Result<Option<Vec<String>>> {
    let Some(fat) = Fat::open(bytes, start)? else {
        return Ok(None);
    };
    let mut folder = fat.root()?;
    for name in ["EFI", "BOOT"] {
        let inner = entries(&folder).find(|entry| entry.folder && entry.name == name);
        let Some(inner) = inner else {
            return Ok(Some(Vec::new()));
        };
        folder = fat.chain(inner.cluster)?;
    }
    Ok(Some(
        entries(&folder)
            .filter(|entry| !entry.folder)
            .map(|entry| entry.name)
            .collect(),
    ))
}

struct Fat<'a, B: ?Sized> {
    bytes: &'a B,
    kind: Kind,
    /// Bytes.
    cluster: u64,
    table: u64,
    root: (u64, usize),
    root_cluster: u32,
    data: u64,
}

impl<'a, B: ReadAt + ?Sized> Fat<'a, B> {
    fn open(bytes: &'a B, start: u64) -> io::Result<Option<Self>> {
        let head = window(bytes, start, 512)?;
        let byte = |at: usize| head.get(at).copied().map(u64::from);
        let short = |at| u16_at(&head, at).map(u64::from);
        let long = |at| u32_at(&head, at).map(u64::from);
        let read = || {
            let sector = short(11).filter(|size| (512..=4096).contains(size))?;
            let cluster = byte(13).filter(|count| count.is_power_of_two())?;
            let table_sectors = short(22).filter(|count| *count > 0).or(long(36))?;
            let total = short(19).filter(|count| *count > 0).or(long(32))?;
            let (reserved, tables, root_entries) = (short(14)?, byte(16)?, short(17)?);
            let root_sectors = (root_entries * 32).div_ceil(sector);
            let before = reserved + tables * table_sectors + root_sectors;
            let kind = match total.checked_sub(before)? / cluster {
                0..4085 => Kind::Fat12,
                4085..65525 => Kind::Fat16,
                _ => Kind::Fat32,
            };
            Some(Self {
                bytes,
                kind,
                cluster: cluster * sector,
                table: start + reserved * sector,
                root: (
                    start + (reserved + tables * table_sectors) * sector,
                    (root_entries * 32) as usize,
                ),
                root_cluster: u32_at(&head, 44)?,
                data: start + before * sector,
            })
        };
        Ok(read().filter(|_| u16_at(&head, 510) == Some(0xaa55)))
    }

    fn root(&self) -> io::Result<Vec<u8>> {
        match self.kind {
            Kind::Fat32 => self.chain(self.root_cluster),
            Kind::Fat12 | Kind::Fat16 => window(self.bytes, self.root.0, self.root.1),
        }
    }

    /// The bytes of a chain of clusters.
    fn chain(&self, first: u32) -> io::Result<Vec<u8>> {
        let end = END_BITS
            .iter()
            .find(|(kind, _)| *kind == self.kind)
            .map_or(0, |(_, end)| *end);
        let (mut cluster, mut all) = (first, Vec::new());
        for _ in 0..MOST_CLUSTERS {
            if !(2..end).contains(&cluster) {
                break;
            }
            let at = self.data + u64::from(cluster - 2) * self.cluster;
            all.extend(window(self.bytes, at, self.cluster as usize)?);
            cluster = self.next(cluster)?;
        }
        Ok(all)
    }

    fn next(&self, cluster: u32) -> io::Result<u32> {
        let at = u64::from(cluster);
        let read = |offset| window(self.bytes, self.table + offset, 4);
        Ok(match self.kind {
            Kind::Fat12 => {
                let pair = u16_at(&read(at + at / 2)?, 0).unwrap_or(u16::MAX);
                u32::from(if at % 2 == 0 { pair & 0xfff } else { pair >> 4 })
            }
            Kind::Fat16 => u16_at(&read(at * 2)?, 0).map_or(u32::MAX, u32::from),
            Kind::Fat32 => u32_at(&read(at * 4)?, 0).unwrap_or(u32::MAX) & 0x0fff_ffff,
        })
    }
}

struct Entry {
    name: String,
    folder: bool,
    cluster: u32,
}

fn entries(folder: &[u8]) -> impl Iterator<Item = Entry> + '_ {
    const FREE: u8 = 0xe5;
    const LABEL: u8 = 0x08;
    const FOLDER: u8 = 0x10;
    folder
        .chunks_exact(32)
        .take_while(|entry| entry[0] != 0)
        .filter(|entry| entry[0] != FREE && entry[11] & LABEL == 0)
        .map(|entry| {
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_end().to_owned();
            let (name, ending) = (text(&entry[..8]), text(&entry[8..11]));
            let high = u16_at(entry, 20).map_or(0, u32::from);
            Entry {
                name: if ending.is_empty() {
                    name
                } else {
                    format!("{name}.{ending}")
                },
                folder: entry[11] & FOLDER != 0,
                cluster: high << 16 | u16_at(entry, 26).map_or(0, u32::from),
            }
        })
}
