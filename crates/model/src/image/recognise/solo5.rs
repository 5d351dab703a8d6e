//! Solo5's notes: which tender or hypervisor an image is for, and the devices in its manifest
//! (include/elf_abi.h and include/mft_abi.h of Solo5).

use super::elf::{Elf, Note};
use super::{Refused, u32_at};
use crate::image::{ImageFormat, Solo5Device, Solo5DeviceKind};

const OWNER: &[u8] = b"Solo5";
const ABI: u32 = 0x3149_4241;
const MANIFEST: u32 = 0x3154_464d;

const VERSION: u32 = 1;
/// A name of 68 bytes, the type, and what is private to the tender.
const ENTRY: usize = 104;
const NAME: usize = 68;
const MOST_ENTRIES: u32 = 64;
const BLOCK: u32 = 1;
const NETWORK: u32 = 2;
const RESERVED_FIRST: u32 = 1 << 30;
/// The most interfaces an instance can have.
const MOST_NETWORKS: u8 = 8;

/// The note that says that it is an image of Solo5.
pub fn abi(elf: &Elf) -> Option<&Note> {
    elf.any_note(OWNER, ABI)
}

/// A Solo5 image: the target decides, and the manifest says which devices have to be there.
pub fn recognise(elf: &Elf, abi: &Note) -> Result<ImageFormat, Refused> {
    let target = match u32_at(&abi.description, 0) {
        Some(3) => None,
        Some(1) => Some("hvt".to_owned()),
        Some(2) => Some("spt".to_owned()),
        Some(4) => Some("muen".to_owned()),
        Some(5) => Some("genode".to_owned()),
        Some(6) => Some("xen".to_owned()),
        Some(other) => Some(format!("an unknown target (number {other})")),
        None => {
            return Err(Refused::Malformed {
                what: "Solo5 note",
                why: "it is too short to name a target",
            });
        }
    };
    if let Some(target) = target {
        return Err(Refused::Solo5Target(target));
    }
    let manifest = elf.any_note(OWNER, MANIFEST);
    let manifest = manifest.ok_or(Refused::Solo5WithoutManifest)?;
    let devices = devices(&manifest.description)?;
    let count = |kind| devices.iter().filter(|device| device.kind == kind).count() as u8;
    let networks = count(Solo5DeviceKind::Network);
    if networks > MOST_NETWORKS {
        return Err(Refused::Solo5Networks(networks, MOST_NETWORKS));
    }
    Ok(ImageFormat::Solo5 {
        networks,
        blocks: count(Solo5DeviceKind::Block),
        devices,
    })
}

/// What a manifest names: 4 bytes of padding, version, count, then the entries, the first of which is
/// reserved.
fn devices(manifest: &[u8]) -> Result<Vec<Solo5Device>, Refused> {
    let damaged = |why| Refused::Malformed {
        what: "Solo5 manifest",
        why,
    };
    if u32_at(manifest, 4).ok_or(damaged("it is too short"))? != VERSION {
        return Err(damaged("its version is not 1"));
    }
    let count = u32_at(manifest, 8).ok_or(damaged("it is too short"))?;
    if count > MOST_ENTRIES {
        return Err(damaged("it counts more than 64 entries"));
    }
    let entries = manifest.get(12..).unwrap_or(&[]);
    if count as usize > entries.len() / ENTRY {
        return Err(damaged("it has fewer entries than it counts"));
    }
    let mut entries = entries.chunks_exact(ENTRY).take(count as usize);
    match entries.next().map(|entry| (entry[0], u32_at(entry, NAME))) {
        Some((0, Some(RESERVED_FIRST))) => {}
        _ => return Err(damaged("its first entry is not the reserved one")),
    }
    entries
        .map(|entry| {
            let kind = match u32_at(entry, NAME) {
                Some(BLOCK) => Solo5DeviceKind::Block,
                Some(NETWORK) => Solo5DeviceKind::Network,
                _ => return Err(damaged("it names a device of an unknown type")),
            };
            let name = name(&entry[..NAME]).ok_or(damaged(
                "a device's name is not of letters and digits, with a zero behind them",
            ))?;
            Ok(Solo5Device { name, kind })
        })
        .collect()
}

fn name(field: &[u8]) -> Option<String> {
    let end = field.iter().position(|byte| *byte == 0)?;
    let name = std::str::from_utf8(&field[..end]).ok()?;
    let fits = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric());
    fits.then(|| name.to_owned())
}
