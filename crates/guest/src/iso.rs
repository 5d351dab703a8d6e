//! The least of an ISO 9660 file system (ECMA-119) with long names (Joliet): one folder of a few files.
//! The same files give the same bytes: no clock is asked.
//!
//! ISO 9660 and not FAT, because Linux mounts it without a code page, which small kernels lack.

const SECTOR: usize = 2048;
/// 1980-01-01, as in the directory records of a disk that nobody dated (ECMA-119 section 9.1.5).
const DATE: [u8; 7] = [80, 1, 1, 0, 0, 0, 0];

// The sectors in their order (ECMA-119 section 6.2.1: the first 16 are the system's).
const PRIMARY: u32 = 16;
const PRIMARY_TABLES: [u32; 2] = [19, 20];
const JOLIET_TABLES: [u32; 2] = [21, 22];
const PRIMARY_ROOT: u32 = 23;
const JOLIET_ROOT: u32 = 24;
const FIRST_FILE: u32 = 25;

/// A file: its name, the same in 8.3 capitals for readers that know no long ones, and what is in it.
pub(crate) struct File<'a> {
    pub name: &'a str,
    pub short: &'a str,
    pub bytes: &'a [u8],
}

/// A file system with a label of at most 16 characters. Files are in the order of both of their names.
pub(crate) fn write(label: &str, files: &[File<'_>]) -> Vec<u8> {
    let mut at = FIRST_FILE;
    let mut placed = Vec::new();
    for file in files {
        placed.push((file, at));
        at += sectors(file.bytes.len());
    }
    let size = at;
    let mut image = vec![0; FIRST_FILE as usize * SECTOR];
    let mut put = |sector: u32, bytes: &[u8]| {
        let from = sector as usize * SECTOR;
        image[from..from + bytes.len()].copy_from_slice(bytes);
    };
    put(PRIMARY, &descriptor(1, label, size));
    put(PRIMARY + 1, &descriptor(2, label, size));
    put(PRIMARY + 2, b"\xffCD001\x01");
    for (tables, root) in [(PRIMARY_TABLES, PRIMARY_ROOT), (JOLIET_TABLES, JOLIET_ROOT)] {
        put(
            tables[0],
            &path_table(root.to_le_bytes(), 1_u16.to_le_bytes()),
        );
        put(
            tables[1],
            &path_table(root.to_be_bytes(), 1_u16.to_be_bytes()),
        );
    }
    let short = |file: &File<'_>| file.short.as_bytes().to_vec();
    put(PRIMARY_ROOT, &folder(PRIMARY_ROOT, &placed, short));
    put(
        JOLIET_ROOT,
        &folder(JOLIET_ROOT, &placed, |file| wide(file.name)),
    );
    for file in files {
        image.extend(file.bytes);
        image.resize(image.len().next_multiple_of(SECTOR), 0);
    }
    image
}

fn sectors(bytes: usize) -> u32 {
    u32::try_from(bytes.div_ceil(SECTOR)).unwrap_or(u32::MAX)
}

/// A number in both byte orders, as much of the standard has them.
fn both32(value: u32) -> [u8; 8] {
    let mut bytes = [0; 8];
    bytes[..4].copy_from_slice(&value.to_le_bytes());
    bytes[4..].copy_from_slice(&value.to_be_bytes());
    bytes
}

fn both16(value: u16) -> [u8; 4] {
    let ([a, b], [c, d]) = (value.to_le_bytes(), value.to_be_bytes());
    [a, b, c, d]
}

/// UCS-2, high byte first, as Joliet has its texts.
fn wide(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_be_bytes).collect()
}

/// The primary volume descriptor (ECMA-119 section 8.4; kind 1) or Joliet's supplementary one (8.5;
/// kind 2).
fn descriptor(kind: u8, label: &str, size: u32) -> Vec<u8> {
    let joliet = kind == 2;
    let (tables, root) = match joliet {
        true => (JOLIET_TABLES, JOLIET_ROOT),
        false => (PRIMARY_TABLES, PRIMARY_ROOT),
    };
    let text = |text: &str, length: usize| {
        let (mut bytes, blank): (Vec<u8>, &[u8]) = match joliet {
            true => (wide(text), &[0, b' ']),
            false => (text.as_bytes().to_vec(), b" "),
        };
        while bytes.len() + blank.len() <= length {
            bytes.extend(blank);
        }
        bytes.resize(length, 0);
        bytes
    };
    let mut out = vec![kind];
    out.extend(b"CD001\x01\0");
    out.extend(text("", 32));
    out.extend(text(label, 32));
    out.extend([0; 8]);
    out.extend(both32(size));
    // The escape sequence of UCS-2 level 3 says that this is Joliet.
    let mut escapes = [0; 32];
    if joliet {
        escapes[..3].copy_from_slice(b"%/E");
    }
    out.extend(escapes);
    out.extend([both16(1), both16(1), both16(2048)].concat());
    let table = path_table([0; 4], [0; 2]).len();
    out.extend(both32(table as u32));
    out.extend(tables[0].to_le_bytes());
    out.extend([0; 4]);
    out.extend(tables[1].to_be_bytes());
    out.extend([0; 4]);
    out.extend(record(&[0], root, SECTOR, true));
    for length in [128, 128, 128, 128, 37, 37, 37] {
        out.extend(text("", length));
    }
    for _ in 0..4 {
        // "Not specified" (section 8.4.26.1).
        out.extend(b"0000000000000000\0");
    }
    out.push(1);
    out
}

/// The one entry of a path table: the root, whose parent is itself (section 9.4).
fn path_table(root: [u8; 4], parent: [u8; 2]) -> Vec<u8> {
    [&[1, 0][..], &root, &parent, &[0, 0]].concat()
}

fn folder(root: u32, files: &[(&File<'_>, u32)], name: impl Fn(&File<'_>) -> Vec<u8>) -> Vec<u8> {
    // Itself, and what is above it, which is itself.
    let mut out = record(&[0], root, SECTOR, true);
    out.extend(record(&[1], root, SECTOR, true));
    for (file, at) in files {
        out.extend(record(&name(file), *at, file.bytes.len(), false));
    }
    out
}

/// A directory record (section 9.1).
fn record(name: &[u8], at: u32, size: usize, folder: bool) -> Vec<u8> {
    let mut out = vec![0, 0];
    out.extend(both32(at));
    out.extend(both32(u32::try_from(size).unwrap_or(u32::MAX)));
    out.extend(DATE);
    out.extend([if folder { 2 } else { 0 }, 0, 0]);
    out.extend(both16(1));
    out.push(u8::try_from(name.len()).unwrap_or(u8::MAX));
    out.extend(name);
    out.resize(out.len().next_multiple_of(2), 0);
    out[0] = u8::try_from(out.len()).unwrap_or(u8::MAX);
    out
}
