use proptest::prelude::*;

use super::super::recognise;
use super::*;
use crate::image::DiskGuest;

const SIZE: usize = 4 << 20;
const START: usize = 2048 * 512;

fn put(bytes: &mut [u8], at: usize, what: &[u8]) {
    bytes[at..at + what.len()].copy_from_slice(what);
}

/// A disk with a GPT of one partition, and a program in its first sector or none.
fn gpt_disk(kind: &str, code: bool) -> Vec<u8> {
    let mut disk = vec![0; SIZE];
    if code {
        disk[0] = 0xeb;
    }
    put(&mut disk, 0x1fe, &[0x55, 0xaa]);
    put(&mut disk, 512, b"EFI PART");
    put(&mut disk, 512 + 32, &(SIZE as u64 / 512 - 1).to_le_bytes());
    put(&mut disk, 512 + 72, &2u64.to_le_bytes());
    put(&mut disk, 512 + 80, &128u32.to_le_bytes());
    put(&mut disk, 512 + 84, &128u32.to_le_bytes());
    let kind: uuid::Uuid = kind.parse().unwrap();
    put(&mut disk, 1024, &kind.to_bytes_le());
    put(&mut disk, 1024 + 32, &2048u64.to_le_bytes());
    disk
}

/// An entry of a folder of FAT.
fn entry(name: &[u8; 11], attributes: u8, cluster: u16) -> [u8; 32] {
    let mut entry = [0; 32];
    entry[..11].copy_from_slice(name);
    entry[11] = attributes;
    entry[26..28].copy_from_slice(&cluster.to_le_bytes());
    entry
}

/// A disk whose EFI system partition has one loader in a FAT of 12 bits.
fn efi_disk(loader: &[u8; 11]) -> Vec<u8> {
    let mut disk = gpt_disk(ESP, false);
    let fat = &mut disk[START..];
    put(fat, 11, &512u16.to_le_bytes());
    fat[13] = 1;
    put(fat, 14, &1u16.to_le_bytes());
    fat[16] = 1;
    put(fat, 17, &16u16.to_le_bytes());
    put(fat, 19, &2880u16.to_le_bytes());
    put(fat, 22, &9u16.to_le_bytes());
    put(fat, 0x1fe, &[0x55, 0xaa]);
    // Clusters 2 and 3 are chains of one.
    put(fat, 512, &[0xf8, 0xff, 0xff, 0xff, 0xff, 0xff]);
    let root = 512 * 10;
    put(fat, root, &entry(b"EFI        ", 0x10, 2));
    put(fat, root + 512, &entry(b"BOOT       ", 0x10, 3));
    put(fat, root + 1024, &entry(loader, 0x20, 4));
    disk
}

/// The disk in a qcow2 file of version 3, its first cluster compressed if so asked.
fn qcow2_of(disk: &[u8], compressed: bool) -> Vec<u8> {
    const CLUSTER: usize = 1 << 16;
    let mut file = vec![0; 4 * CLUSTER];
    put(&mut file, 0, b"QFI\xfb\0\0\0\x03");
    put(&mut file, 20, &16u32.to_be_bytes());
    put(&mut file, 24, &(disk.len() as u64).to_be_bytes());
    put(&mut file, 36, &1u32.to_be_bytes());
    put(&mut file, 40, &(CLUSTER as u64).to_be_bytes());
    put(&mut file, 48, &(3 * CLUSTER as u64).to_be_bytes());
    put(&mut file, 56, &1u32.to_be_bytes());
    put(&mut file, 100, &104u32.to_be_bytes());
    put(
        &mut file,
        CLUSTER,
        &((2 * CLUSTER as u64) | (1 << 63)).to_be_bytes(),
    );
    for (index, cluster) in disk.chunks(CLUSTER).enumerate() {
        if cluster.iter().all(|byte| *byte == 0) {
            continue;
        }
        let at = file.len() as u64;
        let value = if compressed {
            let packed = miniz_oxide::deflate::compress_to_vec(cluster, 6);
            let sectors = (packed.len() as u64).div_ceil(512);
            file.extend(&packed);
            file.resize(file.len().next_multiple_of(512), 0);
            (1 << 62) | ((sectors - 1) << 54) | at
        } else {
            file.extend(cluster);
            file.resize(file.len().next_multiple_of(CLUSTER), 0);
            at | (1 << 63)
        };
        put(&mut file, 2 * CLUSTER + index * 8, &value.to_be_bytes());
    }
    file
}

fn check(bytes: &[u8], expect: Result<(DiskLayout, DiskFirmware), &str>) {
    let got = recognise(bytes).map_err(|refused| refused.to_string());
    let size = Size::bytes(SIZE as u64);
    let expect = expect.map(|(layout, firmware)| ImageFormat::Disk {
        layout,
        size,
        firmware,
        guest: None,
    });
    assert_eq!(got, expect.map_err(str::to_owned));
}

const X64: &[u8; 11] = b"BOOTX64 EFI";
const LINUX: &str = "0FC63DAF-8483-4772-8E79-3D69D8477DE4";

#[test]
fn a_disk_is_recognised_with_what_boots_it_however_it_lies_in_its_file() {
    let both = {
        let mut disk = efi_disk(X64);
        disk[0] = 0xeb;
        disk
    };
    for (disk, firmware) in [
        (gpt_disk(LINUX, true), DiskFirmware::Bios),
        (efi_disk(X64), DiskFirmware::Uefi),
        (both, DiskFirmware::Both),
    ] {
        check(&disk, Ok((DiskLayout::Raw, firmware)));
        for compressed in [false, true] {
            let file = qcow2_of(&disk, compressed);
            check(&file, Ok((DiskLayout::Qcow2, firmware)));
        }
    }
}

#[test]
fn a_disk_that_could_not_boot_here_is_refused_with_the_reason() {
    let arm = "this is a disk image built for arm64: instances are x86-64";
    let arm = |disk: &[u8]| {
        let said = recognise(disk).unwrap_err().to_string();
        assert!(said.contains("arm64"), "{said}: {arm}");
    };
    arm(&efi_disk(b"BOOTAA64EFI"));
    arm(&gpt_disk("B921B045-1DF0-41C3-AF44-4C6F280D3FAE", true));
    arm(&qcow2_of(&efi_disk(b"BOOTAA64EFI"), false));
    for nothing in [gpt_disk(LINUX, false), efi_disk(b"SHELLX64EFI")] {
        let said = recognise(&nothing).unwrap_err().to_string();
        assert!(said.contains("has nothing that boots"), "{said}");
    }
    let empty = recognise(&qcow2_of(&vec![0; SIZE], false)).unwrap_err();
    assert!(empty.to_string().contains("no partition table"), "{empty}");
}

#[test]
fn a_disk_that_is_cut_off_is_refused_wherever_it_is_cut() {
    let raw = gpt_disk(LINUX, true);
    let said = recognise(&raw[..SIZE - 512]).unwrap_err().to_string();
    assert!(said.contains("is cut off"), "{said}");
    let said = recognise(&raw[..SIZE - 100]).unwrap_err().to_string();
    assert!(said.contains("no whole sectors"), "{said}");
    let file = qcow2_of(&raw, false);
    for length in [8, 71, 104, 1 << 16, 3 << 16, file.len() - 1] {
        let said = recognise(&file[..length]).unwrap_err().to_string();
        assert!(said.contains("is cut off"), "{length}: {said}");
    }
}

#[test]
fn a_qcow2_image_that_is_not_whole_and_plain_is_refused_with_what_to_do() {
    let file = qcow2_of(&gpt_disk(LINUX, true), false);
    let refused = |at: usize, what: &[u8]| {
        let mut file = file.clone();
        put(&mut file, at, what);
        recognise(&file).unwrap_err()
    };
    assert_eq!(refused(8, &104u64.to_be_bytes()), Refused::BackingFile);
    assert_eq!(refused(32, &2u32.to_be_bytes()), Refused::Encrypted);
    assert_eq!(refused(60, &3u32.to_be_bytes()), Refused::Snapshots(3));
    assert_eq!(refused(79, &[1]), Refused::NotClosed);
    assert_eq!(refused(79, &[2]), Refused::Corrupt);
    assert_eq!(refused(79, &[4]), Refused::DataFile);
    assert_eq!(refused(79, &[64]), Refused::DiskFeature(6));
    let large = 17u64 << 40;
    assert_eq!(
        refused(24, &large.to_be_bytes()),
        Refused::DiskSize(Size::bytes(large))
    );
    for (at, what) in [
        (7, &[9][..]),
        (23, &[40]),
        (24, &(15u64 << 40).to_be_bytes()),
    ] {
        let said = refused(at, what).to_string();
        assert!(said.contains("contradicts itself"), "{at}: {said}");
    }
    assert_eq!(refused(36, &[0xff; 4]), Refused::FirstTable);
    for at in [40, 48] {
        let said = refused(at, &[0x7f; 8]).to_string();
        assert!(said.contains("is cut off"), "{at}: {said}");
    }
}

/// Counts what is read of bytes that are mostly not there: what lies between reads as zeros.
struct Sparse {
    size: u64,
    parts: Vec<(u64, Vec<u8>)>,
    read: std::cell::Cell<u64>,
}

impl super::super::ReadAt for Sparse {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> std::io::Result<usize> {
        let rest = usize::try_from(self.size.saturating_sub(offset)).unwrap();
        let count = buffer.len().min(rest);
        self.read.set(self.read.get() + count as u64);
        buffer[..count].fill(0);
        for (start, part) in &self.parts {
            let (from, to) = (
                offset.max(*start),
                (offset + count as u64).min(start + part.len() as u64),
            );
            if from < to {
                let part = &part[(from - start) as usize..(to - start) as usize];
                buffer[(from - offset) as usize..][..part.len()].copy_from_slice(part);
            }
        }
        Ok(count)
    }
}

/// A qcow2 image of 16 TiB whose second tables are all there, 2 GiB of them, with nothing in them but in the
/// very last entry, which leads `behind` the end of the file.
fn enormous(behind: bool) -> Sparse {
    const CLUSTER: u64 = 1 << 16;
    const TABLES: u64 = 32_768;
    let mut head = qcow2_of(&gpt_disk(LINUX, true), false);
    head.truncate(CLUSTER as usize);
    put(&mut head, 24, &(16u64 << 40).to_be_bytes());
    put(&mut head, 36, &u32::try_from(TABLES).unwrap().to_be_bytes());
    let first = 4 * CLUSTER;
    let tables = first + 8 * CLUSTER;
    put(&mut head, 40, &first.to_be_bytes());
    put(&mut head, 48, &(3 * CLUSTER).to_be_bytes());
    let l1: Vec<u8> = (0..TABLES)
        .flat_map(|n| ((tables + n * CLUSTER) | (1 << 63)).to_be_bytes())
        .collect();
    let disk = tables + TABLES * CLUSTER;
    let size = disk + CLUSTER;
    let mut beginning = gpt_disk(LINUX, true);
    beginning.truncate(CLUSTER as usize);
    let last = if behind { size } else { disk };
    let parts = vec![
        (0, head),
        (first, l1),
        (tables, (disk | (1 << 63)).to_be_bytes().to_vec()),
        (
            tables + TABLES * CLUSTER - 8,
            (last | (1 << 63)).to_be_bytes().to_vec(),
        ),
        (disk, beginning),
    ];
    Sparse {
        size,
        parts,
        read: std::cell::Cell::new(0),
    }
}

#[test]
fn no_more_is_read_of_the_largest_image_than_is_said() {
    let whole = enormous(false);
    let found = super::super::recognise_at(&whole).unwrap().unwrap();
    assert!(matches!(found, ImageFormat::Disk { size, .. } if size == Size::bytes(16 << 40)));
    let read = whole.read.get();
    assert!(read > 16 << 20, "its tables are followed: {read}");
    assert!(read < 18 << 20, "{read} bytes were read");
    let cut = enormous(true);
    let said = super::super::recognise_at(&cut).unwrap().unwrap_err();
    assert!(said.to_string().contains("is cut off"), "{said}");
}

#[test]
fn little_is_read_of_a_disk_whatever_its_clusters() {
    let disk = efi_disk(X64);
    for file in [disk.clone(), qcow2_of(&disk, false), qcow2_of(&disk, true)] {
        let sparse = Sparse {
            size: file.len() as u64,
            parts: vec![(0, file)],
            read: std::cell::Cell::new(0),
        };
        super::super::recognise_at(&sparse).unwrap().unwrap();
        let read = sparse.read.get();
        assert!(read < 400 << 10, "{read} bytes were read");
    }
}

/// A disk with a program in its first sector and partitions, each of a type and from a sector on.
fn mbr_disk(partitions: &[(u8, u32)]) -> Vec<u8> {
    let mut disk = vec![0; SIZE];
    disk[0] = 0xfa;
    put(&mut disk, 0x1fe, &[0x55, 0xaa]);
    for (index, (kind, first)) in partitions.iter().enumerate() {
        let at = 0x1be + 16 * index;
        disk[at] = 0x80;
        disk[at + 4] = *kind;
        put(&mut disk, at + 8, &first.to_le_bytes());
    }
    disk
}

fn guest_of(disk: &[u8]) -> Option<DiskGuest> {
    match recognise(disk) {
        Ok(ImageFormat::Disk { guest, .. }) => guest,
        other => panic!("{other:?}"),
    }
}

#[test]
fn unikernels_on_disks_are_told_by_what_their_builders_put_there() {
    // A boot file system and a root, as mkfs of Nanos lays them out.
    let mut nanos = mbr_disk(&[(0x83, 1024), (0x83, 4096)]);
    assert_eq!(guest_of(&nanos), None);
    put(&mut nanos, 1024 * 512, b"NVMTFS");
    assert_eq!(guest_of(&nanos), Some(DiskGuest::Nanos));
    assert_eq!(recognise(&nanos).unwrap().as_str(), "nanos");
    // With a partition for UEFI before them, and only the root has the mark.
    let mut nanos = mbr_disk(&[(0xef, 64), (0x83, 1024), (0x83, 4096)]);
    put(&mut nanos, 4096 * 512, b"NVMTFS");
    assert_eq!(guest_of(&nanos), Some(DiskGuest::Nanos));
    // Not in a partition of another type, nor where no partition is.
    let mut other = mbr_disk(&[(0x07, 1024)]);
    put(&mut other, 1024 * 512, b"NVMTFS");
    assert_eq!(guest_of(&other), None);

    let mut osv = mbr_disk(&[]);
    put(&mut osv, 0x12, &[0x10, 0, 0x40, 0]);
    put(&mut osv, 0x1a, &128u64.to_le_bytes());
    put(&mut osv, 512, b"/hello.so\0");
    assert_eq!(guest_of(&osv), None);
    put(&mut osv, 128 * 512, b"\x7fELF");
    assert_eq!(guest_of(&osv), Some(DiskGuest::Osv));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn mutated_disks_never_panic(
        which in 0usize..3,
        changes in proptest::collection::vec((0usize..2048, any::<u8>()), 1..12),
        region in 0usize..4,
    ) {
        let disk = efi_disk(X64);
        let mut bytes = match which {
            0 => disk,
            1 => qcow2_of(&disk, false),
            _ => qcow2_of(&disk, true),
        };
        let base = [0, 1 << 16, 2 << 16, START][region].min(bytes.len() - 2048);
        for (at, value) in changes {
            bytes[base + at] = value;
        }
        let _ = recognise(&bytes);
    }
}
