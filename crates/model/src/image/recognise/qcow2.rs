//! qcow2: its header is checked, its tables are followed, and the disk inside it can be read.
//!
//! By QEMU's docs/interop/qcow2.txt. Integers are big-endian. Nothing that the header says is believed
//! before it was compared with the length of the file.

use std::cell::RefCell;
use std::io;

use miniz_oxide::inflate;

use super::{ReadAt, Refused, Stop, window};
use crate::Size;
use crate::instance::MAX_DISK;

pub const MAGIC: &[u8] = b"QFI\xfb";
const WHAT: &str = "qcow2 image";
/// The largest first table, in entries of 8 bytes. In clusters of 64 KiB, which all tools make where they are
/// not told otherwise, 16 TiB take a quarter of it.
const MOST_L1: u64 = (1 << 20) / 8;
/// How much of the second tables is looked through at most, in bytes: 128 GiB of disk in clusters of 64 KiB and
/// entries of 8 bytes. All of them are looked for in the file.
const MOST_L2: u64 = 16 << 20;
/// Where in the file a table or a cluster is.
const OFFSET: u64 = 0x00ff_ffff_ffff_fe00;
const COMPRESSED: u64 = 1 << 62;
/// In version 3: the cluster reads as zeros, whatever its offset.
const ZEROS: u64 = 1;

/// Incompatible features, by their bits.
const DIRTY: u64 = 1;
const CORRUPT: u64 = 1 << 1;
const DATA_FILE: u64 = 1 << 2;
const COMPRESSION: u64 = 1 << 3;
const EXTENDED_L2: u64 = 1 << 4;

/// A qcow2 image whose header makes sense.
pub struct Qcow2<'a, B: ?Sized> {
    bytes: &'a B,
    cluster_bits: u32,
    /// Of the disk inside.
    size: u64,
    l1: Vec<u64>,
    /// Bytes of an entry of a second table.
    entry: u64,
    /// The compressed cluster that was read last, by its entry: small reads come one after the other.
    plain: RefCell<Option<(u64, Vec<u8>)>>,
}

fn word(bytes: &[u8], offset: usize) -> Option<u32> {
    super::array(bytes, offset).map(u32::from_be_bytes)
}

fn long(bytes: &[u8], offset: usize) -> Option<u64> {
    super::array(bytes, offset).map(u64::from_be_bytes)
}

fn malformed(why: &'static str) -> Refused {
    Refused::Malformed { what: WHAT, why }
}

impl<'a, B: ReadAt + ?Sized> Qcow2<'a, B> {
    /// Checks the header, and reads the first table.
    pub fn open(bytes: &'a B) -> Result<Self, Stop> {
        let head = window(bytes, 0, 112)?;
        let need = |value: Option<u64>| {
            value.ok_or(Refused::Truncated {
                what: WHAT,
                wanted: 72,
                size: bytes.size(),
            })
        };
        let word = |offset| need(word(&head, offset).map(u64::from));
        let long = |offset| need(long(&head, offset));
        let version = word(4)?;
        let features = match version {
            2 => 0,
            3 => long(72)?,
            _ => return Err(malformed("its version is neither 2 nor 3").into()),
        };
        check_features(features, if version == 3 { head.get(104) } else { None })?;
        if long(8)? != 0 {
            return Err(Refused::BackingFile.into());
        }
        if word(32)? != 0 {
            return Err(Refused::Encrypted.into());
        }
        let snapshots = word(60)?;
        if snapshots > 0 {
            return Err(Refused::Snapshots(snapshots).into());
        }
        let extended = features & EXTENDED_L2 != 0;
        let cluster_bits = word(20)? as u32;
        if !(if extended { 14..=21 } else { 9..=21 }).contains(&cluster_bits) {
            return Err(malformed("its clusters have an impossible size").into());
        }
        let size = long(24)?;
        check_size(size)?;
        let entry = if extended { 16 } else { 8 };
        let l1 = first_table(bytes, (word(36)?, long(40)?), size, (cluster_bits, entry))?;
        let image = Self {
            bytes,
            cluster_bits,
            size,
            l1,
            entry,
            plain: RefCell::default(),
        };
        let refcounts = (long(48)?, word(56)?);
        image.inside(refcounts.0, refcounts.1 << cluster_bits)?;
        Ok(image)
    }

    fn cluster(&self) -> u64 {
        1 << self.cluster_bits
    }

    /// Refuses what the file is too short for. Compressed data may end before its last sector does.
    fn inside(&self, offset: u64, length: u64) -> Result<(), Refused> {
        let wanted = offset.saturating_add(length);
        if wanted > self.bytes.size() {
            return Err(Refused::Truncated {
                what: WHAT,
                wanted,
                size: self.bytes.size(),
            });
        }
        Ok(())
    }

    /// Looks for every second table, and follows as many of them to their clusters as the bound allows: the
    /// last ones first, whose clusters are what a file lacks that was cut off.
    pub fn check_tables(&self) -> Result<(), Stop> {
        let tables = || self.l1.iter().map(|entry| entry & OFFSET);
        for table in tables().filter(|table| *table != 0) {
            self.inside(table, self.cluster())?;
        }
        let most = usize::try_from(MOST_L2 / self.cluster()).unwrap_or(usize::MAX);
        for table in tables().filter(|table| *table != 0).rev().take(most) {
            let entries = window(self.bytes, table, self.cluster() as usize)?;
            for entry in entries.chunks_exact(self.entry as usize) {
                match long(entry, 0).unwrap_or(0) {
                    compressed if compressed & COMPRESSED != 0 => {
                        self.inside(self.packed(compressed).0, 1)?;
                    }
                    plain if plain & OFFSET != 0 => self.inside(plain & OFFSET, self.cluster())?,
                    _ => {}
                }
            }
        }
        Ok(())
    }

    /// Where a compressed cluster is, and how many bytes it takes at most.
    fn packed(&self, entry: u64) -> (u64, u64) {
        let bits = 62 - (self.cluster_bits - 8);
        let offset = entry & ((1 << bits) - 1);
        let sectors = (entry & (COMPRESSED - 1)) >> bits;
        (offset, (sectors + 1) * 512 - offset % 512)
    }

    /// Some of the bytes of the cluster that the disk has at an offset: no more than asked for are read, but
    /// for a compressed one.
    fn read_part(&self, at: u64, count: usize) -> io::Result<Vec<u8>> {
        let zeros = || Ok(vec![0; count]);
        let index = at >> self.cluster_bits;
        let skip = (at % self.cluster()) as usize;
        let in_table = self.cluster() / self.entry;
        let table = usize::try_from(index / in_table)
            .ok()
            .and_then(|index| self.l1.get(index))
            .map_or(0, |entry| entry & OFFSET);
        if table == 0 {
            return zeros();
        }
        let place = table + index % in_table * self.entry;
        let entry = window(self.bytes, place, self.entry as usize)?;
        let Some(first) = long(&entry, 0) else {
            return zeros();
        };
        if first & COMPRESSED != 0 {
            let mut kept = self.plain.borrow_mut();
            let cluster = match &mut *kept {
                Some((entry, cluster)) if *entry == first => cluster,
                other => &mut other.insert((first, self.unpack(first)?)).1,
            };
            return Ok(cluster[skip..skip + count].to_vec());
        }
        let data = first & OFFSET;
        if data == 0 || (self.entry == 8 && first & ZEROS != 0) {
            return zeros();
        }
        let mut plain = window(self.bytes, data + skip as u64, count)?;
        plain.resize(count, 0);
        if let Some(bitmap) = long(&entry, 8) {
            // A bit for each thirty-second of the cluster that is there; the rest reads as zeros.
            let part = self.cluster() as usize / 32;
            for (index, byte) in plain.iter_mut().enumerate() {
                if bitmap >> ((skip + index) / part) & 1 == 0 {
                    *byte = 0;
                }
            }
        }
        Ok(plain)
    }

    fn unpack(&self, entry: u64) -> io::Result<Vec<u8>> {
        let (offset, packed) = self.packed(entry);
        let packed = window(self.bytes, offset, packed as usize)?;
        let mut plain = vec![0; self.cluster() as usize];
        // It may be cut where the cluster is full; what is missing reads as zeros.
        let mut state = Box::<inflate::core::DecompressorOxide>::default();
        let flags = inflate::core::inflate_flags::TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF;
        inflate::core::decompress(&mut state, &packed, &mut plain, 0, flags);
        Ok(plain)
    }
}

impl<B: ReadAt + ?Sized> ReadAt for Qcow2<'_, B> {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let rest = usize::try_from(self.size.saturating_sub(offset)).unwrap_or(usize::MAX);
        let wanted = buffer.len().min(rest);
        let mut filled = 0;
        while filled < wanted {
            let at = offset + filled as u64;
            let rest = (self.cluster() - at % self.cluster()) as usize;
            let part = self.read_part(at, rest.min(wanted - filled))?;
            buffer[filled..filled + part.len()].copy_from_slice(&part);
            filled += part.len();
        }
        Ok(wanted)
    }
}

fn check_features(features: u64, compression: Option<&u8>) -> Result<(), Refused> {
    if features & CORRUPT != 0 {
        return Err(Refused::Corrupt);
    }
    if features & DIRTY != 0 {
        return Err(Refused::NotClosed);
    }
    if features & DATA_FILE != 0 {
        return Err(Refused::DataFile);
    }
    let known = DIRTY | CORRUPT | DATA_FILE | COMPRESSION | EXTENDED_L2;
    if features & !known != 0 {
        return Err(Refused::DiskFeature((features & !known).trailing_zeros()));
    }
    // 0 is deflate; anything else says so in the features too.
    match compression {
        Some(kind) if features & COMPRESSION != 0 && *kind != 0 => {
            Err(Refused::DiskCompression(*kind))
        }
        _ => Ok(()),
    }
}

pub fn check_size(size: u64) -> Result<(), Refused> {
    match size {
        _ if size == 0 || size > MAX_DISK => Err(Refused::DiskSize(Size::bytes(size))),
        _ if !size.is_multiple_of(512) => Err(Refused::Sectors(size)),
        _ => Ok(()),
    }
}

fn first_table<B: ReadAt + ?Sized>(
    bytes: &B,
    (entries, offset): (u64, u64),
    size: u64,
    (cluster_bits, entry): (u32, u64),
) -> Result<Vec<u64>, Stop> {
    let covered = ((1u64 << cluster_bits) / entry) << cluster_bits;
    if entries < size.div_ceil(covered) {
        return Err(malformed("its first table is too small for its disk").into());
    }
    if entries > MOST_L1 {
        return Err(Refused::FirstTable.into());
    }
    let wanted = offset.saturating_add(entries * 8);
    if wanted > bytes.size() {
        return Err(Refused::Truncated {
            what: WHAT,
            wanted,
            size: bytes.size(),
        }
        .into());
    }
    let table = window(bytes, offset, (entries * 8) as usize)?;
    Ok(table
        .chunks_exact(8)
        .filter_map(|entry| long(entry, 0))
        .collect())
}
